# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a device is left alone: the errors about its users, with the same text wherever they are found."""

from __future__ import annotations

from typing import Optional

from .errors import InUse, Removing
from .inventory import Device, User


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
        f"{device.label} is in use by {users_text(device.users)}: {evidence}. "
        "Nothing was changed. Shut the guest down or detach the device first",
        uuid=device.uuid,
        parent=device.parent,
        type=device.type_id,
        used_by=used_by(device),
    )


def pending_removal_error(device: Device, seen: str) -> Removing:
    """The kernel holds half of the device and waits for its user."""
    return Removing(
        f"{device.label} is half removed: {seen}. It waits for {users_text(device.users)}. "
        "Until then its instance stays taken and its UUID can't be created anew; the guest runs on. "
        "End that process, and the kernel finishes the removal by itself",
        uuid=device.uuid,
        parent=device.parent,
        used_by=used_by(device),
    )


def used_by(device: Device) -> list[dict[str, object]]:
    """The users as results show them."""
    return [{"pid": user.pid, "command": user.command, "guest": user.guest} for user in device.users or ()]
