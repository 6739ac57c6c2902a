# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of an active device in sysfs: reads and writes attributes, and removes devices by writing to a file.

Every refusal of the kernel becomes an error that keeps its errno and explains what it means there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from .._host.paths import Host
from .._host.reader import Reader, errno_text, is_gone
from .._host.sysfs_writer import SysfsWriter
from .._host.users import with_users
from .._model.errors import KernelRefused, MdevError
from .._model.inventory import Attribute, Device, LiveAttribute
from .._model.refusals import pending_removal_error

# A removal takes milliseconds, or some seconds with a vendor's driver. If it takes longer, it waits for a user.
REMOVE_SECONDS = 30.0
# The same for a creation or an attribute. The boot program and other runs wait for the lock at least as long.
WRITE_SECONDS = 30.0
# How long a driver may take to finish after it has answered.
APPEAR_SECONDS = 2.0

READ_ONLY_SYSFS = "sysfs is mounted read-only: in a container it must be mounted writable"
SEE_LOG = "see the kernel log"

_ATTRIBUTE_MEANS = {
    errno.ENOENT: "the driver has no such attribute",
    errno.EACCES: "the attribute is read-only, or the module does not run as root",
    errno.EPERM: "the driver does not allow the change now",
    errno.EINVAL: "the driver does not accept this value",
    errno.EBUSY: "the driver does not allow the change while the device is in use",
    errno.EADDRINUSE: "another AP device already has one of the queues that this would add",
    errno.EADDRNOTAVAIL: "not all queues that this would add are bound to vfio_ap: see apmask and aqmask in "
    "/sys/bus/ap",
    errno.ENODEV: "the value refers to something that does not exist",
    errno.EISDIR: "it is a folder, not an attribute",
    errno.EROFS: READ_ONLY_SYSFS,
}

# Errors of a creation that another parent might not give.
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EUSERS, errno.EINVAL, errno.EPERM, errno.EBUSY, errno.EIO})
# Errors when an active device is changed that may not occur when the device is next started.
WAIT_ERRNOS = frozenset({errno.EBUSY, errno.EPERM, errno.EACCES})


@dataclass(frozen=True)
class DeviceFiles:
    """The devices of one host."""

    host: Host
    writer: SysfsWriter = field(default_factory=SysfsWriter)

    def write(self, path: str, text: str) -> None:
        """Writes a file that the driver may block. Raises the driver's answer, or NoAnswer after WRITE_SECONDS."""
        errno_ = self.writer.write(path, WRITE_SECONDS, text)
        if errno_ is None:
            raise NoAnswer(f"the driver did not answer within {WRITE_SECONDS:g} s, and the write still waits")
        if errno_ == errno.ECHILD:
            raise NoAnswer("the process that wrote ended before the driver answered")
        if errno_:
            raise OSError(errno_, os.strerror(errno_))

    def take_away(self, device: Device, file: str, text: str, meanings: Mapping[int, str]) -> None:
        """Writes to the file of an unused device that removes it. meanings: of the errors that the kernel may answer.

        Gives up after REMOVE_SECONDS. The kernel then continues to wait.
        """
        path = os.path.join(device.path, file)
        errno_ = self.writer.write(path, REMOVE_SECONDS, text)
        if errno_ is None:
            raise self.half_removed(device, f"the kernel did not finish the removal within {REMOVE_SECONDS:.0f} s")
        if errno_ == errno.ECHILD and (is_gone(path) or Reader().text(path, optional=True) == text):
            # The process that writes was lost with the kernel's answer, and the device is gone.
            return
        if errno_ not in (0, errno.ENOENT):
            error = OSError(errno_, os.strerror(errno_))
            raise kernel_error(error, f"removing {device.label}", meanings, device)

    def half_removed(self, device: Device, evidence: str) -> MdevError:
        """The error for a device that the kernel has removed only in part. Nothing brings it back."""
        return pending_removal_error(with_users(self.host, Reader(), (device,))[0], evidence).extended(
            rolled_back=False
        )

    def write_attribute(self, device: Device, attribute: Attribute) -> None:
        """Writes one attribute, with a newline at the end as echo does: some drivers cut off the last character."""
        path = self._attribute_path(device, attribute.name)
        try:
            self.write(path, attribute.value + "\n")
        except OSError as error:
            action = f"writing '{attribute.value}' to '{attribute.name}' of {device.label}"
            raise kernel_error(error, action, _ATTRIBUTE_MEANS, device, attribute=attribute.name) from error

    def live_attributes(self, device: Device, names: tuple[str, ...]) -> tuple[LiveAttribute, ...]:
        """The current values of these attributes of a device, and whether they can be written."""
        return tuple(self._live_attribute(device, name) for name in dict.fromkeys(names))

    def _live_attribute(self, device: Device, name: str) -> LiveAttribute:
        path = self._attribute_path(device, name)
        try:
            mode = os.stat(path).st_mode
        except OSError:
            return LiveAttribute(name, exists=False)
        value = Reader().text(path, optional=True) if mode & 0o444 else None
        return LiveAttribute(name, exists=True, readable=bool(mode & 0o444), writable=bool(mode & 0o222), value=value)

    def _attribute_path(self, device: Device, name: str) -> str:
        """The attribute's path. Links out of the device's folder are not followed."""
        path = os.path.join(device.path, name)
        if not os.path.realpath(path).startswith(os.path.realpath(device.path) + os.sep):
            error = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            action = f"looking for attribute '{name}' of {device.label}"
            raise kernel_error(error, action, _ATTRIBUTE_MEANS, device, attribute=name)
        return path


class NoAnswer(OSError):
    """A write that has not returned. It may still succeed. It has no errno."""


def answer_text(error: OSError, meanings: Mapping[int, str]) -> str:
    """What the driver answered to a write, and what it means."""
    if isinstance(error, NoAnswer):
        return f"{error}: {SEE_LOG}"
    return f"the kernel answered {errno_text(error)}, {meanings.get(error.errno or 0, SEE_LOG)}"


def may_come(error: KernelRefused, what: str, remedy: str) -> MdevError:
    """The error of a creation that the driver has not answered, with what may be left."""
    return error.extended(after=f". NOT rolled back: the driver may still create {what}. {remedy}", rolled_back=False)


def kernel_error(
    error: OSError, action: str, meanings: Mapping[int, str], device: Device, attribute: Optional[str] = None
) -> KernelRefused:
    """The error for the kernel's answer, with its meaning."""
    return KernelRefused(
        f"{action} failed: {answer_text(error, meanings)}",
        errno=error.errno,
        attribute=attribute,
        uuid=device.uuid,
        parent=device.parent,
        type=device.type_id,
    )
