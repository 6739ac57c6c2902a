# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One check: a command with a deadline and a log, its output, and how many tests it counts for."""

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
    """The number of tests that passed and failed."""

    passed: int
    failed: int

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed)


Verdict = Callable[[int, str], Count]


def by_exit_code(code: int, _output: str) -> Count:
    """Count one test, passed if the command exits with 0."""
    return Count(int(code == 0), int(code != 0))


@dataclass(frozen=True)
class Check:
    """What to run. verdict turns the exit code and the output into a count."""

    name: str
    command: Sequence[str | Path]
    folder: Path
    seconds: float
    environment: Mapping[str, str] = field(default_factory=dict)
    verdict: Verdict = by_exit_code


def log_path(check: Check, logs: Path) -> Path:
    """The file with the check's output."""
    return logs / f"{check.name.replace(' ', '-')}.log"


def run_check(check: Check, logs: Path) -> Count:
    """Run a check to its end or deadline. Prints a line at its start and end, and the end of the log if it failed."""
    log = log_path(check, logs)
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
    command = [str(argument) for argument in check.command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
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
            output.write(f"\nnot done after {check.seconds:.0f} s, stopped\n".encode())
            return 124
        finally:
            end_group(process)


def _say(text: str) -> None:
    with _printing:
        print(text, flush=True)


def by_junit(report: Path) -> Verdict:
    """Count the tests that pytest reports. A run that stopped before its report counts as one failed test."""

    def verdict(code: int, _output: str) -> Count:
        count = _junit_count(report) if report.is_file() else Count(0, 1)
        return Count(count.passed, count.failed if code == 0 else max(count.failed, 1))

    return verdict


def by_scenario(folder: Path) -> Verdict:
    """Count a scenario as one test, plus the tests that its hosts reported to the folder."""

    def verdict(code: int, output: str) -> Count:
        return sum((_junit_count(report) for report in folder.glob("*.xml")), by_exit_code(code, output))

    return verdict


def failed_reports(folder: Path) -> int:
    """How many tests failed, by the reports in the folder."""
    return sum(_junit_count(report).failed for report in folder.glob("*.xml"))


def _junit_count(report: Path) -> Count:
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    suite_counts = [
        {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")} for suite in suites
    ]
    failed = sum(counts["failures"] + counts["errors"] for counts in suite_counts)
    return Count(sum(counts["tests"] - counts["skipped"] for counts in suite_counts) - failed, failed)


def by_sanity(code: int, output: str) -> Count:
    """Count only tests that ran: ansible-test exits with 0 even if it skipped everything."""
    ran = output.count('Running sanity test "')
    if code != 0 or "All targets skipped" in output or ran == 0:
        return Count(0, 1)
    return Count(ran, 0)
