# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts every definition marked autostart: what vfio-mdev.service runs at boot, without Ansible.

Drivers, SR-IOV and MIG may come late: each parent is waited for, until one deadline for all. What mdevctl's udev rule
starts at the same time is taken as it is. One line per device goes to the journal; the exit code is 1 when a declared
device did not come up.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from typing import Optional

from .._frameworks.backends import Backends, chosen_backends
from .._frameworks.mdev.kernel import Kernel
from .._frameworks.registry import read_inventory
from .._host.definitions import DefinitionFiles
from .._host.lock import host_lock
from .._host.paths import HostPaths
from .._model.errors import MdevError
from .._model.inventory import MDEV, VENDOR_VFIO, Definition, Inventory

_POLL_SECONDS = 0.2


@dataclass
class _Boot:
    """Definitions that are not up yet, with the reason, and what to tell about the others."""

    waiting: dict[Definition, str]
    failed: list[str] = field(default_factory=list)


def start_definitions(paths: HostPaths, files: DefinitionFiles, backends: Backends, seconds: float) -> list[str]:
    """Starts what is marked autostart. Returns what failed, in words; empty when all is up.

    seconds: how long to wait for parents that are not there or have no room yet, all together.
    """
    end = time.monotonic() + seconds
    boot = _first_look(read_inventory(paths, files, users=False))
    _say(f"{len(boot.waiting)} devices are marked autostart")
    while boot.waiting:
        with host_lock(paths, max(1.0, end - time.monotonic())):
            _one_pass(boot, backends, read_inventory(paths, files, users=False))
        if not boot.waiting or time.monotonic() >= end:
            break
        time.sleep(_POLL_SECONDS)
    late = [f"{_called(one)}: {reason}, waited {seconds:.0f} s" for one, reason in boot.waiting.items()]
    return boot.failed + late


def _first_look(inventory: Inventory) -> _Boot:
    """A file that can't be read may be of a declared device: that is a failure, not something to pass over."""
    waiting = {one: "its parent did not appear" for one in inventory.definitions if one.autostart}
    return _Boot(waiting, [f"{one.path}: {one.problem}" for one in inventory.broken])


def _one_pass(boot: _Boot, backends: Backends, inventory: Inventory) -> None:
    for definition in list(boot.waiting):
        problem = _start(definition, backends, inventory)
        if problem is None:
            del boot.waiting[definition]
        else:
            boot.waiting[definition] = problem


def _start(definition: Definition, backends: Backends, inventory: Inventory) -> Optional[str]:
    """None when the device is up, else why it is not yet."""
    device = inventory.device(definition.uuid)
    if device is not None:
        if (device.parent, device.type_id) == (definition.parent, definition.type_id):
            _say(f"{_called(definition)}: up already")
            return None
        return f"its UUID is taken by a device of type {device.type_id} on {device.parent}"
    parent = inventory.parent(definition.parent)
    if parent is None:
        return "its parent did not appear"
    if parent.type(definition.type_id) is None:
        return f"its parent does not offer type {definition.type_id}"
    try:
        backends.of(parent).create(parent, definition.type_id, definition.uuid, definition.attributes)
    except MdevError as error:
        return error.message
    _say(f"{_called(definition)}: started")
    return None


def _called(definition: Definition) -> str:
    return f"{definition.words} of type {definition.type_id}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """The unit's command."""
    parser = argparse.ArgumentParser(description="Starts mediated devices that are defined with autostart.")
    parser.add_argument("--wait", type=float, default=120.0, metavar="SECONDS", help="for late parents (%(default)s)")
    parser.add_argument("--sysfs", default="/sys", metavar="FOLDER", help="(%(default)s)")
    parser.add_argument("--definitions", default="/etc/mdevctl.d", metavar="FOLDER", help="(%(default)s)")
    options = parser.parse_args()
    try:
        paths = HostPaths(options.sysfs)
        files = DefinitionFiles(options.definitions)
        backends = chosen_backends("auto", Kernel(paths), files, uri="", frameworks={MDEV, VENDOR_VFIO})
        failed = start_definitions(paths, files, backends, options.wait)
    except MdevError as error:
        failed = [error.message]
    for text in failed:
        sys.stderr.write(f"FAILED {text}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
