# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds of the campaign: a run is disturbed, then repeated, and the host is compared with an undisturbed one."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from faults.bench import Answer, Bench, Run, Scenario, State
from faults.hook import Disturbance

ERRNOS = ("ENOSPC", "EIO", "EMFILE", "EAGAIN", "EROFS", "EINTR", "ENOTCONN", "ESTALE")
# What a message may not say if the host is not as it was before.
_UNCHANGED = re.compile(r"nothing (was|has been) changed|as (it was|they were) before|no changes? (was|were) made", re.I)


@dataclass(frozen=True)
class Fault:
    """Something that a round found. column: of the table, where it counts."""

    column: str
    scenario: str
    disturbance: str
    text: str


@dataclass
class Row:
    """A line of the table."""

    what: str
    how: str
    tried: int = 0
    converged: int = 0
    faults: list[Fault] = field(default_factory=list)

    def count(self, column: str) -> int:
        """How many rounds have such a fault."""
        return len({(fault.scenario, fault.disturbance) for fault in self.faults if fault.column == column})


CONVERGED, FOREIGN, LEFT, DENIED, HANGS, TRACEBACKS = (
    "not converged",
    "foreign touched",
    "left-overs",
    "denied",
    "hangs",
    "tracebacks",
)
COLUMNS = (FOREIGN, LEFT, DENIED, HANGS, TRACEBACKS)

Report = Callable[[Fault], None]


@dataclass(frozen=True)
class Golden:
    """The scenario without a disturbance: the states before and after, and how many calls the run makes."""

    before: State
    after: State
    changes: int
    reads: int


class Judge:
    """Does rounds of one scenario, and notes faults in its row."""

    def __init__(self, bench: Bench, scenario: Scenario, report: Report) -> None:
        self.bench = bench
        self.scenario = scenario
        self._report = report
        self.golden = self._undisturbed()

    def _undisturbed(self) -> Golden:
        bench, scenario = self.bench, self.scenario
        bench.start(scenario)
        before = bench.state(scenario)
        answer = bench.attempt(scenario.run)
        if answer.traceback or answer.hung:
            raise AssertionError(f"{scenario.name} fails undisturbed: {answer.message}")
        bench.attempt(scenario.run)
        after = bench.state(scenario)
        bench.start(scenario)
        reads = bench.attempt(scenario.run, Disturbance("reads")).count
        return Golden(before, after, answer.count, reads)

    def round(self, row: Row, disturbances: Sequence[Disturbance], runs: Sequence[Run] = ()) -> None:
        """One round: the runs (the scenario's own by default), each disturbed, then undisturbed ones that heal."""
        row.tried += 1
        self.bench.start(self.scenario)
        done: list[str] = []
        for disturbance, run in zip(disturbances, runs or [self.scenario.run] * len(disturbances)):
            answer = self.bench.attempt(run, disturbance)
            done.append(_name(disturbance, answer, run if runs else None))
            self._look_at(answer, row, ", ".join(done), disturbance)
        self._heal(row, ", ".join(done))

    def _look_at(self, answer: Answer, row: Row, name: str, disturbance: Disturbance) -> None:
        self._alive(answer, row, name)
        if disturbance.errno is None or answer.killed or answer.hung:
            return
        after = self.bench.state(self.scenario)
        if answer.failed:
            for text in denials(answer, self.golden.before, after):
                self._note(row, DENIED, name, text)
        elif missing := differences(self.golden.after.effects, after.effects):
            self._note(row, DENIED, name, f"the run reports success, but {missing}")

    def _alive(self, answer: Answer, row: Row, name: str) -> None:
        if answer.hung:
            self._note(row, HANGS, name, "the run did not end")
        if answer.traceback:
            self._note(row, TRACEBACKS, name, last_lines(answer.message))
        if lingering := self.bench.lingering():
            self._note(row, HANGS, name, f"{len(lingering)} processes stay after the run")

    def _heal(self, row: Row, name: str) -> None:
        run = self.scenario.repeat or self.scenario.run
        second, third = self.bench.attempt(run), self.bench.attempt(run)
        for answer in (second, third):
            self._alive(answer, row, name)
        state, golden = self.bench.state(self.scenario), self.golden.after
        foreign = self.scenario.foreign
        if touched := differences(self.golden.before.of(foreign), state.of(foreign)):
            self._note(row, FOREIGN, name, touched)
        problem = (
            (f"the second run failed: {second.message}" if second.failed else "")
            or (f"the third run failed: {third.message}" if third.failed else "")
            or ("the third run still changes something" if third.changed else "")
            or differences(golden.effects, state.effects)
        )
        if problem:
            self._note(row, CONVERGED, name, problem)
        else:
            row.converged += 1
        if not problem and (left := differences(golden.files, state.files)):
            self._note(row, LEFT, name, left)

    def _note(self, row: Row, column: str, name: str, text: str) -> None:
        fault = Fault(column, self.scenario.name, name, text)
        row.faults.append(fault)
        self._report(fault)


