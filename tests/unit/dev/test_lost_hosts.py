# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scenarios run again: those that lost a host, never those with a task or a test that failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from dev.check import Check, Count
from dev.lost_hosts import HostState, keep, loss, run, selected_hosts
from lab.qemu import Files
from lab.suites import HostName

HOST, OTHER = HostName("trixie", "a"), HostName("bookworm", "a")
WELL, SILENT, DEAD = HostState(True, True), HostState(True, False), HostState(False, False)
RECAP = "PLAY RECAP ***\n{host}                   : ok=12   changed=3    unreachable={0}    failed={1}    skipped=1\n"
REPORT = '<testsuites><testsuite tests="5" failures="{}" errors="0" skipped="0"/></testsuites>'


def recap(unreachable: int = 0, failed: int = 0, host: HostName = HOST) -> str:
    return RECAP.format(unreachable, failed, host=host)


@pytest.mark.parametrize(
    ("output", "tests_failed", "state", "lost"),
    [
        (recap(), 0, WELL, None),
        (recap(failed=1), 0, WELL, None),
        (recap(unreachable=1), 0, WELL, "trixie_a answers again: its connection was lost"),
        (recap(unreachable=1), 0, SILENT, "trixie_a runs, but does not answer"),
        (recap(unreachable=1), 0, DEAD, "trixie_a is dead: its QEMU has ended"),
        # It was stopped at its deadline, before Ansible's summary.
        ("TASK [Wait]\n\nnot done after 2100 s, stopped\n", 0, DEAD, "trixie_a is dead: its QEMU has ended"),
        ("TASK [Wait]\n\nnot done after 2100 s, stopped\n", 0, WELL, None),
        # An assertion failed: a lost host is no excuse.
        (recap(unreachable=1, failed=1), 0, DEAD, None),
        (recap(unreachable=1) + recap(failed=1, host=OTHER), 0, DEAD, None),
        (recap(unreachable=1), 1, DEAD, None),
        # What a task prints is no connection of ours.
        ("msg: Data could not be sent to remote host\n" + recap(), 0, WELL, None),
    ],
)
def test_a_lost_connection_a_dead_host_and_a_failure(
    output: str, tests_failed: int, state: HostState, lost: str | None
) -> None:
    assert loss(output, tests_failed, {HOST: state, OTHER: WELL}) == lost


class Scenario:
    """A scenario whose runs print these outputs and end with these counts."""

    def __init__(self, logs: Path, *runs: tuple[str, int]) -> None:
        self.logs = logs
        self.names: list[str] = []
        self._runs = list(runs)
        self.reports = logs / "reports"
        self.reports.mkdir()

    def __call__(self, check: Check, logs: Path) -> Count:
        output, tests_failed = self._runs.pop(0)
        self.names.append(check.name)
        (logs / f"{check.name.replace(' ', '-')}.log").write_text(output)
        (self.reports / "trixie_a.xml").write_text(REPORT.format(tests_failed))
        return Count(5, 0) if output == recap() else Count(4, 1)

    def run(self, state: HostState, notes: list[str]) -> Count:
        environment = {"LAB_SELECTION": "--host a --suite trixie", "LAB_REPORTS": str(self.reports)}
        check = Check("scenario set", [], self.logs, 1, environment)
        return run(check, self.logs, notes, lambda _name: state, self)


@pytest.mark.parametrize(("second", "end"), [(recap(), "ok"), (recap(unreachable=1), "FAILED")])
def test_a_scenario_that_lost_a_host_runs_once_more(tmp_path: Path, second: str, end: str) -> None:
    scenario, notes = Scenario(tmp_path, (recap(unreachable=1), 0), (second, 0)), list[str]()
    assert scenario.run(DEAD, notes) == (Count(5, 0) if end == "ok" else Count(4, 1))
    assert scenario.names == ["scenario set", "scenario set again"]
    assert notes == [f"scenario set lost a host (trixie_a is dead: its QEMU has ended) and ran again: {end}"]
    assert sorted(path.name for path in scenario.reports.iterdir()) == ["trixie_a.first", "trixie_a.xml"]
    assert float((tmp_path / "scenario-set.load.log").read_text().split()[0]) >= 0


@pytest.mark.parametrize("tests_failed", [0, 1])
def test_a_scenario_that_failed_by_itself_does_not(tmp_path: Path, tests_failed: int) -> None:
    output = recap(failed=1) if not tests_failed else recap(unreachable=1)
    scenario, notes = Scenario(tmp_path, (output, tests_failed)), list[str]()
    assert scenario.run(DEAD, notes) == Count(4, 1)
    assert (scenario.names, notes) == (["scenario set"], [])


def test_other_checks_have_no_hosts(tmp_path: Path) -> None:
    check = Check("ruff", [], tmp_path, 1)
    assert selected_hosts(check) == []
    assert run(check, tmp_path, [], None, lambda _check, _logs: Count(0, 1)) == Count(0, 1)
    scenario = Check("scenario", [], tmp_path, 1, {"LAB_SELECTION": "--host c --suite trixie --suite bookworm"})
    assert selected_hosts(scenario) == [HostName("trixie", "c"), HostName("bookworm", "c")]


def test_the_console_and_the_log_of_qemu_are_kept(tmp_path: Path) -> None:
    files = Files(tmp_path / "host")
    files.folder.mkdir()
    files.console.write_text("panic")
    (files.folder / "qemu.log").write_text("killed")
    keep(files, tmp_path / "scenario-set.trixie_a.log")
    kept = {path.name: path.read_text() for path in tmp_path.glob("*.log")}
    assert kept == {
        "scenario-set.trixie_a.console.log": "panic",
        "scenario-set.trixie_a.qemu.log": "killed",
    }
