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

from ansible_collections.vfio.mdev.plugins.module_utils._boot.install import apply_changes, plan_boot
from ansible_collections.vfio.mdev.plugins.module_utils._boot.units import Program, UnitFile, devices_unit, vfs_unit
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import HostPaths
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import FilesRefused, InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.plan import WantedVfs

PROGRAM = Program("/usr/local/lib/vfio-mdev", sys.executable, 120)
DEVICES = devices_unit(PROGRAM, ["nvidia-vgpud.service"])
CARDS = [WantedVfs("0000:41:00.0"), WantedVfs("0000:81:00.0", 4)]
VFS = vfs_unit(PROGRAM, CARDS, "auto", ["nvidia-vgpud.service"], ["gpu-mig.service"])


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    (tmp_path / "sys").mkdir()
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    return HostPaths(str(tmp_path / "sys"))


def install(paths: HostPaths, *units: UnitFile, program: Program = PROGRAM) -> list[str]:
    plan = plan_boot(paths, program, units)
    apply_changes(paths, program.folder, plan.files)
    return [one.path for one in plan.files]


def test_it_is_installed_once(paths: HostPaths) -> None:
    unit = f"{paths.root}/etc/systemd/system/vfio-mdev.service"
    assert install(paths, DEVICES)[-1] == unit
    assert install(paths, DEVICES) == []
    text = Path(unit).read_text()
    assert "After=local-fs.target systemd-modules-load.service systemd-udevd.service nvidia-vgpud.service\n" in text
    assert f"ExecStart={sys.executable} -m vfio_mdev._boot.start_devices --wait 120\n" in text
    assert "TimeoutStartSec=180\n" in text


def test_functions_come_after_the_driver_and_before_mig_and_devices(paths: HostPaths) -> None:
    assert [one.rsplit("/", 1)[1] for one in install(paths, VFS, DEVICES)[-2:]] == [VFS.name, DEVICES.name]
    text = Path(f"{paths.root}/etc/systemd/system/vfio-mdev-vfs.service").read_text()
    assert "After=local-fs.target systemd-modules-load.service systemd-udevd.service nvidia-vgpud.service\n" in text
    assert "Before=vfio-mdev.service gpu-mig.service\n" in text
    assert (
        f"{sys.executable} -m vfio_mdev._boot.enable_vfs --wait 120 --tool auto 0000:41:00.0=max 0000:81:00.0=4\n"
        in text
    )


def test_units_are_enabled_and_disabled_as_wanted(paths: HostPaths) -> None:
    wants = Path(paths.root, "etc/systemd/system/multi-user.target.wants")
    wants.mkdir()
    plan = plan_boot(paths, PROGRAM, [VFS, DEVICES])
    assert (plan.enable, plan.disable) == ((VFS.name, DEVICES.name), ())
    install(paths, VFS, DEVICES)
    for name in plan.enable:
        (wants / name).symlink_to(f"../{name}")
    assert not plan_boot(paths, PROGRAM, [VFS, DEVICES]).changed
    fewer = plan_boot(paths, PROGRAM, [DEVICES])
    assert [one.path.rsplit("/", 1)[1] for one in fewer.files] == [VFS.name]
    assert (fewer.enable, fewer.disable, fewer.changed) == ((), (VFS.name,), True)
    assert plan_boot(paths, PROGRAM, []).disable == (VFS.name, DEVICES.name)


def test_what_is_installed_runs_without_ansible_and_the_collection(paths: HostPaths) -> None:
    install(paths, VFS, DEVICES)
    environment = {"PYTHONPATH": f"{paths.root}/usr/local/lib/vfio-mdev"}
    command = [
        sys.executable,
        "-m",
        "vfio_mdev._boot.start_devices",
        "--sysfs",
        paths.sys,
        "--definitions",
        f"{paths.root}/none",
    ]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout == "0 devices are marked autostart\n"
    command = [
        sys.executable,
        "-m",
        "vfio_mdev._boot.enable_vfs",
        "--sysfs",
        paths.sys,
        "--wait",
        "0",
        "0000:41:00.0=max",
    ]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr.startswith("FAILED 0000:41:00.0: there is no such PCI device. Devices with SR-IOV here: none.")


def test_only_what_differs_is_written(paths: HostPaths) -> None:
    install(paths, DEVICES)
    longer = devices_unit(replace(PROGRAM, wait_seconds=300))
    assert install(paths, longer) == [f"{paths.root}/etc/systemd/system/vfio-mdev.service"]
    old = Path(paths.root, "usr/local/lib/vfio-mdev/vfio_mdev/_of_an_older_version.py")
    old.write_text("")
    assert install(paths, longer) == [str(old)]
    assert not old.exists()


def test_nothing_is_left(paths: HostPaths) -> None:
    install(paths, VFS, DEVICES)
    assert install(paths)[:2] == [f"{paths.root}/etc/systemd/system/{one.name}" for one in (VFS, DEVICES)]
    assert [one for one in Path(paths.root).rglob("*vfio*") if "lib/vfio" in str(one) or one.is_file()] == []
    assert install(paths) == []


def test_a_plan_writes_nothing(paths: HostPaths) -> None:
    assert plan_boot(paths, PROGRAM, [DEVICES]).files
    assert not Path(paths.root, "usr").exists()


@pytest.mark.parametrize(("program", "words"), [(None, "can't be run: ENOENT"), ("exit 1", "older than 3.9")])
def test_a_python_that_would_not_do(paths: HostPaths, program: str | None, words: str) -> None:
    python = Path(paths.root, "python")
    if program is not None:
        python.write_text(f"#!/bin/sh\n{program}\n")
        python.chmod(0o755)
    with pytest.raises(InvalidInput, match=words):
        plan_boot(paths, replace(PROGRAM, python=str(python)), [DEVICES])


def test_a_full_disk_is_named(paths: HostPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "")

    plan = plan_boot(paths, PROGRAM, [DEVICES])
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FilesRefused, match=r"writing .*__init__.py failed: ENOSPC"):
        apply_changes(paths, PROGRAM.folder, plan.files)
    assert not list(Path(paths.root).rglob("*.new"))
