# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller for the tests of playbooks."""

from __future__ import annotations

import pytest
from controller import CHECKOUT, Controller


@pytest.fixture(scope="session")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Controller:
    folder = tmp_path_factory.mktemp("controller")
    place = folder / "collections" / "ansible_collections" / "vfio"
    place.mkdir(parents=True)
    (place / "mdev").symlink_to(CHECKOUT)
    return Controller(folder)
