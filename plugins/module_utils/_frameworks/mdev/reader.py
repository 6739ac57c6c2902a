# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's view, read from sysfs: parents with their types, mediated devices on them.

Source: kernel Documentation/ABI/testing/sysfs-bus-vfio-mdev and sysfs-bus-pci. Every file is opened once.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Optional

from ..._host.paths import HostPaths
from ..._host.reader import Reader
from ..._model.addresses import address_key, device_nodedev, is_uuid, parent_nodedev, pci_address
from ..._model.inventory import AP_API, MDEV, Attribute, Device, Inventory, Parent, PciIds, Type, Vfs

# A device that is just being made also lacks its links for a moment: look again before calling it half removed.
_SETTLE_TRIES = 5
_SETTLE_SECONDS = 0.02


@dataclass(frozen=True)
class SysfsReader:
    """Reads the inventory of one host. The reader collects what could not be read."""

    paths: HostPaths
    reader: Reader

    def inventory(self, only: Optional[str] = None) -> Inventory:
        """All parents and devices, or those of the parent with the address ``only``."""
        names = [only] if only is not None else self._parent_names()
        parents = []
        devices: list[Device] = []
        for name in sorted(names, key=address_key):
            folder = self._parent_folder(name)
            if folder is None:
                continue
            entries = self.reader.names(folder)
            parent = self.parent(name, folder, entries, self._types(os.path.join(folder, "mdev_supported_types")))
            parents.append(parent)
            uuids = sorted(entry for entry in entries if is_uuid(entry))
            devices.extend(found for found in (self.device(parent, uuid) for uuid in uuids) if found is not None)
        return Inventory(
            parents=tuple(parents),
            devices=tuple(devices),
            unread=tuple(self.reader.unread),
        )

    def _parent_names(self) -> list[str]:
        return self.reader.names(os.path.join(self.paths.sys, "class", "mdev_bus"), optional=True)

    def _parent_folder(self, name: str) -> Optional[str]:
        """Where the parent is in the device tree. A link that leads nowhere is a parent that went away meanwhile."""
        link = os.path.join(self.paths.sys, "class", "mdev_bus", name)
        folder = os.path.realpath(link)
        if not os.path.isdir(folder):
            self.reader.note(link, FileNotFoundError(2, "gone"))
            return None
        return folder

    def parent(
        self, name: str, folder: str, entries: list[str], types: tuple[Type, ...], framework: str = MDEV
    ) -> Parent:
        """The parent in this folder, which has these entries."""
        subsystem = self.reader.link_name(os.path.join(folder, "subsystem")) or ""
        present = frozenset(entries)
        return Parent(
            address=name,
            subsystem=subsystem,
            nodedev=parent_nodedev(subsystem, name),
            path=folder,
            upper_nodedev=self._upper_nodedev(folder),
            driver=self._link(folder, "driver", present),
            numa_node=self._numa_node(folder, present),
            physical_function=self._link(folder, "physfn", present),
            vfs=self._vfs(folder, present),
            pci=self._pci_ids(folder) if subsystem == "pci" else None,
            types=types,
            framework=framework,
        )

    def _upper_nodedev(self, folder: str) -> str:
        """The node device above a parent, as far as libvirt shows it: a PCI bridge, else the computer."""
        address = pci_address(os.path.basename(os.path.dirname(folder)))
        return parent_nodedev("pci", address) if address else "computer"

    def _link(self, folder: str, name: str, present: frozenset[str]) -> Optional[str]:
        return self.reader.link_name(os.path.join(folder, name)) if name in present else None

    def _numa_node(self, folder: str, present: frozenset[str]) -> Optional[int]:
        if "numa_node" not in present:
            return None
        node = self.reader.number(os.path.join(folder, "numa_node"))
        return node if node is not None and node >= 0 else None

    def _vfs(self, folder: str, present: frozenset[str]) -> Optional[Vfs]:
        if "sriov_totalvfs" not in present:
            return None
        enabled = self.reader.number(os.path.join(folder, "sriov_numvfs"))
        total = self.reader.number(os.path.join(folder, "sriov_totalvfs"))
        return Vfs(enabled, total) if enabled is not None and total is not None else None

    def _pci_ids(self, folder: str) -> Optional[PciIds]:
        vendor = self.reader.text(os.path.join(folder, "vendor"))
        product = self.reader.text(os.path.join(folder, "device"))
        return PciIds(vendor, product) if vendor and product else None

    def _types(self, folder: str) -> tuple[Type, ...]:
        return tuple(
            self._type(f"{folder}/{name}", name) for name in sorted(self.reader.names(folder), key=address_key)
        )

    def _type(self, folder: str, type_id: str) -> Type:
        # name and description are optional in the kernel's ABI: mtty has no description, GVT-g no name.
        return Type(
            id=type_id,
            name=self.reader.text(f"{folder}/name", optional=True),
            description=self.reader.text(f"{folder}/description", optional=True),
            device_api=self.reader.text(f"{folder}/device_api"),
            available_instances=self.reader.number(f"{folder}/available_instances"),
        )

    def device(self, parent: Parent, uuid: str) -> Optional[Device]:
        """The device with this UUID below the parent; None when it is not there."""
        folder = f"{parent.path}/{uuid}"
        type_id = self.reader.link_name(f"{folder}/mdev_type")
        if type_id is None:
            type_id = self._settled_type(folder)
        if type_id is None and not os.path.isdir(folder):
            return None
        return self.described(parent, uuid, type_id)

    def described(self, parent: Parent, uuid: str, type_id: Optional[str]) -> Device:
        """The device on the parent, of a type that was found out. One without a type is half removed."""
        folder = parent.device_path(uuid)
        kind = parent.type(type_id)
        group = self.reader.link_name(f"{folder}/iommu_group")
        return Device(
            uuid=uuid.lower(),
            parent=parent.address,
            path=folder,
            nodedev=device_nodedev(uuid.lower(), parent.address) if parent.framework == MDEV else parent.nodedev,
            parent_nodedev=parent.nodedev,
            type_id=type_id,
            type_name=kind.name if kind else None,
            device_api=kind.device_api if kind else None,
            removing=type_id is None,
            driver=self.reader.link_name(f"{folder}/driver"),
            iommu_group=int(group) if group is not None and group.isdigit() else None,
            numa_node=parent.numa_node,
            framework=parent.framework,
            attributes=self._assigned(folder) if kind is not None and kind.device_api == AP_API else (),
        )

    def _assigned(self, folder: str) -> tuple[Attribute, ...]:
        """What an AP device has. An empty file means that nothing is assigned."""
        # Hosts of other architectures do not pay for the import.
        from ..drivers.ap_matrix import CONTROL_DOMAINS, MATRIX, attributes_of, matrix_read

        matrix, control_domains = (
            self.reader.text(os.path.join(folder, name), optional=True) for name in (MATRIX, CONTROL_DOMAINS)
        )
        return attributes_of(matrix_read(matrix, control_domains))

    def _settled_type(self, folder: str) -> Optional[str]:
        """The type of a device that has none yet, once it has; None when it stays without or goes away."""
        for _attempt in range(_SETTLE_TRIES):
            time.sleep(_SETTLE_SECONDS)
            if not os.path.isdir(folder):
                return None
            type_id = self.reader.link_name(os.path.join(folder, "mdev_type"))
            if type_id is not None:
                return type_id
        return None
