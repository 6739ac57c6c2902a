# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The virtual functions of cards in NVIDIA's vendor VFIO framework, read from sysfs, and the notes about their vGPUs.

Source: NVIDIA vGPU User Guide: nvidia/creatable_vgpu_types and nvidia/current_vgpu_type below the function's folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

from ..._host.definitions import DefinitionFiles
from ..._host.paths import Host
from ..._host.reader import Reader, is_gone
from ..._model.addresses import address_key
from ..._model.framework import Framework
from ..._model.inventory import BrokenDefinition, Definition, Device, Inventory, Parent
from ..sysfs_devices import read_device, read_parent
from .rules import NO_TYPE, Function, in_this_mode, key_of, parse_types, remembered_names, types_of

if TYPE_CHECKING:
    from ..drivers.nvidia_smi_text import VgpuType

CURRENT = os.path.join("nvidia", "current_vgpu_type")
# Where a vGPU landed: outputs of the driver, ENXIO until it exists (bigstack-oss/cubecos, config_gpu.cpp).
_INSTANCE = os.path.join("nvidia", "gpu_instance_id")
_PLACEMENT = os.path.join("nvidia", "placement_id")
_CREATABLE = os.path.join("nvidia", "creatable_vgpu_types")


def definition_files(host: Host, framework: Framework) -> DefinitionFiles:
    """Definitions of vGPUs, which the driver forgets at a reboot. The folder is beside mdevctl's, which ignores it."""
    return DefinitionFiles(os.path.join(os.path.dirname(host.definitions_path), "vfio-mdev.d"), framework)


def note_files(host: Host, framework: Framework) -> DefinitionFiles:
    """Notes of the vGPUs that are set, in the form of definitions. They are gone after a reboot, as the vGPUs are."""
    return DefinitionFiles(host.beside("run", "vfio-mdev", "vgpus"), framework, durable=False)


@dataclass(frozen=True)
class VendorVfioReader:
    """Reads the functions of one host. The reader notes the files that could not be read."""

    host: Host
    reader: Reader
    framework: Framework

    def inventory(self) -> Inventory:
        """The functions as parents, the vGPUs on them as devices, and the definitions."""
        parents = [self._parent(folder) for folder in self.folders()]
        definitions, broken = definition_files(self.host, self.framework).read(self.reader)
        if not parents:
            return Inventory(definitions=definitions, broken=broken)
        notes, broken_notes = note_files(self.host, self.framework).read(self.reader)
        return self._described(parents, definitions, notes, (*broken, *broken_notes))

    def function(self, parent: Parent) -> Function:
        """The parent's function, with its current type and the types that it offers now."""
        return Function(
            address=parent.address,
            pci=parent.pci,
            current=self.reader.text(os.path.join(parent.path, CURRENT)),
            # Empty if nothing can be set now.
            creatable=parse_types(self.reader.text(os.path.join(parent.path, _CREATABLE), optional=True) or ""),
        )

    def _parent(self, folder: str) -> Parent:
        """The function as a parent. Its types are added after all functions are read."""
        entries = self.reader.names(folder)
        return read_parent(self.reader, os.path.basename(folder), folder, entries, (), self.framework)

    def marked_function(self, folder: str) -> Function:
        """The function with this folder, with its current type and its mark only."""
        return Function(os.path.basename(folder), None, current_type(folder), {}, mark_on(folder))

    def folders(self) -> list[str]:
        """The folders of all functions."""
        bus = os.path.join(self.host.sys, "bus", "pci", "devices")
        names = (
            name for name in self.reader.names(bus, optional=True) if not is_gone(os.path.join(bus, name, CURRENT))
        )
        return [os.path.realpath(os.path.join(bus, name)) for name in sorted(names, key=address_key)]

    def _described(
        self,
        parents: Sequence[Parent],
        definitions: Sequence[Definition],
        notes: Sequence[Definition],
        broken: tuple[BrokenDefinition, ...],
    ) -> Inventory:
        names = remembered_names(notes)
        functions = [self.function(parent) for parent in parents]
        listed = self._listed(parents, functions)
        described: list[Parent] = []
        devices: list[Device] = []
        for parent, function in zip(parents, functions):
            types = types_of(function, functions, names, listed.get(parent.card, ()))
            described.append(replace(parent, types=types, is_unknown=function.current is None))
            if function.is_set:
                function = replace(function, mark=mark_on(parent.path))
                own = [note for note in notes if function.is_of(note)]
                key = key_of(function, (*own, *definitions))
                device = read_device(self.reader, described[-1], key, function.current)
                devices.append(self._placed(replace(device, proven=bool(own) or function.has_mark_of(key))))
        return Inventory(tuple(described), tuple(devices), tuple(definitions), broken)

    def _listed(self, parents: Sequence[Parent], functions: Sequence[Function]) -> dict[str, tuple[VgpuType, ...]]:
        """What nvidia-smi lists for each card, in its mode. Empty without the tool."""
        # Imported here so that hosts without such functions don't load it.
        from ..drivers.nvidia_smi import NvidiaSmi

        smi = NvidiaSmi(self.host)
        if not smi.exists():
            return {}
        offered: dict[str, set[str]] = {}
        for parent, function in zip(parents, functions):
            offered.setdefault(parent.card, set()).update(function.creatable, {function.current or NO_TYPE})
        return {card: in_this_mode(types, offered.get(card, ())) for card, types in smi.types(offered).items()}

    def _placed(self, device: Device) -> Device:
        """The device with its place on the card. Older drivers do not have the files."""
        quiet = Reader()
        return replace(
            device,
            gpu_instance_id=quiet.number(os.path.join(device.path, _INSTANCE), optional=True),
            placement_id=quiet.number(os.path.join(device.path, _PLACEMENT), optional=True),
        )


def forget_stale_notes(host: Host, framework: Framework) -> None:
    """Removes the notes of vGPUs that are gone: of functions that certainly have none, or one of somebody else."""
    files = note_files(host, framework)
    notes = files.read(Reader())[0] if os.path.isdir(files.folder) else ()
    if not notes:
        return
    reader = VendorVfioReader(host, Reader(), framework)
    functions = {os.path.basename(folder): reader.marked_function(folder) for folder in reader.folders()}
    for note in notes:
        function = functions.get(note.parent)
        if functions and (function is None or (function.current is not None and not function.is_of(note))):
            files.remove(note)


def mark_on(parent_path: str) -> Optional[int]:
    """When the file of a function's current type was last changed, in nanoseconds. None if this is unknown."""
    try:
        return os.stat(os.path.join(parent_path, CURRENT)).st_mtime_ns
    except OSError:
        return None


def current_type(parent_path: str) -> Optional[str]:
    """The id of the type that is set on a function now, NO_TYPE if none is. None if it can't be read."""
    return Reader().text(os.path.join(parent_path, CURRENT))
