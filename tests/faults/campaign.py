# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds of the campaign: a run is disturbed, then repeated, and the host is compared with an undisturbed one."""

from __future__ import annotations

import collections
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faults.bench import Answer, Bench, Run, Scenario, State
from faults.hook import Disturbance
from faults.power import losses

ERRNOS = ("ENOSPC", "EIO", "EMFILE", "EAGAIN", "EROFS", "EINTR", "ENOTCONN", "ESTALE")
# What a message may not say if the host is not as it was before.
_UNCHANGED = re.compile(r"nothing (?:was|has been) changed|no changes? (?:was|were) made", re.I)
# Errors of `create` that say that a parent is full.
_FULL = ("ENOSPC", "EIO")
_FUNCTION = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]")
_DEFINITION = re.compile(r"definition (\S+) failed: [^.]*\. This step changed nothing")


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
    lost: Sequence[str]


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
        return Golden(before, after, answer.count, reads, losses(answer.trace))

    def power_cut(self, row: Row) -> None:
        """What the run reports as done must not be lost in a power cut."""
        row.tried += 1
        if self.golden.lost:
            text = f"may be lost after success: {'; '.join(self.golden.lost)}"
            self._note(row, DENIED, "power cut", text[:600])
        else:
            row.converged += 1

    def round(self, row: Row, disturbances: Sequence[Disturbance], runs: Sequence[Run] = ()) -> None:
        """One round: the runs (the scenario's own by default), each disturbed, then undisturbed ones that heal."""
        row.tried += 1
        self.bench.start(self.scenario)
        done: list[str] = []
        for disturbance, run in zip(disturbances, runs or [self.scenario.run] * len(disturbances)):
            answer = self.bench.attempt(run, disturbance)
            done.append(_name(disturbance, answer, run if runs else None))
            self._look_at(answer, row, ", ".join(done), disturbance)
        self._heal(row, ", ".join(done), disturbances)

    def _look_at(self, answer: Answer, row: Row, name: str, disturbance: Disturbance) -> None:
        self._alive(answer, row, name)
        if disturbance.errno is None or answer.killed or answer.hung:
            return
        after = self.bench.state(self.scenario)
        if answer.failed:
            for text in denials(answer, self.golden.before, after):
                self._note(row, DENIED, name, text)
        elif missing := self._missing(after, [disturbance]):
            self._note(row, DENIED, name, f"the run reports success, but {missing}")

    def _alive(self, answer: Answer, row: Row, name: str) -> None:
        if answer.hung:
            self._note(row, HANGS, name, "the run did not end")
        if answer.traceback:
            self._note(row, TRACEBACKS, name, last_lines(answer.message))
        if lingering := self.bench.lingering():
            self._note(row, HANGS, name, f"{len(lingering)} processes stay after the run")

    def _missing(self, state: State, disturbances: Sequence[Disturbance]) -> str:
        """What is different from the state of an undisturbed run."""
        expected, actual = self.golden.after.effects, state.effects
        if self._may_move(disturbances):
            return differences(_anywhere(expected), _anywhere(actual))
        return differences(expected, actual)

    def _may_move(self, disturbances: Sequence[Disturbance]) -> bool:
        """Whether a parent answered that it is full: a run that chose it then takes the next one, and stays there."""
        chooses = self.scenario.group in ("set", "migration")
        return chooses and any(disturbance.errno in _FULL for disturbance in disturbances)

    def _heal(self, row: Row, name: str, disturbances: Sequence[Disturbance]) -> None:
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
            or self._missing(state, disturbances)
        )
        if problem:
            self._note(row, CONVERGED, name, problem)
        else:
            row.converged += 1
        left = self._left(golden.files, state.files, self._may_move(disturbances))
        if not problem and left:
            self._note(row, LEFT, name, left)

    def _left(self, expected: Mapping[str, Any], files: Mapping[str, Any], moved: bool) -> str:
        """Files that an undisturbed run does not leave, or that are missing."""
        if moved:
            # Each function has a folder of its own, so the numbers of folders differ.
            return differences(_anywhere(without_folders(expected)), _anywhere(without_folders(files)))
        # An empty folder that a run did not need this time is missed by nobody.
        kept = {path: shown for path, shown in expected.items() if path in files}
        return differences({**without_folders(expected), **kept}, files)

    def _note(self, row: Row, column: str, name: str, text: str) -> None:
        fault = Fault(column, self.scenario.name, name, text)
        row.faults.append(fault)
        self._report(fault)


