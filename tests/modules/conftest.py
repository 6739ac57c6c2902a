# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the modules as Ansible does on a host, in this process: real arguments in, real results out."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from tree import Tree

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def run_module(name: str, **arguments: Any) -> dict[str, Any]:
    """The result that the module prints. check and diff set Ansible's modes."""
    modes = {"_ansible_check_mode": arguments.pop("check", False), "_ansible_diff": arguments.pop("diff", False)}
    module = importlib.import_module(f"ansible_collections.vfio.mdev.plugins.modules.{name}")
    printed = io.StringIO()
    with patch_module_args({**arguments, **modes}), redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        module.main()
    result: dict[str, Any] = json.loads(printed.getvalue().splitlines()[-1])
    assert bool(ended.value.code) == bool(result.get("failed"))
    result.pop("invocation", None)
    return result


@pytest.fixture
def info(tree: Tree) -> Run:
    def run(**arguments: Any) -> dict[str, Any]:
        places = {"sysfs_path": str(tree.sys), "definitions_path": str(tree.root / "etc/mdevctl.d")}
        return run_module("mdev_info", **{**places, **arguments})

    return run


