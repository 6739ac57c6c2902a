# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can't be read may be a device, or may start one at boot: what it may concern is refused. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .._model.errors import FileError
from .._model.inventory import Definition, Hidden, Inventory
from .._model.request import DeviceRequest
from .matching import ResolvedRequest


def refuse_unknown(resolved: ResolvedRequest) -> None:
    """Refuses a device whose definition can't be read, or that may be in a folder that can't be read."""
    request, inventory = resolved.request, resolved.inventory
    for broken in inventory.broken_of(request.key):
        raise FileError(
            f"{broken.path} should define device {request.key}, but is not a valid definition: {broken.problem}. "
            "Nothing was changed. Correct the file or remove it",
            uuid=request.key,
            path=broken.path,
        )
    for hidden in inventory.hidden:
        # The folder of another parent does not concern a device that should be on the requested ones.
        if not (request.present and request.parents and hidden.parent) or hidden.parent in resolved.named_parents:
            raise _refusal(hidden, f"whether it has device {request.key} is unknown")


def refuse_unreadable_parent(request: DeviceRequest, definitions: Sequence[Definition], inventory: Inventory) -> None:
    """Refuses the removal of a device that may exist, although no device can be read there."""
    places = {*request.parents, *(definition.parent for definition in definitions)}
    for parent in inventory.parents:
        if parent.is_unknown and parent.address in places:
            raise FileError(
                f"whether {parent.address} has a device can't be read, so nothing can be removed there. Nothing was "
                "changed. The list of unread files of module vfio.mdev.mdev_info shows the reason",
                parent=parent.address,
            )


def refuse_hidden(inventory: Inventory, why: str) -> None:
    """Refuses what depends on all devices of the host. why: what is unknown otherwise."""
    for hidden in inventory.hidden:
        raise _refusal(hidden, why)


def _refusal(hidden: Hidden, why: str) -> FileError:
    return FileError(
        f"folder {hidden.path} can't be read: {hidden.problem}, so {why}. Nothing was changed. "
        "Make the folder readable",
        path=hidden.path,
    )
