# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole campaign, and its table."""

from __future__ import annotations

import functools
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from faults import inputs, together
from faults.bench import Bench, Run, Scenario, bench
from faults.campaign import (
    COLUMNS,
    TRACEBACKS,
    Fault,
    Judge,
    Report,
    Row,
    errors,
    histories,
    kills,
)
from faults.scenarios import COMMIT, ONE, PREPARE, ROLL_BACK, SCENARIOS, THREE

HEADER = ("what", "how", "tried", "converged", *COLUMNS)
# Scenarios whose run makes hundreds of equal calls are disturbed at each third one.
_MANY = ("boot install", "boot uninstall")

# Histories of different runs: the scenario's own run ends each.
_MIXED: Mapping[str, Sequence[Run]] = {
    "prepare": (PREPARE, ROLL_BACK),
    "roll back": (PREPARE, ROLL_BACK),
    "commit": (COMMIT,),
    "set": (THREE, ONE),
    "purge": (THREE, ONE),
}


class Campaign:
    """All parts of the campaign. share: of the rounds of a whole one; report: is called with each fault at once."""

    def __init__(self, seed: int, report: Report, share: float = 1.0, say: Callable[[str], None] = print) -> None:
        self.seed = seed
        self.rows: dict[tuple[str, str], Row] = {}
        self._dice = random.Random(seed)
        self._report = report
        self._share = share
        self._say = say

    @property
    def faults(self) -> list[Fault]:
        return [fault for row in self.rows.values() for fault in row.faults]

    @property
    def ok(self) -> bool:
        return not self.faults and all(row.tried == row.converged for row in self.rows.values())

    def row(self, what: str, how: str) -> Row:
        return self.rows.setdefault((what, how), Row(what, how))

    def _number(self, number: int) -> int:
        return max(1, round(number * self._share))

    def run(self, only: str | None = None) -> None:
        """All parts, or only a scenario, "inputs" or "at once"."""
        names = [scenario.name for scenario in SCENARIOS]
        if only is not None and only not in (*names, "inputs", "at once"):
            raise SystemExit(f"'{only}' is none of: inputs, at once, {', '.join(names)}")
        if only in (None, "inputs"):
            self._documents()
        with bench() as host:
            for scenario in SCENARIOS:
                if only in (None, scenario.name):
                    self._scenario(host, scenario)
            if only in (None, "at once"):
                self._together(host)
            if only in (None, "inputs"):
                self._inputs(host)

    def _documents(self) -> None:
        number = self._number(1000)
        self._part(
            "documents", "documents", "inputs", lambda row: inputs.parse_all(row, self._report, number, self.seed)
        )

    def _scenario(self, host: Bench, scenario: Scenario) -> None:
        try:
            judge = Judge(host, scenario, self._report)
        except AssertionError as error:
            self._broken(self.row(scenario.group, "kill"), scenario.name, "undisturbed", error)
            return
        step = max(1, round((3 if scenario.name in _MANY else 1) / self._share))
        errors_most, number = self._number(60), self._number(15)
        parts: dict[str, Callable[[Row], None]] = {
            "kill": lambda row: kills(judge, row, step),
            "error": lambda row: errors(judge, row, self._dice, errors_most),
            "several kills": lambda row: histories(judge, row, self._dice, number),
            "power cut": judge.power_cut,
        }
        for how, act in parts.items():
            self._part(scenario.name, scenario.group, how, act)
        if scenario.name in _MIXED:
            mixed, runs = self._number(40), _MIXED[scenario.name]
            self._part(
                scenario.name,
                scenario.group,
                "several kills",
                lambda row: histories(judge, row, self._dice, mixed, runs),
            )

    def _together(self, host: Bench) -> None:
        def rounds(scenario: Scenario, row: Row) -> None:
            for _number in range(self._number(24)):
                together.together(host, scenario, row, self._report, self._dice)

        for scenario in SCENARIOS[:2]:
            act = functools.partial(rounds, scenario)
            self._part(scenario.name, scenario.group, f"{together.PROCESSES} at once", act)

    def _inputs(self, host: Bench) -> None:
        scenario, hosts, number = SCENARIOS[0], self._number(60), self._number(500)
        self._part(
            "mdev_info",
            "mdev_info",
            "inputs",
            lambda row: inputs.read_hosts(host, scenario, row, self._report, hosts, self._dice),
        )
        self._part(
            "mdev_device",
            "mdev_device",
            "inputs",
            lambda row: inputs.options(host, scenario, row, self._report, number, self.seed),
        )

    def _part(self, name: str, what: str, how: str, act: Callable[[Row], None]) -> None:
        row = self.row(what, how)
        start, tried = time.monotonic(), row.tried
        try:
            act(row)
        # The host went away: the other parts go on.
        except AssertionError as error:
            self._broken(row, name, how, error)
        self._say(f"{name}, {how}: {row.tried - tried} rounds in {time.monotonic() - start:.0f} s")

    def _broken(self, row: Row, name: str, how: str, error: AssertionError) -> None:
        fault = Fault(TRACEBACKS, name, how, str(error)[-600:])
        row.faults.append(fault)
        self._report(fault)

    def table(self) -> str:
        """The table as Markdown, with a line of totals."""
        lines = [_cells(row) for row in self.rows.values()]
        totals = [str(sum(int(line[column]) for line in lines)) for column in range(2, len(HEADER))]
        rows = [HEADER, *lines, ("all", "", *totals)]
        widths = [max(len(line[column]) for line in rows) for column in range(len(HEADER))]
        ruler = ["-" * widths[0], "-" * widths[1], *(f"{'-' * (width - 1)}:" for width in widths[2:])]
        return "\n".join(_line(line, widths) for line in (HEADER, ruler, *rows[1:]))


def _cells(row: Row) -> Sequence[str]:
    return (row.what, row.how, str(row.tried), str(row.converged), *(str(row.count(column)) for column in COLUMNS))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = (cell.ljust(width) for cell, width in zip(cells[:2], widths))
    right = (cell.rjust(width) for cell, width in zip(cells[2:], widths[2:]))
    return f"| {' | '.join((*left, *right))} |"


def show(fault: Fault) -> None:
    """One fault on one line, on standard error."""
    sys.stderr.write(f"FAULT {fault.scenario}: {fault.column}: {fault.disturbance}: {fault.text[:700]}\n")
