# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that outlive the one that started them, and what is left of those that were killed."""

from __future__ import annotations

import os
import signal
import stat
import time
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._guests.jobs import Jobs, JobState

GUEST = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """virsh runs the shell command that it gets."""
    program = tmp_path / "virsh"
    program.write_text('#!/bin/sh\nexec sh -c "$1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Jobs(str(tmp_path / "jobs"))


def when(jobs: Jobs, condition: Callable[[JobState], bool]) -> JobState:
    end = time.monotonic() + 20
    while not condition(jobs.state(GUEST)) and time.monotonic() < end:
        time.sleep(0.02)
    return jobs.state(GUEST)


def ended(state: JobState) -> bool:
    return not state.is_alive


def test_a_job_that_ends(jobs: Jobs) -> None:
    assert jobs.state(GUEST) == JobState(exists=False)
    assert jobs.start(GUEST, ["echo refused >&2; exit 3"])
    assert when(jobs, ended) == JobState(exists=True, code=3, errors="refused")


def test_there_is_one_job_per_guest_and_a_new_one_begins_afresh(jobs: Jobs) -> None:
    assert jobs.start(GUEST, ["exec sleep 0.7"])
    jobs.mark_suspended(GUEST)
    jobs.note_downtime(GUEST, 1200)
    assert not jobs.start(GUEST, ["exit 1"])
    state = jobs.state(GUEST)
    assert (state.is_alive, state.code, state.was_suspended, state.downtime) == (True, None, True, 1200)
    assert when(jobs, ended).code == 0
    assert jobs.start(GUEST, ["exit 1"])
    assert when(jobs, ended) == JobState(exists=True, code=1)


def test_a_job_that_was_killed_is_lost(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start(GUEST, [f"echo $PPID >{tmp_path}/pid; exec sleep 600"])
    end = time.monotonic() + 20
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()) and time.monotonic() < end:
        time.sleep(0.02)
    # The shell and virsh are one session.
    os.killpg(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert when(jobs, ended).is_lost


def test_only_root_can_read_the_files(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start(GUEST, ["exit 0"])
    when(jobs, ended)
    paths = [tmp_path / "jobs", *(tmp_path / "jobs").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o700, 0o600}


def test_long_errors_are_cut(jobs: Jobs) -> None:
    jobs.start(GUEST, ["yes | head -c 1000000 >&2; exit 1"])
    assert len(when(jobs, ended).errors) < 20000
