# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One check: a command with a deadline and a log, what it counts for, and what it looked like."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from lab.process import end_group

_END_LINES = 60
_printing = threading.Lock()


@dataclass(frozen=True)
class Count:
    """How many tests passed and failed."""

    passed: int
    failed: int

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed)


Verdict = Callable[[int, str], Count]


def by_exit_code(code: int, _output: str) -> Count:
    """One test, passed when the command exits with 0."""
    return Count(int(code == 0), int(code != 0))


@dataclass(frozen=True)
class Check:
    """What to run. verdict makes the count of the exit code and the output."""

    name: str
    command: Sequence[str | Path]
    folder: Path
    seconds: float
    environment: Mapping[str, str] = field(default_factory=dict)
    verdict: Verdict = by_exit_code


def run_check(check: Check, logs: Path) -> Count:
    """Runs a check to its end or deadline: one line when it starts, one when it ends, the log's end when it fails."""
    log = logs / f"{check.name.replace(' ', '-')}.log"
    _say(f"        {check.name} ...")
    started = time.monotonic()
    code = _run(check, log)
    output = log.read_text(errors="replace")
    count = check.verdict(code, output)
    took = time.monotonic() - started
    if count.failed or not count.passed:
        count = Count(count.passed, max(count.failed, 1))
        shown = "\n".join(f"    | {line}" for line in output.splitlines()[-_END_LINES:])
        _say(f"FAILED  {check.name}: {count.failed} of {count.passed + count.failed}, {took:.0f} s, log {log}\n{shown}")
    else:
        _say(f"ok      {check.name}: {count.passed}, {took:.0f} s")
    return count


def _run(check: Check, log: Path) -> int:
    words = [str(word) for word in check.command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            cwd=check.folder,
            env={**os.environ, **check.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(check.seconds)
        except subprocess.TimeoutExpired:
            output.write(f"\nnot done after {check.seconds:.0f} s, ended\n".encode())
            return 124
        finally:
            end_group(process)


def _say(text: str) -> None:
    with _printing:
        print(text, flush=True)


def by_junit(report: Path) -> Verdict:
    """As many tests as pytest reports. A run that broke off before its report counts as one failed."""

    def verdict(code: int, _output: str) -> Count:
        count = _junit_count(report) if report.is_file() else Count(0, 1)
        return Count(count.passed, count.failed if code == 0 else max(count.failed, 1))

    return verdict


def by_scenario(folder: Path) -> Verdict:
    """A scenario is one test, and brings those that its hosts reported to the folder."""

    def verdict(code: int, output: str) -> Count:
        return sum((_junit_count(report) for report in folder.glob("*.xml")), by_exit_code(code, output))

    return verdict


def _junit_count(report: Path) -> Count:
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    numbers = [
        {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")} for suite in suites
    ]
    failed = sum(one["failures"] + one["errors"] for one in numbers)
    return Count(sum(one["tests"] - one["skipped"] for one in numbers) - failed, failed)


def by_sanity(code: int, output: str) -> Count:
    """ansible-test exits with 0 when it skipped everything: only tests that ran count."""
    ran = output.count('Running sanity test "')
    if code != 0 or "All targets skipped" in output or ran == 0:
        return Count(0, 1)
    return Count(ran, 0)
