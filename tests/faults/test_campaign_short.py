# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A short part of the campaign of faults, with a fixed seed. The whole: ./dev faults."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from faults import inputs, together
from faults.bench import Bench, Scenario, bench
from faults.campaign import ERRNOS, Fault, Judge, Row
from faults.hook import Disturbance
from faults.scenarios import SCENARIOS

_SEED = 14
_KILLS = 2
_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.fixture(scope="module")
def host() -> Iterator[Bench]:
    with bench() as host:
        yield host


@pytest.fixture
def row() -> Row:
    return Row("short", "part")


def nothing(_fault: Fault) -> None:
    """Faults are in the row."""


def check(row: Row) -> None:
    faults = [f"{fault.column}: {fault.scenario}: {fault.disturbance}: {fault.text}" for fault in row.faults]
    assert not faults, "\n".join(faults)
    assert row.converged == row.tried > 0


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_disturbed(host: Bench, row: Row, scenario: Scenario) -> None:
    """Two kills, an error of a call that changes something, one of a call that reads, and a power cut at the end."""
    judge = Judge(host, scenario, nothing)
    dice = random.Random(_SEED)
    calls = sorted(dice.sample(range(judge.golden.changes), min(_KILLS, judge.golden.changes)))
    for number in calls:
        judge.round(row, [Disturbance(number=number, whole=number % 2 == 0)])
    judge.round(row, [Disturbance(number=dice.randrange(judge.golden.changes), errno=dice.choice(ERRNOS))])
    judge.round(row, [Disturbance("reads", dice.randrange(judge.golden.reads), "EIO")])
    judge.power_cut(row)
    check(row)


def test_eight_at_once(host: Bench, row: Row) -> None:
    for scenario in SCENARIOS[:2]:
        together.together(host, scenario, row, nothing, random.Random(_SEED))
    check(row)


def test_installations_at_once(host: Bench) -> None:
    """They wait for each other: the host ends as one of them leaves it, and none meets files of another."""
    install, uninstall = _BY_NAME["boot install"], _BY_NAME["boot uninstall"]
    ends = [Judge(host, scenario, nothing).golden.after.files for scenario in (install, uninstall)]
    # Six in a row take longer than usual on a busy machine.
    up, down = (replace(run, arguments={**run.arguments, "lock_timeout": 60}) for run in (install.run, uninstall.run))
    for number in range(4):
        host.start(install)
        answers = host.attempts([up, down] * 3 if number % 2 else [up] * 6)
        assert [answer.message for answer in answers if answer.failed] == []
        assert host.state(install).files in ends


def test_generated_documents(row: Row) -> None:
    inputs.parse_all(row, nothing, 40, _SEED)
    check(row)


def test_hosts_with_generated_definitions(host: Bench, row: Row) -> None:
    inputs.read_hosts(host, SCENARIOS[0], row, nothing, 10, random.Random(_SEED))
    check(row)


def test_generated_options(host: Bench, row: Row) -> None:
    inputs.options(host, SCENARIOS[0], row, nothing, 30, _SEED)
    check(row)


def test_the_hook_counts_kills_and_fails_calls(host: Bench) -> None:
    """The campaign proves nothing if no call is disturbed."""
    device = _BY_NAME["device"]
    host.start(device)
    counted = host.attempt(device.run)
    assert not counted.failed
    assert {"open", "write", "rename", "fsync", "flock"} <= set(counted.names.values())
    for number in range(counted.count):
        host.start(device)
        answer = host.attempt(device.run, Disturbance(number=number))
        assert answer.killed, f"call {number}"
    host.start(device)
    # The first one is of a mark, which may be missing.
    renamed = max(int(number) for number, name in counted.names.items() if name == "rename")
    refused = host.attempt(device.run, Disturbance(number=renamed, errno="EIO"))
    assert refused.failed
    assert "EIO" in refused.message


def test_the_campaign_sees_what_is_left(host: Bench, row: Row) -> None:
    """A device that somebody else removes is a foreign thing touched, and one that is left is not converged."""
    scenario = _BY_NAME["device"]
    judge = Judge(host, scenario, nothing)
    start = host.start

    def sabotaged(scenario: Scenario) -> None:
        start(scenario)
        host.files.kernel.devices.popitem()
        (host.etc / "mdevctl.d" / "left.tmp").write_text("")

    host.start = sabotaged  # type: ignore[method-assign]
    try:
        judge.round(row, [Disturbance(number=0)])
    finally:
        del host.start
    assert [fault.column for fault in row.faults] == ["foreign touched", "not converged"]
