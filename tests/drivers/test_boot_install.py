# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module mdev_boot in a namespace, with a stand-in for systemctl."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.kit.isolated_host import Boot
from drivers.kit.namespace import Namespace

UNIT = "vfio-mdev.service"

# Enables and disables as systemctl does, and remembers which version of each unit was last loaded.
SYSTEMCTL = """#!/bin/sh
etc=/etc/systemd/system
mkdir -p /run/systemd/system /etc/loaded
echo "$*" >> /etc/calls
wants() { case $1 in *.timer) echo timers.target.wants ;; *) echo multi-user.target.wants ;; esac; }
case "$1" in
show)
    for name in vfio-mdev-vfs.service vfio-mdev.service vfio-mdev-metrics.service vfio-mdev-metrics.timer; do
        state=loaded need=no path=$etc/$name
        [ -e /etc/loaded/$name ] || { state=not-found; path=; }
        [ "$state" = not-found ] || cmp -s /etc/loaded/$name $etc/$name || need=yes
        active=inactive
        [ ! -e /etc/running/$name ] || active=active
        printf 'Id=%s\\nLoadState=%s\\nNeedDaemonReload=%s\\n' $name $state $need
        printf 'FragmentPath=%s\\nActiveState=%s\\n\\n' "$path" $active
    done ;;
enable) shift; for name; do mkdir -p $etc/timers.target.wants; ln -s ../$name $etc/$(wants $name)/$name; done ;;
disable)
    shift
    [ "$1" != --now ] || { shift; rm /etc/running/$1; }
    for name; do rm $etc/$(wants $name)/$name; done ;;
restart) mkdir -p /etc/running; touch /etc/running/$2 ;;
stop) rm -f /etc/running/$2 ;;
daemon-reload)
    # A run of the metrics unit that was not stopped has ended by now.
    [ ! -e /etc/running/vfio-mdev-metrics.service ] || touch /etc/metrics/vfio_mdev.prom
    [ -e /etc/broken ] && { echo 'Failed to reload daemon: Connection timed out' >&2; exit 1; }
    rm -f /etc/loaded/*
    cp $etc/vfio-mdev*.service $etc/vfio-mdev*.timer /etc/loaded 2> /dev/null || true ;;
esac
"""

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def etc(boot: Boot, namespaces: list[Namespace]) -> Path:
    boot()
    etc = namespaces[-1].etc
    program = etc / "programs/systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    (etc / "systemd/system/multi-user.target.wants" / UNIT).unlink()
    # Creates /run/systemd/system, as systemd does at boot.
    namespaces[-1].run_module("mdev_boot", state="absent", program_path="/etc/vfio-mdev")
    return etc


@pytest.fixture
def run(etc: Path, namespaces: list[Namespace]) -> Run:
    def run(**arguments: Any) -> dict[str, Any]:
        (etc / "calls").unlink(missing_ok=True)
        options = {"program_path": "/etc/vfio-mdev", "python": sys.executable}
        return namespaces[-1].run_module("mdev_boot", **{**options, **arguments})

    return run


def calls(etc: Path) -> list[str]:
    path = etc / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if not line.startswith("show")]


def test_install_repeat_and_remove(run: Run, etc: Path) -> None:
    planned = run(check=True)
    result = run()
    assert planned == result
    assert (result["changed"], result["reloaded"], result["unmasked"]) == (True, True, [])
    assert result["files"][-1] == f"/etc/systemd/system/{UNIT}"
    assert calls(etc) == [f"enable {UNIT}", "daemon-reload"]
    environment = {"PYTHONPATH": str(etc / "vfio-mdev"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "vfio_mdev._boot.start_devices", "--help"]
    assert subprocess.run(command, env=environment, check=False, capture_output=True, timeout=30).returncode == 0
    again = run()
    assert (again["changed"], again["reloaded"], again["files"], calls(etc)) == (False, False, [], [])
    removed = run(state="absent")
    assert (removed["changed"], removed["enabled"]) == (True, False)
    assert calls(etc) == [f"disable {UNIT}", "daemon-reload"]
    assert not (etc / "vfio-mdev").exists()
    assert not run(state="absent")["changed"]


def test_a_reload_that_failed_is_repeated(run: Run, etc: Path) -> None:
    run()
    (etc / "broken").touch()
    failed = run(wait_timeout=300)
    assert failed["error"]["kind"] == "backend_failed"
    assert "Connection timed out" in failed["msg"]
    (etc / "broken").unlink()
    result = run(wait_timeout=300)
    assert (result["changed"], result["reloaded"], result["files"]) == (True, True, [])
    assert calls(etc) == ["daemon-reload"]
    assert not run(wait_timeout=300)["changed"]


def test_a_mask_is_reported(run: Run, etc: Path) -> None:
    (etc / "systemd/system" / UNIT).symlink_to("/dev/null")
    result = run()
    assert result["unmasked"] == [UNIT]
    assert f"{UNIT} was masked" in str(result["warnings"])
    assert not run()["changed"]


def test_a_unit_of_others_is_refused(run: Run, etc: Path) -> None:
    (etc / "systemd/system" / UNIT).write_text("[Unit]\n")
    result = run()
    assert result["error"]["kind"] == "file_error"
    assert "was not written by this collection" in result["msg"]
    assert not (etc / "vfio-mdev").exists()
    assert "stays as it is" in str(run(state="absent")["warnings"])


def test_a_negative_time_is_refused(run: Run) -> None:
    assert run(wait_timeout=-1)["error"]["kind"] == "invalid_input"


TIMER = "vfio-mdev-metrics.timer"


def test_metrics_are_published_until_the_option_is_gone(run: Run, etc: Path) -> None:
    (etc / "metrics").mkdir()
    options = {"metrics_path": "/etc/metrics", "facts_path": "/etc/facts.d"}
    planned, result = run(check=True, **options), run(**options)
    assert planned == result
    assert calls(etc) == [f"enable {UNIT} {TIMER}", "daemon-reload", f"restart {TIMER}"]
    assert not run(**options)["changed"]
    (etc / "running" / TIMER).unlink()
    assert run(**options)["changed"]
    assert calls(etc) == [f"restart {TIMER}"]
    assert not run(**options)["changed"]
    (etc / "metrics/vfio_mdev.prom").touch()
    (etc / "running/vfio-mdev-metrics.service").touch()
    removed = run()
    assert removed["changed"]
    assert calls(etc) == [f"disable --now {TIMER}", "stop vfio-mdev-metrics.service", "daemon-reload"]
    assert list((etc / "metrics").iterdir()) == []
    assert not run()["changed"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics_path": "metrics"}, "must be an absolute path"),
        ({"facts_path": "/etc/my facts"}, "must be an absolute path"),
        ({"metrics_path": "/etc/metrics", "metrics_interval": 0}, "at least 1"),
    ],
)
def test_what_a_unit_can_not_contain_is_refused(run: Run, etc: Path, options: dict[str, Any], words: str) -> None:
    result = run(**options)
    assert result["error"]["kind"] == "invalid_input"
    assert words in result["msg"]
    assert not (etc / "vfio-mdev").exists()
