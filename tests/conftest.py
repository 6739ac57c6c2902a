# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a checkout of any name importable as the collection, and finds libvirt's schemas."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


def _register(name: str, folder: Path) -> None:
    """A package without code of its own, so that nothing has to lie in folders of the right names."""
    if name not in sys.modules:
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package


_register("ansible_collections", CHECKOUT)
_register("ansible_collections.vfio", CHECKOUT)
_register("ansible_collections.vfio.mdev", CHECKOUT)


@pytest.fixture(scope="session")
def libvirt_schemas() -> Path:
    """The folder with libvirt's own RELAX NG schemas."""
    folder = Path(os.environ.get("LIBVIRT_SCHEMAS", "/usr/share/libvirt/schemas"))
    assert (folder / "nodedev.rng").is_file(), (
        f"libvirt's schemas are not in {folder}: test with ./dev test, which fetches them, or set LIBVIRT_SCHEMAS"
    )
    return folder
