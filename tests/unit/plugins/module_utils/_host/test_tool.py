# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tools that hang, print without end, or can't be run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._host.tool import run_tool


def test_input_output_and_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    big = "ü" * 100_000
    answer = run_tool(
        ["sh", "-c", "cat /dev/stdin | wc -c; echo $LC_ALL $LANGUAGE; printf '\\303\\274\\377' >&2; exit 3"], 10, big
    )
    assert (answer.code, answer.line) == (3, "200000 C.UTF-8 C ü\\xff")
    assert (answer.output, answer.errors) == (b"200000\nC.UTF-8 C\n", b"\303\274\377")


def test_a_tool_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    began = time.monotonic()
    answer = run_tool(["sh", "-c", f"echo begun; (sleep 0.6; touch {mark}) & wait"], 0.2)
    assert (answer.code, answer.line) == (None, "begun")
    assert time.monotonic() - began < 0.5
    time.sleep(0.6)
    assert not mark.exists()


def test_a_child_that_keeps_the_output_open_does_not_delay() -> None:
    began = time.monotonic()
    answer = run_tool(["sh", "-c", "sleep 3 & echo done"], 5)
    assert (answer.code, answer.line) == (0, "done")
    assert time.monotonic() - began < 1


def test_output_is_bounded() -> None:
    answer = run_tool(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"], 10)
    assert (answer.code, len(answer.output), answer.is_cut) == (0, 65536, True)
    assert not run_tool(["echo", "short"], 10).is_cut


def test_a_tool_that_only_reads_is_stopped_at_the_bound() -> None:
    began = time.monotonic()
    answer = run_tool(["yes"], 10, most=10, stop_at_most=True)
    assert (answer.code, answer.output, answer.is_cut) == (None, b"y\n" * 5, True)
    assert time.monotonic() - began < 5


def test_a_tool_that_cannot_be_run(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        run_tool([str(tmp_path / "tool")], 1)
    assert len(os.listdir("/proc/self/fd")) == before
