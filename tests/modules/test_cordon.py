# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cordon mark: set, kept, changed, removed, and seen by mdev_info."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from typing import Any

import pytest
from run_module import run_module
from tree import Tree

Run = Callable[..., dict[str, Any]]
Cordon = Callable[..., dict[str, Any]]


@pytest.fixture
def cordon(tree: Tree) -> Cordon:
    def run(**arguments: Any) -> dict[str, Any]:
        return run_module("mdev_cordon", **{"sysfs_path": str(tree.sys), **arguments})

    return run


MARK = "var/lib/vfio-mdev/cordon.json"


def test_a_mark_is_planned_set_kept_and_removed(tree: Tree, info: Run, cordon: Cordon) -> None:
    mark = tree.root / MARK
    checked = cordon(reason="new driver", check=True, diff=True)
    assert (checked["changed"], mark.exists(), info()["cordon"]) == (True, False, None)
    assert (checked["diff"]["before"], checked["diff"]["after"].count("new driver")) == ("", 1)
    done = cordon(reason="new driver")
    assert done["changed"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", done["cordon"]["since"])
    assert stat.S_IMODE(mark.stat().st_mode) == 0o600
    again = cordon(reason="new driver")
    assert (again["changed"], again["cordon"]) == (False, done["cordon"])
    assert info()["cordon"] == done["cordon"]
    removed = cordon(state="absent")
    assert (removed["changed"], removed["cordon"], mark.exists()) == (True, None, False)
    assert cordon(state="absent")["changed"] is False
    assert info()["cordon"] is None


def test_another_reason_replaces_the_first(cordon: Cordon, info: Run) -> None:
    cordon(reason="new driver")
    assert cordon(reason="broken fan")["changed"]
    assert info()["cordon"]["reason"] == "broken fan"
    assert cordon()["changed"] is False
    assert "reason is empty" in cordon(reason=" ")["msg"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "JSONDecodeError"),
        ("[]", "TypeError"),
        (json.dumps({"format": 2}), "format 2 is unknown"),
        ("{" * 100_000, "EFBIG"),
    ],
)
def test_a_mark_that_cannot_be_read_is_a_mark(tree: Tree, info: Run, cordon: Cordon, text: str, problem: str) -> None:
    tree.write(MARK, text)
    seen = info()["cordon"]
    assert seen["since"] is None
    assert problem in seen["reason"]
    assert cordon(reason=seen["reason"])["changed"]
    assert info()["cordon"]["since"] is not None


def test_a_mark_that_others_can_write_is_a_mark(tree: Tree, info: Run, cordon: Cordon) -> None:
    cordon()
    (tree.root / MARK).chmod(0o666)
    assert "all users can write to it" in info()["cordon"]["reason"]


def test_a_mark_that_cannot_be_written(tree: Tree, cordon: Cordon) -> None:
    tree.write("var/lib/vfio-mdev", "a file where the folder should be")
    failed = cordon()
    assert failed["error"]["kind"] == "file_error"
    assert "writing the cordon mark" in failed["msg"]
