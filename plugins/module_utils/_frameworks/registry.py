# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that a host holds, of all frameworks, read in one go: parents, devices, who uses them, definitions on disk."""

from __future__ import annotations

from .._host.definitions import DefinitionFiles
from .._host.paths import HostPaths
from .._host.reader import Reader
from .._host.users import with_users
from .._model.addresses import address_key
from .._model.inventory import Device, Inventory
from .mdev.reader import SysfsReader
from .vendor_vfio.reader import VendorReader


def read_inventory(paths: HostPaths, files: DefinitionFiles, users: bool = True) -> Inventory:
    """Parents, types, devices and definitions; with users, also the processes that hold devices."""
    reader = Reader()
    mdevs, vgpus = _by_framework(paths, reader)
    devices = (*mdevs.devices, *vgpus.devices)
    definitions, broken = files.read(reader)
    return Inventory(
        parents=tuple(sorted((*mdevs.parents, *vgpus.parents), key=lambda one: address_key(one.address))),
        devices=with_users(paths, reader, devices) if users else devices,
        definitions=(*definitions, *vgpus.definitions),
        broken=(*broken, *vgpus.broken),
        unread=tuple(reader.unread),
    )


def read_devices(paths: HostPaths) -> tuple[Device, ...]:
    """All devices with the processes that hold them, and nothing else."""
    reader = Reader()
    return with_users(paths, reader, tuple(device for one in _by_framework(paths, reader) for device in one.devices))


def _by_framework(paths: HostPaths, reader: Reader) -> tuple[Inventory, Inventory]:
    """Mediated devices with their parents, and vGPUs with theirs."""
    return SysfsReader(paths, reader).inventory(), VendorReader(paths, reader).inventory()
