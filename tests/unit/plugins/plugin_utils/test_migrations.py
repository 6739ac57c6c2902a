# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several migrations on a source that is played: limits, failures, silence, and days of looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

from ansible_collections.vfio.mdev.plugins.plugin_utils._migrations import Migrations, NoAnswer, outcome_results

Observe = Callable[[str, float], dict[str, Any]]
HERE = {"status": "idle", "state": "running", "job": None, "error": None, "downtime_limit": None}
MIGRATED = {**HERE, "status": "migrated", "state": None, "job": {"downtime": 123}}
FAILED = {**HERE, "status": "failed", "error": "refused"}


def running(remaining: Optional[int], state: str = "running") -> dict[str, Any]:
    return {**HERE, "status": "running", "state": state, "job": {"remaining": remaining}}


class Source:
    """A source whose guests migrate as told. observe: from a guest and the seconds since its start to the answer."""

    def __init__(self, observe: Observe) -> None:
        self.now = 0.0
        self.started: dict[str, float] = {}
        self.steps: list[tuple[str, str]] = []
        self.most_at_a_time = 0
        self.lines: list[str] = []
        self.silent: tuple[float, float] = (-1, -1)
        self._observe = observe

    def step(self, name: str, guests: list[dict[str, Any]], **_more: Any) -> dict[str, Any]:
        if self.silent[0] <= self.now < self.silent[1]:
            raise NoAnswer("Connection refused")
        if name == "query":
            return {"guests": [{"uuid": guest["uuid"], **self._answer(guest["uuid"])} for guest in guests]}
        [guest] = guests
        self.steps.append((name, guest["uuid"]))
        if name == "start":
            self.started[guest["uuid"]] = self.now
        return {}

    def _answer(self, uuid: str) -> dict[str, Any]:
        if uuid not in self.started:
            return HERE
        alive = [
            guest for guest, at in self.started.items() if self._observe(guest, self.now - at)["status"] == "running"
        ]
        self.most_at_a_time = max(self.most_at_a_time, len(alive))
        return self._observe(uuid, self.now - self.started[uuid])

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def guest(name: str, destination: str = "gpu-2") -> dict[str, Any]:
    return {"uuid": name, "name": name, "destination": destination, "has_devices": True, "running": True}


def migrate(source: Source, guests: list[dict[str, Any]], **params: Any) -> dict[str, tuple[str, Optional[str]]]:
    """The outcome and the error of each guest."""
    defaults = {"parallel": 1, "parallel_per_destination": None, "max_downtime": None, "stall_timeout": 30.0}
    limits = {"timeout": 0.0, "on_timeout": "abort", "watch_interval": 5.0, "unreachable_timeout": 600.0}
    migrations = Migrations(
        {**defaults, **limits, "guests": guests, **params},
        source.step,
        source.lines.append,
        lambda: source.now,
        source.sleep,
    )
    migrations.run()
    return {result["name"]: (result["outcome"], result["error"]) for result in outcome_results(migrations)}


def after(seconds: float, end: dict[str, Any]) -> Observe:
    return lambda _uuid, elapsed: running(int(10**6 - elapsed)) if elapsed < seconds else end


@pytest.mark.parametrize(("parallel", "per_destination", "most"), [(1, None, 1), (3, None, 3), (3, 1, 2), (9, 2, 4)])
def test_limits(parallel: int, per_destination: Optional[int], most: int) -> None:
    source = Source(after(60, MIGRATED))
    guests = [guest(f"g{number}", f"gpu-{number % 2}") for number in range(8)]
    outcomes = migrate(source, guests, parallel=parallel, parallel_per_destination=per_destination)
    assert set(outcomes.values()) == {("migrated", None)}
    assert source.most_at_a_time == most


def test_a_failure_stops_new_ones_and_finishes_the_running() -> None:
    source = Source(lambda uuid, elapsed: FAILED if uuid == "a" else after(60, MIGRATED)(uuid, elapsed))
    assert migrate(source, [guest("a"), guest("b"), guest("c")], parallel=2) == {
        "a": ("failed", "refused"),
        "b": ("migrated", None),
        "c": ("not_started", "not started, because a was not migrated"),
    }


def test_a_migration_that_runs_already_is_watched_and_not_started() -> None:
    source = Source(after(60, MIGRATED))
    source.started = {"a": 0.0}
    assert migrate(source, [guest("a")]) == {"a": ("migrated", None)}
    assert source.steps == []


def test_a_migration_that_is_watched_and_fails_is_not_started_again() -> None:
    source = Source(after(60, FAILED))
    source.started = {"a": 0.0}
    assert migrate(source, [guest("a")]) == {"a": ("failed", "refused")}
    assert source.steps == []


def test_a_failure_of_a_former_run_is_tried_again() -> None:
    source = Source(lambda _uuid, elapsed: MIGRATED if source.steps else FAILED)
    source.started = {"a": 0.0}
    assert migrate(source, [guest("a")]) == {"a": ("migrated", None)}


@pytest.mark.parametrize("silent", [(0, 100), (20, 300)])
def test_silence_is_waited_out(silent: tuple[float, float]) -> None:
    source = Source(after(400, MIGRATED))
    source.silent = silent
    assert migrate(source, [guest("a")]) == {"a": ("migrated", None)}
    assert source.steps == [("start", "a")]
    assert any("no answer" in line for line in source.lines)


def test_after_too_long_a_silence_nothing_is_known() -> None:
    source = Source(after(10**6, MIGRATED))
    source.silent = (20, 10**9)
    outcomes = migrate(source, [guest("a"), guest("b")])
    assert (outcomes["a"][0], outcomes["b"][0]) == ("unknown", "not_started")
    assert "Run this again" in str(outcomes["a"][1])
    assert source.steps == [("start", "a")]


def test_what_does_not_converge_is_aborted_and_what_cannot_be_aborted_goes_on() -> None:
    def stuck(_uuid: str, _elapsed: float) -> dict[str, Any]:
        return FAILED if ("abort", "a") in source.steps else running(100)

    source = Source(stuck)
    [(outcome, error)] = migrate(source, [guest("a")], max_downtime=1200).values()
    assert outcome == "failed"
    assert "aborted, because the data left did not shrink for 30 s with a downtime limit of 1200 ms" in str(error)
    assert source.steps == [("start", "a"), ("max_downtime", "a"), ("abort", "a")]
    source = Source(lambda _uuid, _elapsed: running(100))
    [(outcome, error)] = migrate(source, [guest("a")], max_downtime=1200).values()
    assert (outcome, "but it goes on" in str(error)) == ("running", True)


def test_a_day_of_looks() -> None:
    def lines() -> Iterator[str]:
        return (line for line in source.lines if "left" in line)

    source = Source(after(86400, MIGRATED))
    assert migrate(source, [guest("a")]) == {"a": ("migrated", None)}
    assert len(list(lines())) == 86400 / 5 - 1
