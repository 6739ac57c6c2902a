# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev bench native counts the time of modules and controller apart, and puts medians beside those of ping."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from lab.errors import LabError

from benchmarks.native import (
    SIZES,
    WAYS,
    Play,
    Sample,
    build,
    check_unchanged,
    devices,
    in_turn,
    module_seconds,
    play_table,
    process_table,
    timed_python,
)


def test_seconds_of_a_module_are_those_of_the_children() -> None:
    assert module_seconds("0m0.001s 0m0.002s\n1m0.250s 0m0.125s\n") == 60.375


def test_a_timed_python_runs_as_python_does(tmp_path: Path) -> None:
    python = timed_python(tmp_path)
    program = "import sys; sum(range(3_000_000)); print(sys.argv[1], sys.stdin.read()); sys.exit(3)"
    done = subprocess.run([python, "-c", program, "a"], input="b", capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("a b\n", 3)
    [times] = (tmp_path / "times").iterdir()
    assert 0.01 < module_seconds(times.read_text()) < 10


@pytest.mark.parametrize(("size", "cards"), [("small", 4), ("big", 8)])
def test_hosts_have_their_devices_on_all_cards(tmp_path: Path, size: str, cards: int) -> None:
    build(tmp_path, SIZES[size])
    on_host = devices(tmp_path)
    assert len({device["uuid"] for device in on_host}) == 40
    parents = {device["parent"] for device in on_host}
    assert len({parent.split(".")[0][:8] if size == "big" else parent for parent in parents}) == cards
    buses = tmp_path / "sys/class/mdev_bus"
    assert len(list(buses.iterdir())) == SIZES[size].parents
    assert all((buses / parent / "mdev_supported_types").is_dir() for parent in parents)


def test_each_run_measures_all_ways() -> None:
    order: list[str] = []

    def sample(way: object) -> Sample:
        order.append(getattr(way, "name", ""))
        return Sample(1, 1)

    samples = in_turn(WAYS[:2], 2, sample)
    assert order == [WAYS[0].name, WAYS[1].name] * 2
    assert [len(samples[way.name]) for way in WAYS[:2]] == [2, 2]


def test_processes_are_compared_by_their_medians() -> None:
    samples = {way.name: [Sample(0.4, 0.2), Sample(9, 9), Sample(0.2, 0.1)] for way in WAYS}
    samples["mdev_info"] = [Sample(0.8, 0.3)]
    lines = process_table(samples).splitlines()
    assert lines[2] == "| ping | 0.200 | 1.00 |  | 0.400 | 1.00 |"
    assert lines[3] == "| mdev_info | 0.300 | 1.50 | 1.2 | 0.800 | 2.00 |"


def test_the_controller_takes_what_the_modules_do_not() -> None:
    plays = {Play(10, True): {"ping": [Sample(2, 3, 0.1)], "mdev_info": [Sample(3, 4.5, 0.15)]}}
    assert play_table(plays).splitlines()[2:] == [
        "| 10 | on | ping | 0.100 | 1.00 | 2.00 | 1.00 | 2.00 | 1.00 |",
        "| 10 | on | mdev_info | 0.150 | 1.50 | 3.00 | 1.50 | 3.00 | 1.50 |",
    ]


@pytest.mark.parametrize("program", ["print('{\"changed\": true}')", "raise SystemExit('no host')"])
def test_a_task_that_changes_its_host_is_not_measured(tmp_path: Path, program: str) -> None:
    payload = tmp_path / "payload.py"
    payload.write_text("print('{\"changed\": false}')")
    check_unchanged(payload)
    payload.write_text(program)
    with pytest.raises(LabError, match="failed or changed its host"):
        check_unchanged(payload)
