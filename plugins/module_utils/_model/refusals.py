# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors that protect a device because of its users, with the same text wherever they are raised."""

from __future__ import annotations

from typing import Optional

from .errors import InUse, Removing
from .inventory import Device, User


def users_text(users: Optional[tuple[User, ...]]) -> str:
    """The users in one line of an error message."""
    if not users:
        return "a process that is not visible from here"
    return ", ".join(
        f"{user.command} (pid {user.pid})" + (f", guest '{user.guest}'" if user.guest else "") for user in users
    )


def in_use_error(device: Device, evidence: str) -> InUse:
    """The error for a device in use. It names the users and the evidence."""
    return InUse(
        f"{device.label} is in use by {users_text(device.users)}: {evidence}. "
        "Nothing was changed. Shut the guest down or detach the device first",
        uuid=device.uuid,
        parent=device.parent,
        type=device.type_id,
        used_by=used_by(device),
    )


def unknown_use_error(device: Device) -> InUse:
    """The error for a device of which it is unknown whether it is in use, because not all processes can be examined."""
    return InUse(
        f"it is unknown whether {device.label} is in use: there is no VFIO group node to test it with, and some "
        "processes in /proc could not be examined. Nothing was changed. Run as root (become: true), on the host itself "
        "or with its /proc",
        uuid=device.uuid,
        parent=device.parent,
        type=device.type_id,
        used_by=[],
    )


def pending_removal_error(device: Device, evidence: str) -> Removing:
    """The error for a device that the kernel keeps half of until its user closes it."""
    return Removing(
        f"{device.label} is half removed: {evidence}. It waits for {users_text(device.users)}. "
        "Until that process ends, its instance stays taken and its UUID can't be created again; the guest "
        "keeps running. End that process, and the kernel finishes the removal by itself",
        uuid=device.uuid,
        parent=device.parent,
        used_by=used_by(device),
    )


def used_by(device: Device) -> list[dict[str, object]]:
    """The users in the form of the results."""
    return [{"pid": user.pid, "command": user.command, "guest": user.guest} for user in device.users or ()]
