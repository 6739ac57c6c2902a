# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts for the modules: trees of plain files, and stand-in drivers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from drivers.kit.host_files import Driver
from drivers.kit.mount import mounted
from drivers.kit.stand_in_host import MakeHost, StandInHost
from run_module import run_module
from tree import Tree

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def info(tree: Tree) -> Run:
    def run(**arguments: Any) -> dict[str, Any]:
        paths = {"sysfs_path": str(tree.sys), "definitions_path": str(tree.root / "etc/mdevctl.d")}
        return run_module("mdev_info", **{**paths, **arguments})

    return run


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[MakeHost]:
    with ExitStack() as stack:

        def make(*drivers: Driver) -> StandInHost:
            (tmp_path / "host").mkdir()
            (tmp_path / "definitions").mkdir()
            files = stack.enter_context(mounted(tmp_path / "host", *drivers))
            paths = {"sysfs_path": str(files.sys), "definitions_path": str(tmp_path / "definitions")}
            return StandInHost(files, partial(run_module, **paths))

        yield make
