# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ./dev test counts: a check that did not run never passes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from dev.check import Check, Count, by_exit_code, by_junit, by_sanity, by_scenario, run_check
from dev.table import devices_table, types_table

REPORT = '<testsuites><testsuite tests="5" failures="1" errors="1" skipped="1"/></testsuites>'


@pytest.mark.parametrize(
    ("code", "output", "count"),
    [
        (0, 'Running sanity test "import"\nRunning sanity test "pylint"\n', Count(2, 0)),
        (1, 'Running sanity test "import"\n', Count(0, 1)),
        (0, "WARNING: All targets skipped.\n", Count(0, 1)),
        (0, 'Running sanity test "import"\nWARNING: All targets skipped.\n', Count(0, 1)),
        (0, "", Count(0, 1)),
    ],
)
def test_sanity_counts_only_what_ran(code: int, output: str, count: Count) -> None:
    assert by_sanity(code, output) == count


@pytest.mark.parametrize(
    ("code", "report", "count"),
    [
        (1, REPORT, Count(2, 2)),
        (0, REPORT.replace('failures="1" errors="1"', 'failures="0" errors="0"'), Count(4, 0)),
        (2, REPORT.replace('failures="1" errors="1"', 'failures="0" errors="0"'), Count(4, 1)),
        (0, None, Count(0, 1)),
    ],
)
def test_pytest_counts_by_its_report(tmp_path: Path, code: int, report: str | None, count: Count) -> None:
    if report is not None:
        (tmp_path / "report.xml").write_text(report)
    assert by_junit(tmp_path / "report.xml")(code, "") == count


def test_a_scenario_counts_with_the_reports_of_its_hosts(tmp_path: Path) -> None:
    for name in ("trixie_a.xml", "bookworm_a.xml"):
        (tmp_path / name).write_text(REPORT)
    assert by_scenario(tmp_path)(1, "") == Count(4, 5)


def test_a_check_that_takes_too_long_fails_and_shows_how_far_it_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = "import time; print('half way', flush=True); time.sleep(60)"
    check = Check("slow", [sys.executable, "-c", program], tmp_path, 1.0, {}, by_exit_code)
    assert run_check(check, tmp_path) == Count(0, 1)
    shown = capsys.readouterr().out
    assert "FAILED  slow: 1 of 1" in shown
    assert "half way" in shown
    assert "not done after 1 s" in shown


def test_tables_are_for_people() -> None:
    info = {
        "types": [
            {"id": "nvidia-471", "name": None, "parents": 16, "active": 1, "defined": 1, "available_instances": 15}
            | {"room": 4},
            {"id": "nvidia-472", "name": "A100-4C", "parents": 16, "active": 0, "defined": 0}
            | {"available_instances": None, "room": None},
        ],
        "devices": [
            {
                "uuid": "5b2c",
                "parent": "0000:41:00.4",
                "type": "nvidia-471",
                "active": True,
                "defined": True,
                "autostart": False,
                "used_by": [{"pid": 1, "command": "qemu", "guest": "web"}],
            }
        ],
    }
    assert types_table(info).splitlines() == [
        "TYPE        NAME     PARENTS  USED  DEFINED  FREE  ROOM",
        "nvidia-471  -        16       1     1        15    4",
        "nvidia-472  A100-4C  16       0     0        ?     ?",
    ]
    assert devices_table(info).splitlines()[1] == "5b2c    0000:41:00.4  nvidia-471  yes     yes      no         web"
