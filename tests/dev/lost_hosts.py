# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios that fail: keeps what their hosts left, and repeats those that lost a host.

A scenario is repeated once, on restored hosts, if a connection or a host was lost and no task and no test failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lab import cache, hosts, qemu
from lab.errors import LabError
from lab.suites import HostName

from dev.check import Check, Count, failed_reports, log_path, run_check

# A line of Ansible's PLAY RECAP: trixie_a : ok=3 changed=1 unreachable=1 failed=0 skipped=0 ...
_RECAP = re.compile(r"^(?P<host>\S+)\s+: ok=\d+ .*unreachable=(?P<unreachable>\d+)\s+failed=(?P<failed>\d+)", re.M)
_ANSWER_SECONDS = 60.0
_LOAD_SECONDS = 10.0


@dataclass(frozen=True)
class HostState:
    """A host after its scenario. runs: its QEMU; answers: its ssh server."""

    runs: bool
    answers: bool

    @property
    def text(self) -> str:
        if not self.runs:
            return "is dead: its QEMU has ended"
        return "answers again: its connection was lost" if self.answers else "runs, but does not answer"


States = dict[HostName, HostState]


def loss(output: str, tests_failed: int, states: States) -> str | None:
    """What was lost, in words. None if the scenario failed by itself: a task or a test failed, or no host was lost."""
    recaps = list(_RECAP.finditer(output))
    if tests_failed or any(int(recap["failed"]) for recap in recaps):
        return None
    unreachable = {recap["host"] for recap in recaps if int(recap["unreachable"])}
    lost = [name for name, state in states.items() if str(name) in unreachable or not (state.runs and state.answers)]
    return ", ".join(f"{name} {states[name].text}" for name in lost) or None


def run(
    check: Check,
    logs: Path,
    notes: list[str],
    look: Callable[[HostName], HostState] | None = None,
    act: Callable[[Check, Path], Count] = run_check,
) -> Count:
    """Run a check. A scenario that lost a host runs once more. notes: gets a line about that, for the end."""
    names = selected_hosts(check)
    if not names:
        return act(check, logs)
    count = _run_noted(check, logs, names, act)
    if not count.failed:
        return count
    output = log_path(check, logs).read_text(errors="replace")
    lost = loss(output, failed_reports(_reports(check)), {name: (look or host_state)(name) for name in names})
    if lost is None:
        return count
    _put_aside(_reports(check))
    again = _run_noted(replace(check, name=f"{check.name} again"), logs, names, act)
    notes.append(f"{check.name} lost a host ({lost}) and ran again: {'FAILED' if again.failed else 'ok'}")
    return again


def selected_hosts(check: Check) -> list[HostName]:
    """The hosts of a scenario. Empty for other checks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", action="append", default=[])
    parser.add_argument("--suite", action="append", default=[])
    options = parser.parse_args(shlex.split(check.environment.get("LAB_SELECTION", "")))
    return [HostName(suite, letter) for suite in options.suite for letter in options.host]


def host_state(name: HostName) -> HostState:
    """Look at a host of the lab."""
    try:
        machine = hosts.find(name)
    except LabError:
        return HostState(runs=False, answers=False)
    try:
        return HostState(runs=True, answers=machine.run("true", timeout=_ANSWER_SECONDS).returncode == 0)
    except LabError:
        return HostState(runs=machine.is_running(), answers=False)


def _run_noted(check: Check, logs: Path, names: Sequence[HostName], act: Callable[[Check, Path], Count]) -> Count:
    """Run a scenario. If it fails, its hosts' consoles, the logs of their QEMU and the load are kept beside its log."""
    with _load() as load:
        count = act(check, logs)
    if count.failed:
        log = log_path(check, logs)
        log.with_suffix(".load.log").write_text("\n".join(load) + "\n")
        for name in names:
            keep(qemu.Files(cache.host_folder(name)), log.with_suffix(f".{name}.log"))
    return count


def keep(files: qemu.Files, path: Path) -> None:
    """Copy the console and QEMU's log, before the next scenario overwrites them."""
    for source, word in ((files.console, "console"), (files.folder / "qemu.log", "qemu")):
        if source.is_file():
            shutil.copy(source, path.with_suffix(f".{word}.log"))


@contextmanager
def _load() -> Iterator[list[str]]:
    """The load average of this machine every few seconds while the block runs."""
    lines: list[str] = []
    ended = threading.Event()

    def note() -> None:
        while True:
            lines.append(" ".join(f"{load:.2f}" for load in os.getloadavg()))
            if ended.wait(_LOAD_SECONDS):
                return

    thread = threading.Thread(target=note, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        ended.set()
        thread.join()


def _reports(check: Check) -> Path:
    return Path(check.environment["LAB_REPORTS"])


def _put_aside(reports: Path) -> None:
    """The reports of the first run do not count."""
    for report in reports.glob("*.xml"):
        report.rename(report.with_suffix(".first"))
