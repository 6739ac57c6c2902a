# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that start devices at boot, and their installation."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._boot import install as installation
from ansible_collections.vfio.mdev.plugins.module_utils._boot.install import apply_files, plan_boot
from ansible_collections.vfio.mdev.plugins.module_utils._boot.package import LIST, file_list
from ansible_collections.vfio.mdev.plugins.module_utils._boot.systemd import UnitState
from ansible_collections.vfio.mdev.plugins.module_utils._boot.units import (
    METRICS_TIMER,
    METRICS_UNIT,
    Program,
    Publication,
    UnitFile,
    devices_unit,
    metrics_units,
    vfs_unit,
)
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import FileError, InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.plan import VfsRequest

PROGRAM = Program("/usr/local/lib/vfio-mdev", sys.executable, 120)
DEVICES = devices_unit(PROGRAM, ["nvidia-vgpud.service"])
CARDS = [VfsRequest("0000:41:00.0"), VfsRequest("0000:81:00.0", 4)]
VFS = vfs_unit(PROGRAM, CARDS, "auto", ["nvidia-vgpud.service"], ["gpu-mig.service"])


SOURCES = installation._sources
PACKAGE_PATH = "usr/local/lib/vfio-mdev/vfio_mdev"


def with_list(contents: dict[str, bytes]) -> dict[str, bytes]:
    """The contents of a version, with the list of its files."""
    return {**contents, LIST: file_list(name for name in contents if name != LIST)}


@pytest.fixture
def paths(tmp_path: Path) -> Host:
    (tmp_path / "sys").mkdir()
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    return Host(str(tmp_path / "sys"))


def install(paths: Host, *units: UnitFile, program: Program = PROGRAM) -> list[str]:
    plan = plan_boot(paths, program, units)
    apply_files(plan)
    return [file.path for file in plan.files]


def test_installs_once(paths: Host) -> None:
    unit = f"{paths.root}/etc/systemd/system/vfio-mdev.service"
    assert install(paths, DEVICES)[-1] == unit
    assert install(paths, DEVICES) == []
    text = Path(unit).read_text()
    assert "After=local-fs.target systemd-modules-load.service systemd-udevd.service nvidia-vgpud.service\n" in text
    assert f"ExecStart={sys.executable} -m vfio_mdev._boot.start_devices --wait 120\n" in text
    assert "TimeoutStartSec=180\n" in text


def test_virtual_functions_start_after_the_driver_and_before_mig_and_devices(paths: Host) -> None:
    assert [path.rsplit("/", 1)[1] for path in install(paths, VFS, DEVICES)[-2:]] == [VFS.name, DEVICES.name]
    text = Path(f"{paths.root}/etc/systemd/system/vfio-mdev-vfs.service").read_text()
    assert "After=local-fs.target systemd-modules-load.service systemd-udevd.service nvidia-vgpud.service\n" in text
    assert "Before=vfio-mdev.service gpu-mig.service\n" in text
    assert (
        f"{sys.executable} -m vfio_mdev._boot.enable_vfs --wait 120 --backend auto 0000:41:00.0=max 0000:81:00.0=4\n"
        in text
    )


def test_units_are_enabled_and_disabled(paths: Host) -> None:
    wants = Path(paths.root, "etc/systemd/system/multi-user.target.wants")
    wants.mkdir()
    plan = plan_boot(paths, PROGRAM, [VFS, DEVICES])
    assert (plan.enable, plan.disable) == ((VFS.name, DEVICES.name), ())
    install(paths, VFS, DEVICES)
    for name in plan.enable:
        (wants / name).symlink_to(f"../{name}")
    assert not plan_boot(paths, PROGRAM, [VFS, DEVICES]).changed
    fewer = plan_boot(paths, PROGRAM, [DEVICES])
    assert [file.path.rsplit("/", 1)[1] for file in fewer.files] == [VFS.name]
    assert (fewer.enable, fewer.disable, fewer.changed) == ((), (VFS.name,), True)
    assert plan_boot(paths, PROGRAM, []).disable == (VFS.name, DEVICES.name)


def test_installed_programs_run_without_ansible_and_the_collection(paths: Host) -> None:
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
    assert done.stdout == "0 devices are defined with autostart\n"
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
    assert done.stderr.startswith(
        "FAILED 0000:41:00.0: this host has no such PCI device. Devices with SR-IOV on this host: none."
    )


def test_only_changed_files_are_written(paths: Host) -> None:
    install(paths, DEVICES)
    longer = devices_unit(replace(PROGRAM, wait_timeout=300))
    assert install(paths, longer) == [f"{paths.root}/etc/systemd/system/vfio-mdev.service"]
    older = {"_of_an_older_version.py": b""}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(installation, "_sources", lambda: with_list({**SOURCES(), **older}))
        install(paths, longer)
    old = Path(paths.root, PACKAGE_PATH, "_of_an_older_version.py")
    assert old.exists()
    assert str(old) in install(paths, longer)
    assert not old.exists()


