# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared by all tests: makes the checkout importable as the collection, and finds libvirt's schemas."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).parents[1]


def _register_collection() -> None:
    """Register namespace packages that point at the checkout, whatever its folder is called."""
    for name in ("ansible_collections", "ansible_collections.vfio", "ansible_collections.vfio.mdev"):
        if name not in sys.modules:
            package = types.ModuleType(name)
            package.__path__ = [str(_CHECKOUT)]
            sys.modules[name] = package


_register_collection()


@pytest.fixture(scope="session")
def libvirt_schemas() -> Path:
    """The folder that holds libvirt's RELAX NG schemas."""
    folder = Path(os.environ.get("LIBVIRT_SCHEMAS", "/usr/share/libvirt/schemas"))
    assert (folder / "nodedev.rng").is_file(), (
        f"libvirt's schemas are not in {folder}: test with ./dev test, which fetches them, or set LIBVIRT_SCHEMAS"
    )
    return folder
