# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Histories of migrations, and what is decided at each look."""

from __future__ import annotations

import dataclasses
import random
from typing import Optional

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._migration.convergence import (
    ABORT,
    CONTINUE,
    RAISE_DOWNTIME,
    SUSPEND,
    Limits,
    Sample,
    Watch,
    bytes_text,
    decide,
)

LIMITS = Limits(max_downtime=5000, stall_timeout=30, timeout=0, on_timeout=ABORT)


def history(limits: Limits, *samples: tuple[float, Optional[int]], switching: bool = False) -> list[tuple[str, int]]:
    """The decisions at these times with this many bytes left, until one of them aborts."""
    watch, decisions = Watch.begin(0, limits), []
    for at, remaining in samples:
        watch, decision = decide(watch, Sample(at, remaining, switching), limits)
        decisions.append((decision.step, decision.downtime))
        if decision.step == ABORT:
            break
    return decisions


def steps(limits: Limits, *samples: tuple[float, Optional[int]]) -> list[str]:
    return [step for step, _downtime in history(limits, *samples)]


def test_while_the_rest_shrinks_nothing_is_done() -> None:
    assert set(steps(LIMITS, *((at, 10**9 - at) for at in range(0, 86400, 20)))) == {CONTINUE}


def test_a_stall_raises_the_limit_step_by_step_and_then_aborts() -> None:
    decisions = history(LIMITS, *((at, 100) for at in range(0, 1000, 10)))
    raised = [downtime for step, downtime in decisions if step == RAISE_DOWNTIME]
    assert raised == [1200, 4800, 5000]
    assert decisions[-1] == (ABORT, 5000)
    # The first look is progress. Then each step has 30 s.
    assert len(decisions) == 1 + 4 * 3


def test_only_less_than_ever_is_progress() -> None:
    """A guest that changes its memory fast goes up and down for ever."""
    assert RAISE_DOWNTIME in steps(LIMITS, (0, 100), (10, 90), (20, 200), (30, 95), (40, 90))
    assert steps(LIMITS, (0, 100), (20, 200), (29, 99), (58, 98)) == [CONTINUE] * 4


def test_a_migration_without_figures_yet_does_not_stall() -> None:
    """Seen on a busy host: libvirt reports none while both hosts prepare, for longer than a short stall_timeout."""
    assert steps(LIMITS, (0, None), (29, None), (31, None)) == [CONTINUE, CONTINUE, CONTINUE]
    assert steps(LIMITS, (0, None), (31, 100), (59, None), (62, None)) == [CONTINUE] * 3 + [RAISE_DOWNTIME]


def test_a_stopped_guest_is_not_stalled() -> None:
    """The state of a large vGPU takes its time, and libvirt does not count it."""
    assert {step for step, _downtime in history(LIMITS, (0, 0), (100, 0), (200, 0), switching=True)} == {CONTINUE}


TIMEOUTS = {
    "abort": (ABORT, [CONTINUE, CONTINUE, ABORT]),
    "suspend": (SUSPEND, [CONTINUE, CONTINUE, SUSPEND, CONTINUE]),
}


@pytest.mark.parametrize(("on_timeout", "expected"), TIMEOUTS.values(), ids=TIMEOUTS)
def test_timeouts(on_timeout: str, expected: list[str]) -> None:
    limits = dataclasses.replace(LIMITS, timeout=60, on_timeout=on_timeout)
    assert steps(limits, (0, 100), (25, 90), (60, 80), (89, 80)) == expected


def test_a_suspended_guest_that_makes_no_progress_is_aborted() -> None:
    """No downtime limit helps it."""
    limits = dataclasses.replace(LIMITS, timeout=10, on_timeout=SUSPEND)
    assert steps(limits, (0, 100), (10, 100), (39, 100), (40, 100)) == [CONTINUE, SUSPEND, CONTINUE, ABORT]
    watch = Watch(began_at=0, progress_at=10, downtime=300, least=100, is_suspended=True)
    assert decide(watch, Sample(41, 100, is_switching=True), limits)[1].step == ABORT


def test_the_first_limit_is_never_above_the_highest() -> None:
    assert Watch.begin(0, dataclasses.replace(LIMITS, max_downtime=100)).downtime == 100
    assert Watch.begin(0, LIMITS).downtime == 300
    assert Watch.begin(0, LIMITS, downtime=4800).downtime == 4800


def test_the_reason_says_the_figures() -> None:
    watch = Watch(began_at=0, progress_at=0, downtime=5000, least=3 * 2**20)
    _watch, decision = decide(watch, Sample(31, 4 * 2**20), LIMITS)
    assert decision.reason == (
        "the data left did not shrink for 31 s with a downtime limit of 5000 ms: at least 3.0 MiB were left"
    )


def test_a_day_of_random_looks_ends_and_remembers_no_more_than_the_first() -> None:
    numbers = random.Random(1)
    watch, limits = Watch.begin(0, LIMITS), dataclasses.replace(LIMITS, max_downtime=10**9)
    size = len(repr(watch))
    for at in range(86400):
        watch, _decision = decide(watch, Sample(at, numbers.randrange(10**9)), limits)
    assert len(repr(watch)) < size + 40
    assert watch.downtime == 10**9


def test_bytes_are_printed_as_libvirt_prints_them() -> None:
    texts = [bytes_text(number) for number in (0, 1023, 1024, 1.5 * 2**30, 2**42)]
    assert texts == ["0 B", "1023 B", "1.0 KiB", "1.5 GiB", "4.0 TiB"]
