# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that a host holds, read in one go: the kernel's devices, who uses them, and the definitions on disk."""

from __future__ import annotations

from dataclasses import replace

from ._definitions import DefinitionFiles
from ._host import HostPaths, Reader
from ._model import Inventory
from ._sysfs import SysfsReader
from ._users import with_users


def read_inventory(paths: HostPaths, files: DefinitionFiles, users: bool = True) -> Inventory:
    """Parents, types, devices and definitions; with users, also the processes that hold devices."""
    reader = Reader()
    inventory = SysfsReader(paths, reader).inventory()
    devices = with_users(paths, reader, inventory.devices) if users else inventory.devices
    definitions, broken = files.read(reader)
    return replace(inventory, devices=devices, definitions=definitions, broken=broken, unread=tuple(reader.unread))
