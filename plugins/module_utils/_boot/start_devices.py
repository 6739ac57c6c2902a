# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts all devices that are defined with autostart. vfio-mdev.service runs this program at boot, without Ansible.

Drivers, SR-IOV and MIG can be ready late, so the program waits for each parent, until a common deadline. Devices that
are already active, because mdevctl's udev rule or a run that was killed started them, get the attributes that they
lack. The program writes one line per device to the journal. The exit code is 1 if a device did not start.
"""

from __future__ import annotations

import argparse
import errno
import os
import time
from dataclasses import dataclass, field
from typing import Optional

from .._frameworks.backends import Backends, choose_backends
from .._frameworks.registry import FRAMEWORKS, read_inventory, sweep
from .._frameworks.unfinished import UnfinishedMarks
from .._host.lock import host_lock
from .._host.paths import DEFINITIONS_PATH, Host
from .._model.addresses import is_uuid
from .._model.errors import MdevError, Unexpected
from .._model.inventory import Definition, Device, Inventory, Parent
from .._runner.signals import Signals, deferred_signals
from .completion import Completion
from .journal import exit_code, say, seconds

_POLL_SECONDS = 0.2
# The lock is requested in portions, so that a signal is noticed in between.
_LOCK_SECONDS = 5.0
# A write that fails after this time, and not with the kernel's answer, did not return: it is still in the kernel.
_HANG_SECONDS = 5.0
# After the deadline, devices that have not been tried yet still get this time. Less than in TimeoutStartSec.
_SPARE_SECONDS = 20.0
_NO_PARENT = "its parent did not appear"


@dataclass
class _Boot:
    """Definitions whose devices are not active yet, with the reasons, and messages about other failures.

    untried:  definitions that the last pass did not reach
    hanging:  creations that have not returned, by card: nothing else is created on this card meanwhile
    given_up: definitions of active devices whose completion did not return
    """

    waiting: dict[Definition, str]
    failed: list[str] = field(default_factory=list)
    untried: int = 0
    hanging: dict[str, Definition] = field(default_factory=dict)
    given_up: set[Definition] = field(default_factory=set)


def start_definitions(host: Host, backends: Backends, wait_timeout: float) -> list[str]:
    """Starts the devices that are defined with autostart. Returns a message for each failure.

    wait_timeout: seconds to wait for parents that do not exist or have no room yet, for all together
    """
    end = time.monotonic() + wait_timeout
    boot = _declared(host, read_inventory(host, users=False))
    say(f"{len(boot.waiting)} devices are defined with autostart")
    starter = _Starter(host, backends, UnfinishedMarks(host, say))
    waited = f"waited {wait_timeout:.0f} s"
    with deferred_signals() as signals:
        while boot.waiting:
            starter.start_ready(boot, signals, end)
            if signals.pending is not None:
                waited = f"interrupted by signal {signals.pending.name}"
                break
            now = time.monotonic()
            if not boot.waiting or now >= end + (_SPARE_SECONDS if boot.untried else 0.0):
                break
            time.sleep(_POLL_SECONDS)
        starter.clean_up()
    return boot.failed + [f"{_name(definition)}: {reason}, {waited}" for definition, reason in boot.waiting.items()]


def _declared(host: Host, inventory: Inventory) -> _Boot:
    """All definitions with autostart.

    A failure is what could hide such a definition: a broken file named by a UUID, and a folder that can't be read.
    Other files among definitions are no definitions, and notes of vGPUs in /run define nothing.
    """
    waiting = {definition: _NO_PARENT for definition in inventory.definitions if definition.autostart}
    failed = [
        f"{broken.path}: {broken.problem}"
        for broken in inventory.broken
        if is_uuid(os.path.basename(broken.path)) and not _is_below(broken.path, host.beside("run"))
    ]
    failed += [
        f"{unread.path}: {unread.error}"
        for unread in inventory.unread
        if _is_below(unread.path, os.path.dirname(host.definitions_path)) and os.path.isdir(unread.path)
    ]
    return _Boot(waiting, failed)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(os.path.join(folder, ""))


@dataclass(frozen=True)
class _Starter:
    """Starts devices on one host."""

    host: Host
    backends: Backends
    marks: UnfinishedMarks

    def start_ready(self, boot: _Boot, signals: Signals, end: float) -> None:
        """Starts the devices whose parents are ready. Ends early, without the lock, after a creation that hangs."""
        boot.untried = len(boot.waiting)
        try:
            with host_lock(self.host, min(_LOCK_SECONDS, max(1.0, end - time.monotonic()))):
                sweep(self.host)
                inventory = read_inventory(self.host, users=False)
                for definition in sorted(boot.waiting, key=lambda waiting: waiting in boot.hanging.values()):
                    if signals.pending is not None:
                        return
                    boot.untried -= 1
                    if not self._update(boot, definition, inventory):
                        return
        except MdevError as error:
            self._note_for_all(boot, error)
        except Exception as error:
            self._note_for_all(boot, Unexpected.from_exception(error))

    def clean_up(self) -> None:
        """Removes marks of devices that do not exist. A mark that stays does no harm, so nothing here is a failure."""
        try:
            self.marks.remove_without_device(read_inventory(self.host, users=False))
        except Exception as error:
            say(f"looking through {self.marks.folder} failed: {error}")

    def _note_for_all(self, boot: _Boot, error: MdevError) -> None:
        boot.untried = 0
        boot.waiting.update((definition, error.message) for definition in boot.waiting)

    def _update(self, boot: _Boot, definition: Definition, inventory: Inventory) -> bool:
        """Tries one definition. Whatever is raised, only this device is not started. Returns whether the try ended."""
        began = time.monotonic()
        hangs = False
        try:
            problem = self._start(boot, definition, inventory)
        except MdevError as error:
            problem = error.message
            no_answer = getattr(error, "errno", None) in (None, errno.ETIMEDOUT)
            hangs = no_answer and time.monotonic() - began >= _HANG_SECONDS
        except Exception as error:
            problem = Unexpected.from_exception(error).message
        if problem is None:
            del boot.waiting[definition]
        else:
            boot.waiting[definition] = problem
        if hangs:
            self._note_hanging(boot, definition, inventory)
        return not hangs

    def _note_hanging(self, boot: _Boot, definition: Definition, inventory: Inventory) -> None:
        parent = inventory.parent(definition.parent)
        if parent is not None and inventory.device(definition.key) is None:
            boot.hanging[parent.card] = definition
        else:
            boot.given_up.add(definition)

    def _start(self, boot: _Boot, definition: Definition, inventory: Inventory) -> Optional[str]:
        """Starts a device. Returns None if it is active and complete, else the reason why it is not."""
        if definition in boot.given_up:
            return boot.waiting[definition]
        device = inventory.device(definition.key)
        parent = inventory.parent(definition.parent)
        if device is None or self._is_hanging(boot, definition, device, parent):
            return self._create(boot, definition, parent)
        if device.removing:
            return f"its UUID is used by a device on {device.parent} that the kernel has removed only in part"
        if (device.parent, device.type_id) != (definition.parent, definition.type_id):
            return f"its UUID is used by a device of type {device.type_id} on {device.parent}"
        if parent is not None and boot.hanging.get(parent.card) is definition:
            del boot.hanging[parent.card]
        completion = Completion(self.host, self.backends.of(device), definition, device)
        missing = completion.complete(definition.key in self.marks.unfinished())
        if missing.recreate:
            completion.remove()
            return self._create(boot, definition, parent)
        if missing.problem is None:
            self.marks.remove(definition.key)
            say(f"{_name(definition)}: {missing.outcome}")
        return missing.problem

    def _is_hanging(self, boot: _Boot, definition: Definition, device: Device, parent: Optional[Parent]) -> bool:
        """Whether the creation of this device is still in the kernel: the device exists, but has no type yet."""
        return device.removing and parent is not None and boot.hanging.get(parent.card) is definition

    def _create(self, boot: _Boot, definition: Definition, parent: Optional[Parent]) -> Optional[str]:
        if parent is None:
            return _NO_PARENT
        if parent.type(definition.type_id) is None:
            return f"its parent does not offer type {definition.type_id}"
        hanging = boot.hanging.get(parent.card)
        if hanging is not None:
            return _behind(hanging, definition, boot)
        with self.marks.marked(definition.key, definition.attributes):
            self.backends.of(parent).create(parent, definition.type_id, definition.key, definition.attributes)
        say(f"{_name(definition)}: started")
        return None


def _behind(hanging: Definition, definition: Definition, boot: _Boot) -> str:
    if hanging is definition:
        return boot.waiting[definition]
    return f"not tried, because the creation of {hanging.label} has not returned"


def _name(definition: Definition) -> str:
    return f"{definition.label} of type {definition.type_id}"


def main() -> int:
    """Runs the program with its command line."""
    parser = argparse.ArgumentParser(description="Start mediated devices that are defined with autostart.")
    parser.add_argument(
        "--wait", type=seconds, default=120.0, metavar="SECONDS", help="how long to wait for parents (%(default)s)"
    )
    parser.add_argument("--sysfs", default="/sys", metavar="FOLDER", help="(%(default)s)")
    parser.add_argument("--definitions", default=DEFINITIONS_PATH, metavar="FOLDER", help="(%(default)s)")
    options = parser.parse_args()
    try:
        host = Host(options.sysfs, options.definitions)
        backends = choose_backends("auto", host, uri="", frameworks=set(FRAMEWORKS))
        failed = start_definitions(host, backends, options.wait)
    except MdevError as error:
        failed = [error.message]
    except Exception as error:
        failed = [Unexpected.from_exception(error).message]
    return exit_code(failed)


if __name__ == "__main__":
    raise SystemExit(main())
