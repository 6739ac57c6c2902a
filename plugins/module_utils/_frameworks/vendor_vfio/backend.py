# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Acting in NVIDIA's vendor VFIO framework: sets a vGPU type on a virtual function, and clears it. No tool does this.

Source: NVIDIA vGPU User Guide: writing the type's id to nvidia/current_vgpu_type sets it, writing 0 clears it. Each
vGPU that this collection sets is noted, so that it is found again. The file of its type gets a mark, so that a vGPU set
by others since is not taken for it.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Optional

from ..._host.definitions import DefinitionFiles
from ..._host.reader import Reader
from ..._host.sysfs_writer import wait_until
from ..._host.users import exclusive_use
from ..._model.errors import KernelRefused, MdevError, Mismatch, Unexpected
from ..._model.inventory import Attribute, Definition, Device, Parent
from ..backend import Backend
from ..device_files import APPEAR_SECONDS, READ_ONLY_SYSFS, DeviceFiles, NoAnswer, answer_text, may_come
from ..sysfs_devices import read_device
from .framework import VENDOR_VFIO
from .reader import CURRENT, VendorVfioReader, current_type, definition_files, mark_on, note_files
from .rules import NO_TYPE, mark_of, with_mark, with_type_name

# NVIDIA's driver as shipped answers EIO for everything that the card can't take. Its kernel patches are more specific.
_SET_MEANS = {
    errno.EIO: "the card does not accept this type now (it has no memory left for it, or holds types of another size), "
    "or it failed: see the kernel log and the journal of nvidia-vgpu-mgr",
    errno.EINVAL: "the card holds types of another size or is in another mode",
    errno.ENOSPC: "the card has no room left for this type",
    errno.EPERM: "the function already has a type, or the module does not run as root",
    errno.EACCES: "only root may set types",
    errno.EBUSY: "the function is in use",
    errno.ENODEV: "the driver does not know this type, or is being unloaded",
    errno.ENOENT: "the function no longer exists, or has another driver now",
    errno.EROFS: READ_ONLY_SYSFS,
}
_CLEAR_MEANS = {
    errno.EPERM: "the driver reports that the vGPU is in use, or the module does not run as root",
    errno.EBUSY: "the driver reports that the vGPU is in use",
    errno.EACCES: "only root may clear types",
    errno.EROFS: READ_ONLY_SYSFS,
}


