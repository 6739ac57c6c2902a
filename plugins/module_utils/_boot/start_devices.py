# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts all devices that are defined with autostart. vfio-mdev.service runs this program at boot, without Ansible.

Drivers, SR-IOV and MIG can be ready late, so the program waits for each parent, until a common deadline. Devices that
mdevctl's udev rule starts at the same time are accepted as they are. The program writes one line per device to the
journal. The exit code is 1 if a device did not start.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from typing import Optional

from .._frameworks.backends import Backends, choose_backends
from .._frameworks.registry import FRAMEWORKS, read_inventory
from .._host.lock import host_lock
from .._host.paths import DEFINITIONS_PATH, Host
from .._model.errors import MdevError
from .._model.inventory import Definition, Inventory

_POLL_SECONDS = 0.2
_NO_PARENT = "its parent did not appear"


@dataclass
class _Boot:
    """Definitions whose devices are not active yet, with the reasons, and messages about other failures."""

    waiting: dict[Definition, str]
    failed: list[str] = field(default_factory=list)


def start_definitions(host: Host, backends: Backends, wait_timeout: float) -> list[str]:
    """Starts the devices that are defined with autostart. Returns a message for each failure.

    wait_timeout: seconds to wait for parents that do not exist or have no room yet, for all together
    """
    end = time.monotonic() + wait_timeout
    boot = _declared(read_inventory(host, users=False))
    _print(f"{len(boot.waiting)} devices are defined with autostart")
    while boot.waiting:
        with host_lock(host, max(1.0, end - time.monotonic())):
            _start_ready(boot, backends, read_inventory(host, users=False))
        if not boot.waiting or time.monotonic() >= end:
            break
        time.sleep(_POLL_SECONDS)
    late = [
        f"{_name(definition)}: {reason}, waited {wait_timeout:.0f} s" for definition, reason in boot.waiting.items()
    ]
    return boot.failed + late


def _declared(inventory: Inventory) -> _Boot:
    """All definitions with autostart. A file that can't be read is a failure: it could define such a device."""
    waiting = {definition: _NO_PARENT for definition in inventory.definitions if definition.autostart}
    return _Boot(waiting, [f"{broken.path}: {broken.problem}" for broken in inventory.broken])


def _start_ready(boot: _Boot, backends: Backends, inventory: Inventory) -> None:
    for definition in list(boot.waiting):
        problem = _start(definition, backends, inventory)
        if problem is None:
            del boot.waiting[definition]
        else:
            boot.waiting[definition] = problem


def _start(definition: Definition, backends: Backends, inventory: Inventory) -> Optional[str]:
    """Starts a device. Returns None if it is active, else the reason why it is not."""
    device = inventory.device(definition.key)
    if device is not None:
        if (device.parent, device.type_id) == (definition.parent, definition.type_id):
            _print(f"{_name(definition)}: already active")
            return None
        return f"its UUID is used by a device of type {device.type_id} on {device.parent}"
    parent = inventory.parent(definition.parent)
    if parent is None:
        return _NO_PARENT
    if parent.type(definition.type_id) is None:
        return f"its parent does not offer type {definition.type_id}"
    try:
        backends.of(parent).create(parent, definition.type_id, definition.key, definition.attributes)
    except MdevError as error:
        return error.message
    _print(f"{_name(definition)}: started")
    return None


def _name(definition: Definition) -> str:
    return f"{definition.label} of type {definition.type_id}"


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Runs the program with its command line."""
    parser = argparse.ArgumentParser(description="Start mediated devices that are defined with autostart.")
    parser.add_argument(
        "--wait", type=float, default=120.0, metavar="SECONDS", help="how long to wait for parents (%(default)s)"
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
    for text in failed:
        sys.stderr.write(f"FAILED {text}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
