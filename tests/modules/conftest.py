# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules on trees of files that look like a host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking import run_module
from tree import Tree

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def info(tree: Tree) -> Run:
    def run(**arguments: Any) -> dict[str, Any]:
        places = {"sysfs_path": str(tree.sys), "definitions_path": str(tree.root / "etc/mdevctl.d")}
        return run_module("mdev_info", **{**places, **arguments})

    return run