def _name(disturbance: Disturbance, answer: Answer, run: Run | None) -> str:
    number = disturbance.number
    what = f"{disturbance.errno or 'kill'} at {'reading ' if disturbance.calls == 'reads' else ''}call {number}"
    function = answer.names.get(str(number), "")
    lasting = " and later" if disturbance.lasting else ""
    alone = "" if disturbance.whole or disturbance.errno else ", child lives"
    of = f" of {run.module_name} {run.arguments.get('state', '')}".rstrip() if run else ""
    return f"{what}{f' ({function})' if function else ''}{lasting}{alone}{of}"


def denials(answer: Answer, before: State, after: State) -> list[str]:
    """Claims of a failed run about the host that are not true, and changes that its message does not mention."""
    different = differences(before.effects, after.effects)
    if not different:
        return []
    message = answer.message
    # What follows is about the attempt to roll back, and says itself what is left.
    first, _not, left = message.partition("NOT rolled back")
    claims = [
        f"says that nothing was changed in {path}"
        for path in _DEFINITION.findall(first)
        if _differs(path, before, after) and path.rpartition("/")[2] not in left
    ]
    if "NOT rolled back" not in message:
        claims += [f"says '{match.group()}'" for match in _UNCHANGED.finditer(message)]
    if (answer.result or {}).get("error", {}).get("rolled_back") is True:
        claims.append("has rolled_back: true")
    # A migration speaks of the devices of its record, which it names.
    if not claims and "The devices are " not in message:
        changed = sorted(key for key in _things(before) | _things(after) if _differs(key, before, after))
        said = message if answer.result else answer.output
        claims = [f"does not mention {key}" for key in changed if key.rpartition("/")[2] not in said]
    return [f"{', '.join(sorted(set(claims)))}, but {different}. Message: {message}"] if claims else []


def _things(state: State) -> set[str]:
    """Devices and definitions: what a message must name."""
    return {*state.devices, *(path for path in state.effects if path.startswith("/etc/mdevctl.d/"))}


def _differs(key: str, before: State, after: State) -> bool:
    return before.effects.get(key) != after.effects.get(key)


def without_folders(files: Mapping[str, Any]) -> dict[str, Any]:
    """The files. shown: the mode as ls prints it, and the content."""
    return {path: shown for path, shown in files.items() if not shown[0].startswith("d")}


def _anywhere(things: Mapping[str, object]) -> Mapping[str, object]:
    """How many there are of each, whatever function they are on."""
    return collections.Counter(_FUNCTION.sub("FUNCTION", f"{key} {shown}") for key, shown in things.items())


def differences(expected: Mapping[str, object], actual: Mapping[str, object]) -> str:
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
    """Where an exception came from in the core, and its last line."""
    lines = [line.strip() for line in text.strip().splitlines()]
    places = [line.rpartition("/plugins/")[2] for line in lines if line.startswith("File") and "/plugins/" in line]
    return f"{lines[-1]} in {' < '.join(reversed(places[-3:]))}"[:500]


def kills(judge: Judge, row: Row, step: int = 1) -> None:
    """Kill the run before each call, or before each step-th one."""
    for number in range(0, judge.golden.changes, step):
        judge.round(row, [Disturbance(number=number, whole=number // step % 2 == 0)])


def errors(judge: Judge, row: Row, dice: random.Random, most: int) -> None:
    """Let calls fail: those that change something, once and lastingly, and a sample of those that only read."""
    for number in _sample(judge.golden.changes, most, dice):
        first, second = dice.sample(ERRNOS, 2)
        judge.round(row, [Disturbance(number=number, errno=first)])
        judge.round(row, [Disturbance(number=number, errno=second, lasting=True)])
    for number in _sample(judge.golden.reads, most // 2, dice):
        lasting = dice.random() < 0.3
        judge.round(row, [Disturbance("reads", number, dice.choice(ERRNOS), lasting)])


def histories(judge: Judge, row: Row, dice: random.Random, number: int, runs: Sequence[Run] = ()) -> None:
    """Several kills in a row, each at any call, of any of these runs: the scenario's own run then heals the host."""
    for _number in range(number):
        kills_in_a_row = [
            Disturbance(number=dice.randrange(max(1, judge.golden.changes)), whole=dice.random() < 0.5)
            for _kill in range(dice.randint(2, 5))
        ]
        judge.round(row, kills_in_a_row, [dice.choice(runs) for _kill in kills_in_a_row] if runs else ())


def _sample(calls: int, most: int, dice: random.Random) -> Sequence[int]:
    return sorted(dice.sample(range(calls), min(most, calls)))
