# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of frameworks, and the inventory of a host over all of them. A new framework is added here.

Backends are listed in another file (backends.py), so that modules that only read don't load them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from .._host.definitions import sweep_definitions
from .._host.paths import Host
from .._host.reader import Reader
from .._host.users import with_users
from .._model.addresses import address_key
from .._model.inventory import Hidden, Inventory
from .base import HostFramework
from .mdev.framework import MDEV
from .vendor_vfio.framework import VENDOR_VFIO

# A host that has several is named after the first.
FRAMEWORKS: tuple[HostFramework, ...] = (MDEV, VENDOR_VFIO)

NO_FRAMEWORK = "none"


def host_framework(inventory: Inventory) -> str:
    """How this host slices its devices: the name of the first framework that has parents on it, or none."""
    names = {parent.framework.name for parent in inventory.parents}
    return next((framework.name for framework in FRAMEWORKS if framework.name in names), NO_FRAMEWORK)


def read_inventory(host: Host, users: bool = True) -> Inventory:
    """Parents, types, devices and definitions; with users, also the processes that hold devices."""
    reader = Reader()
    parts = [framework.read(host, reader) for framework in FRAMEWORKS]
    devices = tuple(device for part in parts for device in part.devices)
    parents = (parent for part in parts for parent in part.parents)
    return Inventory(
        parents=tuple(sorted(parents, key=lambda parent: address_key(parent.address))),
        devices=with_users(host, reader, devices) if users else devices,
        definitions=tuple(definition for part in parts for definition in part.definitions),
        broken=tuple(broken for part in parts for broken in part.broken),
        unread=tuple(reader.unread),
        hidden=(*(hidden for part in parts for hidden in part.hidden), *_hidden(host, reader)),
    )


def _hidden(host: Host, reader: Reader) -> Iterator[Hidden]:
    """The folders of definitions that can't be read."""
    folders = {folder for framework in FRAMEWORKS for folder in framework.definition_folders(host)}
    for unread in reader.unread:
        folder, parent = os.path.split(unread.path)
        if unread.path in folders:
            yield Hidden(unread.path, unread.error)
        elif folder in folders:
            yield Hidden(unread.path, unread.error, parent)


def sweep(host: Host) -> None:
    """Removes what writers of definitions and notes left that were killed. Only under the host's lock."""
    for framework in FRAMEWORKS:
        for folder in framework.definition_folders(host):
            sweep_definitions(folder)


def forget_stale(host: Host) -> None:
    """Removes what this collection noted about devices that are gone. Only under the host's lock."""
    for framework in FRAMEWORKS:
        framework.forget_stale(host)