@dataclass(frozen=True)
class VendorVfioBackend(Backend):
    """The only backend of this framework, whichever is chosen for mediated devices."""

    notes: DefinitionFiles

    def available_instances(self, parent: Parent, type_id: str) -> Optional[int]:
        """1 if the function could get this type now, else 0. None if it can't be read."""
        return self._reader().function(parent).available_instances(type_id)

    def create(self, parent: Parent, type_id: str, key: str, attributes: tuple[Attribute, ...]) -> Device:
        """Sets the type and writes attributes in order. When one fails, the type is cleared again."""
        if current_type(parent.path) is None:
            raise self._not_set(parent, type_id, f"{CURRENT} can't be read, so its current type is unknown", None)
        mdev_type = parent.type(type_id)
        note = with_type_name(
            Definition(parent.address, parent.address, type_id, VENDOR_VFIO, key=key, attributes=attributes),
            mdev_type.name if mdev_type is not None else None,
        )
        if _mark(parent.path, key):
            note = with_mark(note)
        # Written before the type is set: a run that is killed in between leaves no vGPU without an owner.
        for former in self._notes_of(parent.address):
            self.notes.remove(former)
        self.notes.write(note)
        try:
            self._set(parent, type_id)
        except Exception as error:
            known = error if isinstance(error, MdevError) else Unexpected.from_exception(error)
            # A vGPU that may still come is ours.
            raise known if known.rolled_back is not None else self._without_note(note, known) from error
        device = read_device(Reader(), parent, key, type_id)
        self.set_attributes(device, attributes)
        return device

    def noted_attributes(self, device: Device) -> tuple[Attribute, ...]:
        """Those of its note."""
        notes = self.notes.read(Reader())[0] if device.proven else ()
        return next((note.attributes for note in notes if (note.parent, note.key) == (device.parent, device.key)), ())

    def remove(self, device: Device) -> None:
        """Clears the type of an unused function, if it is still the device's type."""
        with exclusive_use(self.device_files.host, device):
            now = current_type(device.path)
            if now != device.type_id:
                raise Mismatch(
                    f"removing {device.label} failed: it had type {device.type_id}, but the function has type {now} "
                    "now, so something else changes it at the same time. The function was left unchanged",
                    parent=device.parent,
                    type=now,
                )
            # A note that outlived its vGPU would make the next one on this function ours.
            hidden: list[Definition] = []
            try:
                for note in self._notes_of(device.parent):
                    self.notes.hide(note)
                    hidden.append(note)
                self.device_files.take_away(device, CURRENT, NO_TYPE, _CLEAR_MEANS)
            except Exception as error:
                known = error if isinstance(error, MdevError) else Unexpected.from_exception(error)
                raise self._kept(device, hidden, known) from error
        if not wait_until(lambda: current_type(device.path) == NO_TYPE, APPEAR_SECONDS):
            raise self.device_files.half_removed(device, "the driver accepted the removal, but the type is still set")
        for note in hidden:
            self.notes.forget(note)
        _unmark(device.path)

    def _kept(self, device: Device, hidden: list[Definition], error: MdevError) -> MdevError:
        """The error for a vGPU that could not be cleared. It stays ours, as long as nothing else is set."""
        try:
            for note in hidden if current_type(device.path) in (device.type_id, None) else ():
                self.notes.show(note)
        except MdevError as problem:
            text = f". NOT rolled back: it no longer counts as created by this collection: {problem}"
            return error.extended(after=text, rolled_back=False)
        return error

    def _without_note(self, note: Definition, error: MdevError) -> MdevError:
        """The error for a vGPU that was not set, after its note was removed."""
        try:
            self.notes.remove(note)
        except MdevError as problem:
            return error.extended(
                after=f". NOT rolled back: the note about the vGPU is left: {problem}", rolled_back=False
            )
        return error

    def _set(self, parent: Parent, type_id: str) -> None:
        try:
            self.device_files.write(os.path.join(parent.path, CURRENT), type_id)
        except OSError as error:
            refused = self._not_set(parent, type_id, answer_text(error, _SET_MEANS), error.errno)
            if isinstance(error, NoAnswer):
                raise may_come(refused, "the vGPU", "If it appears, run this again, or clear it") from error
            raise refused from error
        if not wait_until(lambda: current_type(parent.path) == type_id, APPEAR_SECONDS):
            now = current_type(parent.path)
            refused = self._not_set(
                parent, type_id, f"the driver accepted the write, but the function has type {now}", None
            )
            if now is None:
                text = ". NOT rolled back: the type can't be read, so it may be set. Run this again, or clear it"
                raise refused.extended(after=text, rolled_back=False)
            raise refused

    def _not_set(self, parent: Parent, type_id: str, answer: str, errno_: Optional[int]) -> KernelRefused:
        offered = sorted(self._reader().function(parent).creatable)
        return KernelRefused(
            f"setting vGPU type {type_id} on {parent.address} failed: {answer}. "
            f"Types that the function can get now: {', '.join(offered) or 'none'}",
            errno=errno_,
            parent=parent.address,
            type=type_id,
            available_instances=int(type_id in offered),
        )

    def _notes_of(self, address: str) -> list[Definition]:
        """The notes about a function."""
        return [note for note in self.notes.read(Reader())[0] if note.parent == address]

    def _reader(self) -> VendorVfioReader:
        return VendorVfioReader(self.device_files.host, Reader(), VENDOR_VFIO)


def _mark(parent_path: str, key: str) -> bool:
    """Marks a function for the vGPU that it will get. Returns whether sysfs keeps the mark."""
    mark = mark_of(key, os.path.basename(parent_path))
    try:
        os.utime(os.path.join(parent_path, CURRENT), ns=(mark, mark))
    except OSError:
        return False
    return mark_on(parent_path) == mark


def _unmark(parent_path: str) -> None:
    try:
        os.utime(os.path.join(parent_path, CURRENT))
    except OSError:
        return


def choose_vendor_vfio_backend(_choice: str, device_files: DeviceFiles, _uri: str) -> VendorVfioBackend:
    """The backend, whichever was chosen: no tool supports this framework."""
    host = device_files.host
    return VendorVfioBackend(device_files, definition_files(host, VENDOR_VFIO), note_files(host, VENDOR_VFIO))
