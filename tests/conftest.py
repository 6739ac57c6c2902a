# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For all tests: the checkout as the collection, and libvirt's schemas."""

from __future__ import annotations

import os
from pathlib import Path

import collection
import pytest

collection.register()


@pytest.fixture(scope="session")
def libvirt_schemas() -> Path:
    """The folder with libvirt's own RELAX NG schemas."""
    folder = Path(os.environ.get("LIBVIRT_SCHEMAS", "/usr/share/libvirt/schemas"))
    assert (folder / "nodedev.rng").is_file(), (
        f"libvirt's schemas are not in {folder}: test with ./dev test, which fetches them, or set LIBVIRT_SCHEMAS"
    )
    return folder
