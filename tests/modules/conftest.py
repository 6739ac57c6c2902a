# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts for the modules: trees of files, and drivers that answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asking import run_module
from drivers.kit.asked import Asked, Build
from drivers.kit.host import Driver
from drivers.kit.mount import mounted
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


@pytest.fixture
def on_host(tmp_path: Path) -> Iterator[Build]:
    with ExitStack() as stack:

        def build(*drivers: Driver) -> Asked:
            (tmp_path / "host").mkdir()
            (tmp_path / "definitions").mkdir()
            host = stack.enter_context(mounted(tmp_path / "host", *drivers))
            places = {"sysfs_path": str(host.sys), "definitions_path": str(tmp_path / "definitions")}
            return Asked(host, partial(run_module, **places))

        yield build
