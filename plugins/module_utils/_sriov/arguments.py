# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments for cards, their virtual functions and modes, and the backend that enables the functions."""

from __future__ import annotations

from typing import Any

from .plan import AUTO, BACKENDS
from .request import MAX

CARDS_ARGUMENT: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {
        "address": {"type": "str", "required": True},
        "num_vfs": {"type": "str", "default": MAX},
        "mig": {"type": "list", "elements": "str"},
        "mixed_sizes": {"type": "bool"},
    },
}

VFS_BACKEND_ARGUMENT: dict[str, Any] = {"type": "str", "choices": list(BACKENDS), "default": AUTO}
