# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong, one class a kind. The message is for the operator, the facts are for playbooks."""

from __future__ import annotations

from typing import ClassVar, Union

Fact = Union[None, bool, int, float, str, "list[str]", "list[dict[str, object]]", "dict[str, object]"]


class MdevError(Exception):
    """Base of all errors of this collection.

    The message says what was tried, on what, what came back, what that means and what to do.
    """

    kind: ClassVar[str] = "error"

    def __init__(self, message: str, **facts: Fact) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def as_result(self) -> dict[str, Fact]:
        """The error as it is returned by a failing module."""
        result: dict[str, Fact] = {"kind": self.kind}
        result.update(self.facts)
        return result


class InvalidInput(MdevError):
    """What the user gave can't be right on any host."""

    kind = "invalid_input"


class NotFound(MdevError):
    """A parent or type that this host does not have."""

    kind = "not_found"


class Ambiguous(MdevError):
    """A name that stands for more than one thing on this host."""

    kind = "ambiguous"


class NoRoom(MdevError):
    """No candidate has an instance of the type left."""

    kind = "no_room"


class Mismatch(MdevError):
    """The UUID exists with another type or parent, or an attribute that can't be changed differs."""

    kind = "mismatch"


class InUse(MdevError):
    """A process holds the device."""

    kind = "in_use"


class HasDevices(MdevError):
    """A card's virtual functions would go, and with them what is on them though nobody uses it."""

    kind = "has_devices"


class VfsMissing(MdevError):
    """A card does not have the number of virtual functions that it was given."""

    kind = "vfs_missing"


class Removing(MdevError):
    """The device is half removed: the kernel waits for its user."""

    kind = "removing"


class KernelRefused(MdevError):
    """A write to sysfs failed. errno and error are the kernel's."""

    kind = "kernel_refused"


class FilesRefused(MdevError):
    """A definition on disk could not be written or removed."""

    kind = "files_refused"


class NoAutostart(MdevError):
    """A device was to be started at boot, on a host where nothing would do that."""

    kind = "no_autostart"


class BackendFailed(MdevError):
    """mdevctl or libvirt answered with an error, which is in the message as it came."""

    kind = "backend_failed"


class LockTimeout(MdevError):
    """Another run works on this host's devices and did not finish in time."""

    kind = "lock_timeout"


class Several(MdevError):
    """More than one problem was found before anything was touched. They are in errors, each with its kind."""

    kind = "several"


class NotReady(MdevError):
    """A migration's destination can't take the guests. All findings are in checks."""

    kind = "not_ready"


class NotMigrated(MdevError):
    """A guest is not at the destination with the devices that were prepared for it."""

    kind = "not_migrated"


class GuestsUnknown(MdevError):
    """libvirt did not tell of its guests. What virsh said is in the message as it came."""

    kind = "guests_unknown"


class MissingLibrary(MdevError):
    """A Python library that the request needs is not on the host."""

    kind = "missing_library"
