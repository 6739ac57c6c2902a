# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments for cards, their numbers of virtual functions, and the backend that enables the functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .plan import AUTO, BACKENDS, MAX, VfsRequest, refuse_twice, vfs_request

CARDS_ARGUMENT: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {"address": {"type": "str", "required": True}, "num_vfs": {"type": "str", "default": MAX}},
}

VFS_BACKEND_ARGUMENT: dict[str, Any] = {"type": "str", "choices": list(BACKENDS), "default": AUTO}


def vfs_requests(cards: Sequence[Mapping[str, str]]) -> tuple[VfsRequest, ...]:
    """The cards, and the numbers of virtual functions that they should have."""
    requests = tuple(vfs_request(card["address"], card["num_vfs"]) for card in cards)
    refuse_twice(requests)
    return requests
