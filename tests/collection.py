# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a checkout of any name importable as the collection."""

from __future__ import annotations

import sys
import types
from pathlib import Path

_CHECKOUT = Path(__file__).parents[1]


def register() -> None:
    """Packages without code of their own, so that nothing has to lie in folders of the right names."""
    for name in ("ansible_collections", "ansible_collections.vfio", "ansible_collections.vfio.mdev"):
        if name not in sys.modules:
            package = types.ModuleType(name)
            package.__path__ = [str(_CHECKOUT)]
            sys.modules[name] = package
