# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what all parents and devices have in common, from their folders in sysfs.

Source: kernel Documentation/ABI/testing/sysfs-bus-pci. Every file is opened once.
"""

from __future__ import annotations

import os
from typing import Optional

from .._host.reader import Reader
from .._model.addresses import parent_nodedev, pci_address
from .._model.framework import Framework
from .._model.inventory import Device, Parent, PciIds, Type, Vfs


def read_parent(
    reader: Reader, name: str, folder: str, entries: list[str], types: tuple[Type, ...], framework: Framework
) -> Parent:
    """The parent with this sysfs name, from this folder with these entries."""
    subsystem = reader.link_name(os.path.join(folder, "subsystem")) or ""
    present = frozenset(entries)
    return Parent(
        address=name,
        subsystem=subsystem,
        nodedev=parent_nodedev(subsystem, name),
        path=folder,
        framework=framework,
        upper_nodedev=_upper_nodedev(folder),
        driver=_link(reader, folder, "driver", present),
        numa_node=_numa_node(reader, folder, present),
        physical_function=_link(reader, folder, "physfn", present),
        vfs=_vfs(reader, folder, present),
        pci=_pci_ids(reader, folder) if subsystem == "pci" else None,
        iommu_group=_group_number(_link(reader, folder, "iommu_group", present)),
        types=types,
    )


def read_device(reader: Reader, parent: Parent, key: str, type_id: Optional[str]) -> Device:
    """The device of this type on the parent. A device without a type is half removed."""
    framework = parent.framework
    device_id = framework.device_id(key, parent.address)
    folder = framework.device_path(parent.path, device_id)
    mdev_type = parent.type(type_id)
    return Device(
        id=device_id.lower(),
        key=key.lower(),
        parent=parent.address,
        path=folder,
        nodedev=framework.nodedev(device_id.lower(), parent.address),
        parent_nodedev=parent.nodedev,
        framework=framework,
        type_id=type_id,
        type_name=mdev_type.name if mdev_type else None,
        device_api=mdev_type.device_api if mdev_type else None,
        removing=type_id is None,
        driver=reader.link_name(f"{folder}/driver"),
        iommu_group=_group_number(reader.link_name(f"{folder}/iommu_group")),
        numa_node=parent.numa_node,
    )


def _group_number(name: Optional[str]) -> Optional[int]:
    return int(name) if name is not None and name.isdigit() else None


def _upper_nodedev(folder: str) -> str:
    """The node device above a parent, if libvirt shows it: a PCI bridge, else the computer."""
    address = pci_address(os.path.basename(os.path.dirname(folder)))
    return parent_nodedev("pci", address) if address else "computer"


def _link(reader: Reader, folder: str, name: str, present: frozenset[str]) -> Optional[str]:
    return reader.link_name(os.path.join(folder, name)) if name in present else None


def _numa_node(reader: Reader, folder: str, present: frozenset[str]) -> Optional[int]:
    if "numa_node" not in present:
        return None
    node = reader.number(os.path.join(folder, "numa_node"))
    return node if node is not None and node >= 0 else None


def _vfs(reader: Reader, folder: str, present: frozenset[str]) -> Optional[Vfs]:
    if "sriov_totalvfs" not in present:
        return None
    enabled = reader.number(os.path.join(folder, "sriov_numvfs"))
    total = reader.number(os.path.join(folder, "sriov_totalvfs"))
    return Vfs(enabled, total) if enabled is not None and total is not None else None


def _pci_ids(reader: Reader, folder: str) -> Optional[PciIds]:
    vendor = reader.text(os.path.join(folder, "vendor"))
    product = reader.text(os.path.join(folder, "device"))
    return PciIds(vendor, product) if vendor and product else None
