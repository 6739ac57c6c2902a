# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put on a host to start its devices at boot."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._boot_unit import (
    BootUnit,
    apply_changes,
    plan_absent,
    plan_present,
)
from ansible_collections.vfio.mdev.plugins.module_utils._errors import FilesRefused, InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._host import HostPaths

UNIT = BootUnit("/usr/local/lib/vfio-mdev", sys.executable, 120, ("nvidia-vgpud.service",))


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    (tmp_path / "sys").mkdir()
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    return HostPaths(str(tmp_path / "sys"))


def install(paths: HostPaths, unit: BootUnit = UNIT) -> list[str]:
    changes = plan_present(paths, unit)
    apply_changes(paths, unit.folder, changes)
    return [one.path for one in changes]


def test_it_is_installed_once(paths: HostPaths) -> None:
    unit = f"{paths.root}/etc/systemd/system/vfio-mdev.service"
    assert install(paths)[-1] == unit
    assert install(paths) == []
    text = Path(unit).read_text()
    assert "After=local-fs.target systemd-modules-load.service systemd-udevd.service nvidia-vgpud.service\n" in text
    assert f"ExecStart={sys.executable} -m vfio_mdev._boot --wait 120\n" in text
    assert "TimeoutStartSec=180\n" in text


def test_what_is_installed_runs_without_ansible_and_the_collection(paths: HostPaths) -> None:
    install(paths)
    environment = {"PYTHONPATH": f"{paths.root}/usr/local/lib/vfio-mdev"}
    command = [sys.executable, "-m", "vfio_mdev._boot", "--sysfs", paths.sys, "--definitions", f"{paths.root}/none"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout == "0 devices are marked autostart\n"


def test_only_what_differs_is_written(paths: HostPaths) -> None:
    install(paths)
    assert install(paths, replace(UNIT, wait_seconds=300)) == [f"{paths.root}/etc/systemd/system/vfio-mdev.service"]
    old = Path(paths.root, "usr/local/lib/vfio-mdev/vfio_mdev/_of_an_older_version.py")
    old.write_text("")
    assert install(paths, replace(UNIT, wait_seconds=300)) == [str(old)]
    assert not old.exists()


def test_nothing_is_left(paths: HostPaths) -> None:
    install(paths)
    apply_changes(paths, UNIT.folder, plan_absent(paths, UNIT.folder))
    assert [one for one in Path(paths.root).rglob("*vfio*") if "lib/vfio" in str(one) or one.is_file()] == []
    assert plan_absent(paths, UNIT.folder) == []


def test_a_plan_writes_nothing(paths: HostPaths) -> None:
    assert plan_present(paths, UNIT)
    assert not Path(paths.root, "usr").exists()


@pytest.mark.parametrize(("program", "words"), [(None, "can't be run: ENOENT"), ("exit 1", "older than 3.9")])
def test_a_python_that_would_not_do(paths: HostPaths, program: str | None, words: str) -> None:
    python = Path(paths.root, "python")
    if program is not None:
        python.write_text(f"#!/bin/sh\n{program}\n")
        python.chmod(0o755)
    with pytest.raises(InvalidInput, match=words):
        plan_present(paths, replace(UNIT, python=str(python)))


def test_a_full_disk_is_named(paths: HostPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "")

    changes = plan_present(paths, UNIT)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FilesRefused, match=r"writing .*__init__.py failed: ENOSPC"):
        apply_changes(paths, UNIT.folder, changes)
    assert not list(Path(paths.root).rglob("*.new"))