def _name(disturbance: Disturbance, answer: Answer, run: Run | None) -> str:
    number = disturbance.number
    what = f"{disturbance.errno or 'kill'} at {'reading ' if disturbance.calls == 'reads' else ''}call {number}"
    function = answer.names[number] if number is not None and number < len(answer.names) else ""
    lasting = " and later" if disturbance.lasting else ""
    alone = "" if disturbance.whole or disturbance.errno else ", child lives"
    of = f" of {run.module_name} {run.arguments.get('state', '')}".rstrip() if run else ""
    return f"{what}{f' ({function})' if function else ''}{lasting}{alone}{of}"


def denials(answer: Answer, before: State, after: State) -> list[str]:
    """Claims of a failed run about the host that are not true."""
    different = differences(before.effects, after.effects)
    if not different:
        return []
    claims = [match.group() for match in _UNCHANGED.finditer(answer.message)]
    if (answer.result or {}).get("error", {}).get("rolled_back") is True:
        claims.append("rolled_back: true")
    return [f"says '{claim}', but {different}. Message: {answer.message}" for claim in claims]


def differences(expected: dict[str, object], actual: dict[str, object]) -> str:
    """The differences in words. Empty if there are none."""
    texts = [f"{key} is missing" for key in sorted(expected.keys() - actual.keys())]
    texts += [f"{key} is left" for key in sorted(actual.keys() - expected.keys())]
    texts += [
        f"{key} is {actual[key]!r} instead of {expected[key]!r}"
        for key in sorted(expected.keys() & actual.keys())
        if expected[key] != actual[key]
    ]
    return "; ".join(texts)[:600]


def last_lines(text: str) -> str:
    """The end of a traceback: where it came from."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return " | ".join(lines[-5:])[-500:]


def kills(bench: Bench, scenario: Scenario, row: Row, report: Report, step: int = 1) -> None:
    """Kill the run before each call, or before each step-th one."""
    judge = Judge(bench, scenario, report)
    for number in range(0, judge.golden.changes, step):
        judge.round(row, [Disturbance(number=number, whole=number % 2 == 0)])


def errors(
    bench: Bench, scenario: Scenario, row: Row, report: Report, dice: random.Random, most: int | None = None
) -> None:
    """Let calls fail: each that changes something with two errors, once and lastingly, and a sample of those that read."""
    judge = Judge(bench, scenario, report)
    changes = _sample(range(judge.golden.changes), most, dice)
    for number in changes:
        first, second = dice.sample(ERRNOS, 2)
        judge.round(row, [Disturbance(number=number, errno=first)])
        judge.round(row, [Disturbance(number=number, errno=second, lasting=True)])
    for number in _sample(range(judge.golden.reads), most or max(40, judge.golden.reads // 10), dice):
        lasting = dice.random() < 0.3
        judge.round(row, [Disturbance("reads", number, dice.choice(ERRNOS), lasting)])


def histories(bench: Bench, scenario: Scenario, row: Row, report: Report, dice: random.Random, number: int) -> None:
    """Several kills in a row, each at any call."""
    judge = Judge(bench, scenario, report)
    for _number in range(number):
        length = dice.randint(2, 5)
        calls = [dice.randrange(max(1, judge.golden.changes)) for _kill in range(length)]
        judge.round(row, [Disturbance(number=call, whole=dice.random() < 0.5) for call in calls])


def mixed_histories(
    bench: Bench, scenario: Scenario, runs: Sequence[Run], row: Row, report: Report, dice: random.Random, number: int
) -> None:
    """The same with any of these runs: the scenario's own run then heals the host."""
    judge = Judge(bench, scenario, report)
    for _number in range(number):
        chosen = [dice.choice(runs) for _kill in range(dice.randint(2, 5))]
        kill_at = [dice.randrange(max(1, judge.golden.changes)) for _run in chosen]
        judge.round(row, [Disturbance(number=call, whole=dice.random() < 0.5) for call in kill_at], chosen)


def _sample(numbers: range, most: int | None, dice: random.Random) -> Iterable[int]:
    return numbers if most is None or most >= len(numbers) else sorted(dice.sample(numbers, most))
