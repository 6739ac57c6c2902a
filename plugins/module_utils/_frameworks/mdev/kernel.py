# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Creating and removing mediated devices through sysfs.

Every refusal of the kernel becomes an error that keeps its errno and explains what it means there.
Source: drivers/vfio/mdev/mdev_core.c and mdev_sysfs.c, and the answers of real drivers.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Optional

from ..._host.reader import Reader, is_gone
from ..._host.sysfs_writer import wait_until
from ..._host.users import exclusive_use
from ..._model.errors import KernelRefused, MdevError
from ..._model.inventory import Device, Parent
from ..device_files import APPEAR_SECONDS, READ_ONLY_SYSFS, DeviceFiles, NoAnswer, answer_text, may_come
from .reader import read_mdev

_CREATE_MEANS = {
    errno.EEXIST: "a device with this UUID already exists on the host, on any parent, or is half removed",
    errno.ENOSPC: "the parent has no instance of this type left",
    errno.EUSERS: "the parent has no instance of this type left",
    errno.EINVAL: "the driver does not accept this type on this parent now: on many cards one type excludes the "
    "others, or no capacity is left",
    errno.EPERM: "the driver does not allow this type on this parent now, or the module does not run as root",
    errno.EACCES: "only root may create devices",
    errno.ENODEV: "the parent's driver is being unloaded",
    errno.ENOENT: "the parent or the type no longer exists",
    errno.EBUSY: "the parent is busy",
    # nv_vgpu_vfio_create of NVIDIA's driver answers this to everything that is wrong with a creation.
    errno.EIO: "the driver or the card failed: see the kernel log (NVIDIA's driver also reports this for a type that "
    "the card can't take now)",
    errno.ENOMEM: "the kernel had no memory for the device",
    errno.EROFS: READ_ONLY_SYSFS,
}
_REMOVE_MEANS = {
    errno.EAGAIN: "the device is already being removed",
    errno.EBUSY: "the driver reports that the device is in use",
    errno.EACCES: "only root may remove devices",
    errno.EROFS: READ_ONLY_SYSFS,
}


@dataclass(frozen=True)
class MdevKernel:
    """Creates and removes the mediated devices of one host."""

    device_files: DeviceFiles

    def create(self, parent: Parent, type_id: str, uuid: str) -> Device:
        """Creates the device and waits until its links are there."""
        path = os.path.join(parent.path, "mdev_supported_types", type_id, "create")
        try:
            self.device_files.write(path, uuid)
        except OSError as error:
            raise self._create_error(error, parent, type_id, uuid) from error
        return self.appeared(parent, type_id, uuid)

    def available_instances(self, parent: Parent, type_id: str) -> Optional[int]:
        """How many devices of the type the parent has left now. None if it can't be read."""
        path = os.path.join(parent.path, "mdev_supported_types", type_id, "available_instances")
        return Reader().number(path, optional=True)

    def remove(self, device: Device) -> None:
        """Removes an unused device.

        A device in use is refused before anything is written: the kernel would remove half of it at once and block
        the writer, beyond any signal, until the user closes it.
        """
        with exclusive_use(self.device_files.host, device):
            self.device_files.take_away(device, "remove", "1", _REMOVE_MEANS)
        if not wait_until(lambda: is_gone(device.path), APPEAR_SECONDS):
            raise self.device_files.half_removed(device, "the kernel accepted the removal, but the device still exists")

    def appeared(self, parent: Parent, type_id: str, uuid: str) -> Device:
        """The device as the kernel made it. Its group may come a moment later than the device."""
        group = os.path.join(parent.path, uuid, "iommu_group")
        wait_until(lambda: os.path.islink(group), APPEAR_SECONDS)
        device = read_mdev(Reader(), parent, uuid)
        if device is None or device.type_id != type_id:
            lost = KernelRefused(
                f"creating device {uuid} of type {type_id} on parent {parent.address} failed: "
                "the kernel reported success, but the device is not there, or can't be read. See the kernel log",
                errno=None,
                uuid=uuid,
                parent=parent.address,
                type=type_id,
            )
            if is_gone(os.path.join(parent.path, uuid)):
                raise lost
            text = ". NOT rolled back: if it exists, remove it with state: absent, or run this again"
            raise lost.extended(after=text, rolled_back=False)
        return device

    def _create_error(self, error: OSError, parent: Parent, type_id: str, uuid: str) -> MdevError:
        silent = isinstance(error, NoAnswer)
        left = None if silent else self.available_instances(parent, type_id)
        refused = KernelRefused(
            f"creating device {uuid} of type {type_id} on parent {parent.address} failed: "
            f"{answer_text(error, _CREATE_MEANS)}",
            errno=error.errno,
            uuid=uuid,
            parent=parent.address,
            type=type_id,
            available_instances=left,
        )
        if silent:
            return may_come(refused, "the device", "If it appears, remove it with state: absent, or run this again")
        return refused.extended(
            after=f". The parent has {'an unknown number' if left is None else left} of this type left"
        )
