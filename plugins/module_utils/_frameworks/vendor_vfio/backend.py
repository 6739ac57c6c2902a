# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Acting under NVIDIA's own VFIO framework: a vGPU type is set on a virtual function, and cleared. No tool knows how.

Source: NVIDIA vGPU User Guide: the type's id written to nvidia/current_vgpu_type sets it, 0 clears it. What was set is
noted, so that it is found again, and so that nobody clears what somebody else has set there since.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Optional

from ..._host.definitions import DefinitionFiles
from ..._host.reader import Reader, errno_text
from ..._host.sysfs_writer import waited_for, write
from ..._host.users import kept_unused
from ..._model.errors import KernelRefused, Mismatch
from ..._model.inventory import VENDOR_VFIO, Attribute, Definition, Device, Parent
from ..mdev.kernel import APPEAR_SECONDS, Kernel
from ..mdev.reader import SysfsReader
from ..mdev.sysfs import give_attributes
from .reader import CURRENT, VendorReader, current_type, definition_files, note_files
from .rules import NO_TYPE, noted

# What NVIDIA's driver answers as shipped: EIO for all that the card can't take. Its patches for the kernel say more.
_SET_MEANS = {
    errno.EIO: "the card does not take this type now (no memory left for it, or it holds types of another size), or it "
    "failed: see the kernel log, and the journal of nvidia-vgpu-mgr",
    errno.EINVAL: "the card holds types of another size or is in another mode",
    errno.ENOSPC: "the card has no room for this type left",
    errno.EPERM: "the function has a type already, or this is not root",
    errno.EACCES: "only root may set types",
    errno.EBUSY: "the function is in use",
    errno.ENODEV: "the driver knows no such type, or is being unloaded",
    errno.ENOENT: "the function is gone, or has another driver now",
    errno.EROFS: "sysfs is mounted read-only: in a container it must be mounted writable",
}
_CLEAR_MEANS = {
    errno.EPERM: "the driver says that it is in use, or this is not root",
    errno.EBUSY: "the driver says that it is in use",
    errno.EACCES: "only root may clear types",
    errno.EROFS: "sysfs is mounted read-only: in a container it must be mounted writable",
}
_ELSE = "see the kernel log"


@dataclass(frozen=True)
class VendorBackend:
    """What stands for every backend on hosts with this framework."""

    kernel: Kernel
    files: DefinitionFiles
    notes: DefinitionFiles

    @classmethod
    def on(cls, kernel: Kernel) -> VendorBackend:
        """For the kernel's host."""
        return cls(kernel, definition_files(kernel.paths), note_files(kernel.paths))

    def available_instances(self, parent: Parent, type_id: str) -> int:
        """1 where the function could get this type now, else 0."""
        function = self._reader().function(parent)
        return int(not function.is_set and type_id in function.creatable)

    def create(self, parent: Parent, type_id: str, uuid: str, attributes: tuple[Attribute, ...]) -> Device:
        """Sets the type and writes attributes in order. When one fails, the type is cleared again."""
        note = Definition(uuid, parent.address, type_id, attributes=attributes, framework=VENDOR_VFIO)
        kind = parent.type(type_id)
        # Before the type is set: a run that is killed in between leaves no vGPU that is nobody's.
        self._forget_notes(parent.address)
        self.notes.write(noted(note, kind.name if kind is not None else None))
        try:
            self._set(parent, type_id)
        except KernelRefused:
            self.notes.remove(note)
            raise
        device = SysfsReader(self.kernel.paths, Reader()).described(parent, uuid, type_id)
        give_attributes(self, device, attributes)
        return device

    def remove(self, device: Device) -> None:
        """Clears the type of an unused function, if it is still the one that was found there."""
        with kept_unused(self.kernel.paths, device):
            now = current_type(device.path)
            if now != device.type_id:
                raise Mismatch(
                    f"{device.words} was of type {device.type_id}, and the function has type {now} now: somebody else "
                    "works on it. It was left alone",
                    parent=device.parent,
                    type=now,
                )
            self.kernel.take_away(device, CURRENT, NO_TYPE, _CLEAR_MEANS)
        if not waited_for(lambda: current_type(device.path) == NO_TYPE, APPEAR_SECONDS):
            raise self.kernel.half_removed(device, "the driver took the removal but the type is still set")
        self._forget_notes(device.parent)

    def write_attribute(self, device: Device, attribute: Attribute) -> None:
        """Writes an attribute of the function."""
        self.kernel.write_attribute(device, attribute)

    def define(self, definition: Definition, before: Optional[Definition]) -> None:
        """Writes a definition, new or in place of the one before."""
        self.files.write(definition)

    def undefine(self, definition: Definition) -> None:
        """Removes a definition."""
        self.files.remove(definition)

    def _set(self, parent: Parent, type_id: str) -> None:
        try:
            write(os.path.join(parent.path, CURRENT), type_id)
        except OSError as error:
            meaning = _SET_MEANS.get(error.errno or 0, _ELSE)
            answer = f"the kernel answered {errno_text(error)}, {meaning}"
            raise self._not_set(parent, type_id, answer, error.errno) from error
        if not waited_for(lambda: current_type(parent.path) == type_id, APPEAR_SECONDS):
            answer = f"the driver took it, but the function has type {current_type(parent.path)}"
            raise self._not_set(parent, type_id, answer, None)

    def _not_set(self, parent: Parent, type_id: str, answer: str, number: Optional[int]) -> KernelRefused:
        offered = sorted(self._reader().function(parent).creatable)
        return KernelRefused(
            f"setting vGPU type {type_id} on {parent.address} failed: {answer}. "
            f"Types that it could get now: {', '.join(offered) or 'none'}",
            parent=parent.address,
            type=type_id,
            errno=number,
            available_instances=int(type_id in offered),
        )

    def _forget_notes(self, address: str) -> None:
        for one in self.notes.read(Reader())[0]:
            if one.parent == address:
                self.notes.remove(one)

    def _reader(self) -> VendorReader:
        return VendorReader(self.kernel.paths, Reader())
