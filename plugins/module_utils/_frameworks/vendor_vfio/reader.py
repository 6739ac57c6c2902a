# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The virtual functions of cards under NVIDIA's own VFIO framework, read from sysfs, and the notes about their vGPUs.

Source: NVIDIA vGPU User Guide: nvidia/creatable_vgpu_types and nvidia/current_vgpu_type below the function's folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

from ..._host.definitions import DefinitionFiles
from ..._host.paths import HostPaths
from ..._host.reader import Reader
from ..._model.addresses import address_key
from ..._model.inventory import VENDOR_VFIO, BrokenDefinition, Definition, Device, Inventory, Parent
from ..mdev.reader import SysfsReader
from .rules import NO_TYPE, Function, parse_types, remembered_names, types_of, uuid_of

CURRENT = os.path.join("nvidia", "current_vgpu_type")
_CREATABLE = os.path.join("nvidia", "creatable_vgpu_types")


def definition_files(paths: HostPaths) -> DefinitionFiles:
    """Definitions of vGPUs: what is to be set after a boot, since the driver forgets."""
    return DefinitionFiles(paths.beside("etc", "vfio-mdev.d"), VENDOR_VFIO)


def note_files(paths: HostPaths) -> DefinitionFiles:
    """Notes of the vGPUs that are set, in the form of definitions. They are gone after a boot, as the vGPUs are."""
    return DefinitionFiles(paths.beside("run", "vfio-mdev", "vgpus"), VENDOR_VFIO)


@dataclass(frozen=True)
class VendorReader:
    """Reads the functions of one host. The reader collects what could not be read."""

    paths: HostPaths
    reader: Reader

    def inventory(self) -> Inventory:
        """The functions as parents, the vGPUs on them as devices, and what is defined."""
        parents = [self._parent(folder) for folder in self._folders()]
        definitions, broken = definition_files(self.paths).read(self.reader)
        if not parents:
            return Inventory(definitions=definitions, broken=broken)
        notes, bad_notes = note_files(self.paths).read(self.reader)
        return self._described(parents, definitions, notes, (*broken, *bad_notes))

    def function(self, parent: Parent) -> Function:
        """What the parent's function has and offers now."""
        return Function(
            address=parent.address,
            pci=parent.pci,
            current=self.reader.text(os.path.join(parent.path, CURRENT)) or NO_TYPE,
            # Empty where nothing can be set now.
            creatable=parse_types(self.reader.text(os.path.join(parent.path, _CREATABLE), optional=True) or ""),
        )

    def _parent(self, folder: str) -> Parent:
        """The function as a parent, whose types are known once all functions are read."""
        sysfs = SysfsReader(self.paths, self.reader)
        return sysfs.parent(os.path.basename(folder), folder, self.reader.names(folder), (), VENDOR_VFIO)

    def _folders(self) -> list[str]:
        bus = os.path.join(self.paths.sys, "bus", "pci", "devices")
        names = (
            name for name in self.reader.names(bus, optional=True) if os.path.exists(os.path.join(bus, name, CURRENT))
        )
        return [os.path.realpath(os.path.join(bus, name)) for name in sorted(names, key=address_key)]

    def _described(
        self,
        parents: Sequence[Parent],
        definitions: Sequence[Definition],
        notes: Sequence[Definition],
        broken: tuple[BrokenDefinition, ...],
    ) -> Inventory:
        sysfs = SysfsReader(self.paths, self.reader)
        names = remembered_names(notes)
        functions = [self.function(one) for one in parents]
        whole: list[Parent] = []
        devices: list[Device] = []
        for parent, function in zip(parents, functions):
            whole.append(replace(parent, types=types_of(function, functions, names)))
            if function.is_set:
                uuid = uuid_of(function, (*notes, *definitions))
                devices.append(sysfs.described(whole[-1], uuid, function.current))
        return Inventory(tuple(whole), tuple(devices), tuple(definitions), broken)


def current_type(parent_path: str) -> Optional[str]:
    """The id of the type that is set on a function now, NO_TYPE where none is. None where it can't be read."""
    return Reader().text(os.path.join(parent_path, CURRENT))
