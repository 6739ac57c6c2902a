# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong, one class a kind. The message is for the operator, the facts are for playbooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Optional, Union

from .inventory import Device, User

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


def users_text(users: Optional[tuple[User, ...]]) -> str:
    """The users in one line of an error message."""
    if not users:
        return "a process that can't be seen from here"
    return ", ".join(
        f"{user.command} (pid {user.pid})" + (f", guest '{user.guest}'" if user.guest else "") for user in users
    )


def in_use_error(device: Device, evidence: str) -> InUse:
    """Nothing is done to a device in use: says by whom and how that was seen."""
    return InUse(
        f"{device.words} is in use by {users_text(device.users)}: {evidence}. "
        "Nothing was changed. Shut the guest down or detach the device first",
        uuid=device.uuid,
        parent=device.parent,
        type=device.type_id,
        used_by=used_by(device),
    )


def removing_error(device: Device, seen: str) -> Removing:
    """The kernel holds half of the device and waits for its user."""
    return Removing(
        f"{device.words} is half removed: {seen}. It waits for {users_text(device.users)}. "
        "Until then its instance stays taken and its UUID can't be created anew; the guest runs on. "
        "End that process, and the kernel finishes the removal by itself",
        uuid=device.uuid,
        parent=device.parent,
        used_by=used_by(device),
    )


def used_by(device: Device) -> list[dict[str, object]]:
    """The users as results show them."""
    return [{"pid": user.pid, "command": user.command, "guest": user.guest} for user in device.users or ()]


def several(problems: Sequence[tuple[str, MdevError]]) -> MdevError:
    """One error for all problems, each with what it is about. Devices of one entry mostly have the same."""
    alike: dict[tuple[str, str], list[str]] = {}
    for label, error in problems:
        alike.setdefault((label, error.kind), []).append(error.message)
    about: dict[str, list[str]] = {}
    for (label, _kind), messages in alike.items():
        about.setdefault(_one_for_all(messages), []).append(label)
    lines = [_labelled(labels, text) for text, labels in about.items()]
    facts: list[dict[str, object]] = [
        {"entry": label, "message": error.message, **error.as_result()} for label, error in problems
    ]
    if len(lines) > 1:
        return Several(f"{len(lines)} problems, nothing was changed. {' | '.join(lines)}", errors=facts)
    first = problems[0][1]
    more: dict[str, Fact] = {"errors": facts} if len(facts) > 1 else {}
    return type(first)(lines[0], **first.facts, **more)


def _one_for_all(messages: Sequence[str]) -> str:
    others = len(set(messages)) - 1
    return messages[0] + (f". It is the same with {others} more of its devices" if others else "")


def _labelled(labels: Sequence[str], text: str) -> str:
    known = dict.fromkeys(label for label in labels if label)
    return f"{', '.join(known)}: {text}" if known else text
