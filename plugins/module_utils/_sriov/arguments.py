# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The argument that names cards and their numbers of virtual functions."""

from __future__ import annotations

from typing import Any

from .plan import MAX, WantedVfs, check_once, wanted_vfs

CARDS_ARGUMENT: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {"address": {"type": "str", "required": True}, "vfs": {"type": "str", "default": MAX}},
}


def cards(params: list[dict[str, str]]) -> tuple[WantedVfs, ...]:
    """The cards that are to have virtual functions."""
    wanted = tuple(wanted_vfs(one["address"], one["vfs"]) for one in params)
    check_once(wanted)
    return wanted
