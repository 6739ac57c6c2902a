# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Acting through sysfs: create a device, remove it, write an attribute.

Every refusal of the kernel becomes an error that keeps its errno and says what it means there.
Source: drivers/vfio/mdev/mdev_core.c and mdev_sysfs.c, and what real drivers answered.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import Optional

from ..._host.paths import HostPaths
from ..._host.reader import Reader, errno_text
from ..._host.sysfs_writer import Remover, waited_for, write
from ..._host.users import kept_unused, with_users
from ..._model.errors import KernelRefused, Removing, removing_error
from ..._model.inventory import Attribute, Device, LiveAttribute, Parent
from .reader import SysfsReader

# A removal takes milliseconds, a vendor's driver some seconds. One that takes longer waits for a user.
REMOVE_SECONDS = 30.0
APPEAR_SECONDS = 2.0

_CREATE_MEANS = {
    errno.EEXIST: "a device with this UUID is already on the host, under any parent, or half removed",
    errno.ENOSPC: "the parent has no instance of this type left",
    errno.EUSERS: "the parent has no instance of this type left",
    errno.EINVAL: "the driver does not take this type here now: on many cards one type excludes the others, "
    "or nothing is left",
    errno.EPERM: "the driver does not allow this type here now, or this is not root",
    errno.EACCES: "only root may create devices",
    errno.ENODEV: "the parent's driver is being unloaded",
    errno.ENOENT: "the parent or the type is gone",
    errno.EBUSY: "the parent is busy",
    # nv_vgpu_vfio_create of NVIDIA's driver has this one answer to whatever is wrong with a creation.
    errno.EIO: "the driver or the card failed: see the kernel log (NVIDIA's driver also says this of a type that the "
    "card can't take now)",
    errno.ENOMEM: "the kernel had no memory for it",
    errno.EROFS: "sysfs is mounted read-only: in a container it must be mounted writable",
}
_ATTRIBUTE_MEANS = {
    errno.ENOENT: "the driver has no such attribute",
    errno.EACCES: "the attribute is read-only, or this is not root",
    errno.EPERM: "the driver does not allow the change now",
    errno.EINVAL: "the driver does not take this value",
    errno.EBUSY: "the driver does not allow the change while the device is in use",
    errno.EADDRINUSE: "another AP device has one of the queues that this would add",
    errno.EADDRNOTAVAIL: "not all queues that this would add are bound to vfio_ap: see apmask and aqmask in "
    "/sys/bus/ap",
    errno.ENODEV: "what the value names is not there",
    errno.EISDIR: "it is a folder, not an attribute",
    errno.EROFS: "sysfs is mounted read-only: in a container it must be mounted writable",
}
_REMOVE_MEANS = {
    errno.EAGAIN: "another removal of it is under way",
    errno.EBUSY: "the driver says it is in use",
    errno.EACCES: "only root may remove devices",
    errno.EROFS: "sysfs is mounted read-only: in a container it must be mounted writable",
}
_ELSE = "see the kernel log"

# Errors of a creation that another parent might not give.
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EUSERS, errno.EINVAL, errno.EPERM, errno.EBUSY, errno.EIO})

# Errors of a change to a live device that may go away when it is started anew.
WAIT_ERRNOS = frozenset({errno.EBUSY, errno.EPERM, errno.EACCES})