def test_uninstalling_leaves_nothing(paths: Host) -> None:
    install(paths, VFS, DEVICES)
    assert install(paths)[:2] == [f"{paths.root}/etc/systemd/system/{unit.name}" for unit in (VFS, DEVICES)]
    assert [path for path in Path(paths.root).rglob("*vfio*") if "lib/vfio" in str(path) or path.is_file()] == []
    assert install(paths) == []


def test_a_plan_writes_nothing(paths: Host) -> None:
    assert plan_boot(paths, PROGRAM, [DEVICES]).files
    assert not Path(paths.root, "usr").exists()


@pytest.mark.parametrize(("program", "words"), [(None, "can't be run: ENOENT"), ("exit 1", "older than 3.9")])
def test_an_unsuitable_python_is_refused(paths: Host, program: str | None, words: str) -> None:
    python = Path(paths.root, "python")
    if program is not None:
        python.write_text(f"#!/bin/sh\n{program}\n")
        python.chmod(0o755)
    with pytest.raises(InvalidInput, match=words):
        plan_boot(paths, replace(PROGRAM, python=str(python)), [DEVICES])


def test_a_full_disk_is_reported(paths: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "")

    plan = plan_boot(paths, PROGRAM, [DEVICES])
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileError, match=r"writing the program in .*lib/vfio-mdev failed: ENOSPC"):
        apply_files(plan)
    assert not list(Path(paths.root).rglob("*.new"))


@pytest.mark.parametrize("unit", ["nvidia-vgpud", "a b.service", "x.service;y.service", "", ".service/"])
def test_a_name_that_is_no_unit_is_refused(unit: str) -> None:
    for build in (lambda: devices_unit(PROGRAM, [unit]), lambda: vfs_unit(PROGRAM, CARDS, "auto", [], [unit])):
        with pytest.raises(InvalidInput, match="is not the name of a systemd unit: give it with its suffix"):
            build()


def test_names_of_units() -> None:
    names = ["a.service", "dev-disk-by\\x2did.device", "gpu@0.target", "b_1.timer"]
    assert all(name in devices_unit(PROGRAM, names).text for name in names)


def timer_state(active_state: str) -> dict[str, UnitState]:
    return {METRICS_TIMER: UnitState("loaded", False, "", active_state)}


def test_metrics_and_facts_are_published_by_a_timer(paths: Host) -> None:
    units = metrics_units(PROGRAM, Publication("/var/metrics", "/etc/ansible/facts.d", 30))
    plan = plan_boot(paths, PROGRAM, [DEVICES, *units])
    assert (plan.enable, plan.start) == ((DEVICES.name, METRICS_TIMER), (METRICS_TIMER,))
    apply_files(plan)
    folder = Path(paths.root, "etc/systemd/system")
    service, timer = ((folder / name).read_text() for name in (METRICS_UNIT, METRICS_TIMER))
    assert (
        f"ExecStart={sys.executable} -m vfio_mdev._boot.publish --metrics /var/metrics --facts /etc/ansible/facts.d\n"
        in service
    )
    assert "WantedBy" not in service
    assert "OnUnitInactiveSec=30\n" in timer


@pytest.mark.parametrize(
    ("state", "start"), [("", ()), ("active", ()), ("inactive", (METRICS_TIMER,)), ("failed", (METRICS_TIMER,))]
)
def test_a_timer_that_was_stopped_is_started(paths: Host, state: str, start: tuple[str, ...]) -> None:
    units = metrics_units(PROGRAM, Publication("/var/metrics", "", 60))
    install(paths, *units)
    wants = Path(paths.root, "etc/systemd/system/timers.target.wants")
    wants.mkdir()
    (wants / METRICS_TIMER).symlink_to(f"../{METRICS_TIMER}")
    plan = plan_boot(paths, PROGRAM, units, timer_state(state))
    assert (plan.start, plan.changed) == (start, bool(start))
    # Another file that a unit does not use is no reason to restart it.
    assert plan_boot(paths, PROGRAM, [DEVICES, *units], timer_state("active")).start == ()
    assert plan_boot(paths, PROGRAM, [DEVICES], timer_state("active")).disable == (METRICS_TIMER,)


def test_what_is_no_longer_published_is_removed(paths: Host) -> None:
    for path in ("var/metrics/vfio_mdev.prom", "etc/facts.d/vfio_mdev.fact", "etc/facts.d/theirs.fact"):
        file = Path(paths.root, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    both = Publication("/var/metrics", "/etc/facts.d", 60)
    install(paths, *metrics_units(PROGRAM, both))
    assert install(paths, *metrics_units(PROGRAM, both)) == []
    assert f"{paths.root}/var/metrics/vfio_mdev.prom" in install(
        paths, *metrics_units(PROGRAM, replace(both, metrics_path=""))
    )
    assert not Path(paths.root, "var/metrics/vfio_mdev.prom").exists()
    assert f"{paths.root}/etc/facts.d/vfio_mdev.fact" in install(paths)
    assert [path.name for path in Path(paths.root, "etc/facts.d").iterdir()] == ["theirs.fact"]


def test_nothing_is_published_without_a_folder() -> None:
    assert metrics_units(PROGRAM, Publication("", "", 60)) == []