@dataclass(frozen=True)
class Kernel:
    """The verbs of sysfs on one host."""

    paths: HostPaths
    remover: Remover = field(default_factory=Remover)

    def create(self, parent: Parent, type_id: str, uuid: str) -> Device:
        """Creates the device and waits until its links are there."""
        path = os.path.join(parent.path, "mdev_supported_types", type_id, "create")
        try:
            write(path, uuid)
        except OSError as error:
            raise self._create_error(error, parent, type_id, uuid) from error
        return self.appeared(parent, type_id, uuid)

    def available_instances(self, parent: Parent, type_id: str) -> Optional[int]:
        """How many devices of the type the parent has left now. None where it can't be read."""
        path = os.path.join(parent.path, "mdev_supported_types", type_id, "available_instances")
        return Reader().number(path, optional=True)

    def remove(self, device: Device) -> None:
        """Removes an unused device. Gives up on the write after REMOVE_SECONDS; the kernel then still waits.

        A device in use is refused before anything is written: the kernel would take half of it away at once and
        block the writer, beyond any signal, until the user lets go.
        """
        with kept_unused(self.paths, device):
            self.take_away(device, "remove", "1", _REMOVE_MEANS)
        if not waited_for(lambda: not os.path.isdir(device.path), APPEAR_SECONDS):
            raise self.half_removed(device, "the kernel took the removal but the device is still there")

    def take_away(self, device: Device, file: str, text: str, meanings: dict[int, str]) -> None:
        """Writes to the file of an unused device that takes it away. meanings: of what the kernel may answer."""
        number = self.remover.write(os.path.join(device.path, file), REMOVE_SECONDS, text)
        if number is None:
            raise self.half_removed(device, f"the kernel did not finish the removal in {REMOVE_SECONDS:.0f} s")
        if number not in (0, errno.ENOENT):
            error = OSError(number, os.strerror(number))
            raise refused(error, f"removing {device.words}", meanings, device)

    def write_attribute(self, device: Device, attribute: Attribute) -> None:
        """Writes one attribute, with a newline at the end as echo does: some drivers eat the last character."""
        path = self._attribute_path(device, attribute.name)
        try:
            write(path, attribute.value + "\n")
        except OSError as error:
            tried = f"writing '{attribute.value}' to '{attribute.name}' of {device.words}"
            raise refused(error, tried, _ATTRIBUTE_MEANS, device, attribute=attribute.name) from error

    def parent_nodedev(self, address: str) -> Optional[str]:
        """libvirt's name for a parent that is there now."""
        found = SysfsReader(self.paths, Reader()).inventory(only=address).parent(address)
        return found.nodedev if found is not None else None

    def live_attributes(self, device: Device, names: tuple[str, ...]) -> tuple[LiveAttribute, ...]:
        """What these attributes of a device read as now, and whether they can be written."""
        return tuple(self._live_attribute(device, name) for name in dict.fromkeys(names))

    def _live_attribute(self, device: Device, name: str) -> LiveAttribute:
        path = self._attribute_path(device, name)
        try:
            mode = os.stat(path).st_mode
        except OSError:
            return LiveAttribute(name, exists=False)
        value = Reader().text(path, optional=True) if mode & 0o444 else None
        return LiveAttribute(name, exists=True, readable=bool(mode & 0o444), writable=bool(mode & 0o222), value=value)

    def half_removed(self, device: Device, seen: str) -> Removing:
        """The error for a device that the kernel has taken away in part."""
        return removing_error(with_users(self.paths, Reader(), (device,))[0], seen)

    def _attribute_path(self, device: Device, name: str) -> str:
        """Where the attribute is. Links are not followed out of the device's folder."""
        path = os.path.join(device.path, name)
        if not os.path.realpath(path).startswith(os.path.realpath(device.path) + os.sep):
            error = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            tried = f"looking for attribute '{name}' of {device.words}"
            raise refused(error, tried, _ATTRIBUTE_MEANS, device, attribute=name)
        return path

    def appeared(self, parent: Parent, type_id: str, uuid: str) -> Device:
        """The device as the kernel made it. Its group may come a moment later than the device."""
        group = os.path.join(parent.path, uuid, "iommu_group")
        waited_for(lambda: os.path.islink(group), APPEAR_SECONDS)
        device = SysfsReader(self.paths, Reader()).device(parent, uuid)
        if device is None or device.type_id != type_id:
            raise KernelRefused(
                f"creating device {uuid} of type {type_id} on parent {parent.address} failed: "
                "the kernel reported success, but the device is not there. See the kernel log",
                uuid=uuid,
                parent=parent.address,
                type=type_id,
                errno=None,
            )
        return device

    def _create_error(self, error: OSError, parent: Parent, type_id: str, uuid: str) -> KernelRefused:
        left = self.available_instances(parent, type_id)
        meaning = _CREATE_MEANS.get(error.errno or 0, _ELSE)
        return KernelRefused(
            f"creating device {uuid} of type {type_id} on parent {parent.address} failed: the kernel answered "
            f"{errno_text(error)}, {meaning}. The parent says it has {'?' if left is None else left} of this type left",
            uuid=uuid,
            parent=parent.address,
            type=type_id,
            errno=error.errno,
            available_instances=left,
        )


def refused(
    error: OSError, tried: str, meanings: dict[int, str], device: Device, attribute: Optional[str] = None
) -> KernelRefused:
    """The error for what the kernel answered, with what that means."""
    meaning = meanings.get(error.errno or 0, _ELSE)
    return KernelRefused(
        f"{tried} failed: the kernel answered {errno_text(error)}, {meaning}",
        uuid=device.uuid,
        parent=device.parent,
        type=device.type_id,
        attribute=attribute,
        errno=error.errno,
    )
