# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installations that were killed, meet files of others, or changed units that systemd has not read again."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._boot import install as installation
from ansible_collections.vfio.mdev.plugins.module_utils._boot.install import BootPlan, apply_boot, plan_boot
from ansible_collections.vfio.mdev.plugins.module_utils._boot.package import LIST, file_list
from ansible_collections.vfio.mdev.plugins.module_utils._boot.systemd import UnitState, parse_states
from ansible_collections.vfio.mdev.plugins.module_utils._boot.units import Program, UnitFile, devices_unit, vfs_unit
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import BackendFailed, FileError
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.plan import VfsRequest

PROGRAM = Program("/usr/local/lib/vfio-mdev", sys.executable, 120)
DEVICES = devices_unit(PROGRAM)
VFS = vfs_unit(PROGRAM, [VfsRequest("0000:41:00.0")], "auto")
OLD_FILES = {"__init__.py": b"", "a.py": b"a = 1\n", "_boot/__init__.py": b"", "_boot/gone.py": b"old = 1\n"}
NEW_FILES = {"__init__.py": b"", "a.py": b"a = 2\n", "_boot/__init__.py": b"", "_boot/b.py": b"b = 2\n"}
NEXT_FILES = {"__init__.py": b"", "c.py": b"c = 3\n"}
# The system calls that change files.
CHANGING = ("rename", "unlink", "link", "symlink", "mkdir", "rmdir", "fsync")


class Killed(BaseException):
    """The process was killed at this call."""


class FakeSystemctl:
    """Enables and disables as systemctl does."""

    def __init__(self, host: Host) -> None:
        self.etc = Path(host.root, "etc/systemd/system")
        self.calls: list[tuple[str, ...]] = []
        self.broken = ""

    def __call__(self, verb: str, *names: str) -> str:
        self.calls.append((verb, *names))
        if verb == self.broken:
            raise BackendFailed(f"{verb} failed", backend="systemd")
        for name in names:
            link = self.etc / "multi-user.target.wants" / name
            if not (self.etc / name).is_file():
                raise BackendFailed(f"Unit file {name} does not exist.", backend="systemd")
            if verb == "enable" and not link.is_symlink():
                link.symlink_to(f"../{name}")
            if verb == "disable":
                link.unlink()
        return ""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "sys").mkdir()
    (tmp_path / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True)
    return Host(str(tmp_path / "sys"))


@pytest.fixture
def systemctl(host: Host, monkeypatch: pytest.MonkeyPatch) -> FakeSystemctl:
    fake = FakeSystemctl(host)
    monkeypatch.setattr(installation, "systemctl", fake)
    return fake


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, bytes]], None]:
    """Selects the files of the collection."""

    def select(files: dict[str, bytes]) -> None:
        monkeypatch.setattr(installation, "_sources", lambda: {**files, LIST: file_list(files)})

    return select


def install(host: Host, *units: UnitFile) -> BootPlan:
    plan = plan_boot(host, PROGRAM, units)
    if plan.changed:
        apply_boot(host, plan)
    return plan


def package(host: Host) -> Path:
    return Path(host.root, "usr/local/lib/vfio-mdev/vfio_mdev")


def unit_path(host: Host, unit: UnitFile = DEVICES) -> Path:
    return Path(host.root, "etc/systemd/system", unit.name)


def files(folder: Path) -> dict[str, bytes]:
    return {
        os.path.relpath(os.path.join(path, name), folder): Path(path, name).read_bytes()
        for path, _folders, names in os.walk(folder)
        for name in names
    }


def everything(host: Host) -> dict[str, bytes | str]:
    """All files and links of the host."""
    paths = (path for path in Path(host.root).rglob("*") if path.is_symlink() or path.is_file())
    return {
        str(path.relative_to(host.root)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in paths
    }


@contextmanager
def killed_at(number: int, before: bool) -> Iterator[list[int]]:
    """Ends the process at the call with this number, before or after its effect. Yields the calls so far."""
    calls: list[int] = []

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == number and before:
                raise Killed
            result = call(*arguments, **options)
            if len(calls) == number:
                raise Killed
            return result

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGING:
            patch.setattr(os, name, wrapped(getattr(os, name)))
        yield calls


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    ("start", "goal", "next_files"),
    [
        ([], [VFS, DEVICES], NEW_FILES),
        ([VFS, DEVICES], [DEVICES], NEW_FILES),
        ([VFS, DEVICES], [DEVICES], NEXT_FILES),
        ([VFS, DEVICES], [], NEW_FILES),
    ],
    ids=["install", "upgrade", "upgrade, then another version", "remove"],
)
def test_the_first_run_after_a_kill_heals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: Callable[[dict[str, bytes]], None],
    start: list[UnitFile],
    goal: list[UnitFile],
    next_files: dict[str, bytes],
    before: bool,
) -> None:
    """Wherever a run is killed: the package is of one version then, and the next run ends as if nothing had been."""

    def prepared(name: str) -> Host:
        root = tmp_path / name
        (root / "sys").mkdir(parents=True)
        (root / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True)
        host = Host(str(root / "sys"))
        monkeypatch.setattr(installation, "systemctl", FakeSystemctl(host))
        version(OLD_FILES)
        install(host, *start)
        if start:
            (package(host) / "theirs.txt").write_text("theirs")
            (package(host) / "_boot/__pycache__").mkdir()
        version(NEW_FILES)
        return host

    monkeypatch.setattr(installation, "_require_python", lambda python: None)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    clean = prepared("clean")
    version(next_files)
    install(clean, *goal)
    expected = everything(clean)
    number = 0
    while True:
        number += 1
        host = prepared(f"killed-{number}")
        with killed_at(number, before) as calls:
            try:
                install(host, *goal)
            except Killed:
                pass
        if len(calls) < number:
            break
        if goal and package(host).exists():
            now = {name: data for name, data in files(package(host)).items() if name not in (LIST, "theirs.txt")}
            assert now in (OLD_FILES, NEW_FILES), number
        if start:
            assert (package(host) / "theirs.txt").exists(), number
        version(next_files)
        install(host, *goal)
        assert everything(host) == expected, number
        assert not install(host, *goal).changed, number
    assert number > 10


def test_files_of_others_stay(
    host: Host, systemctl: FakeSystemctl, version: Callable[[dict[str, bytes]], None]
) -> None:
    version(OLD_FILES)
    install(host, DEVICES)
    theirs = [package(host) / "notes.txt", package(host) / "_boot/local.py", package(host).parent / "README"]
    for path in theirs:
        path.write_text("theirs")
    (package(host) / "link").symlink_to("/nowhere")
    version(NEW_FILES)
    install(host, DEVICES)
    assert [path.read_text() for path in theirs] == ["theirs"] * 3
    assert (package(host) / "_boot/b.py").exists()
    assert not (package(host) / "_boot/gone.py").exists()
    assert not install(host, DEVICES).changed
    install(host)
    assert [path.read_text() for path in theirs] == ["theirs"] * 3
    assert (package(host) / "link").is_symlink()
    assert not (package(host) / "a.py").exists()
    assert not unit_path(host).exists()
    assert not install(host).changed


@pytest.mark.parametrize(("name", "removed"), [("vfio-mdev", True), ("lib", False)])
def test_an_empty_folder_of_a_killed_run_is_removed(
    host: Host, systemctl: FakeSystemctl, name: str, removed: bool
) -> None:
    """Only one with the collection's name: nothing shows that a run was killed."""
    folder = Path(host.root, "opt", name)
    folder.mkdir(parents=True)
    plan = plan_boot(host, Program(f"/opt/{name}", sys.executable, 120), [])
    apply_boot(host, plan)
    assert [change.path for change in plan.files] == ([str(folder)] if removed else [])
    assert folder.exists() != removed


@pytest.mark.parametrize("function", ["stat", "lstat", "open"])
@pytest.mark.parametrize("units", [(), (DEVICES,)])
def test_a_unit_that_cannot_be_read_is_neither_ours_nor_missing(
    host: Host,
    systemctl: FakeSystemctl,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    units: tuple[UnitFile, ...],
) -> None:
    install(host, DEVICES)
    real = getattr(os, function)

    def broken(path: Any, *arguments: Any, **named: Any) -> Any:
        if path == str(unit_path(host)):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, function, broken)
    try:
        plan = plan_boot(host, PROGRAM, units)
    except FileError as error:
        assert "whether this collection wrote it is unknown. Nothing was changed" in error.message
    else:
        assert function == "stat"
        assert not plan.foreign
        assert bool(plan.unit_files) != bool(units)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_folders_of_others_get_the_same_mode_with_any_umask(
    host: Host, systemctl: FakeSystemctl, version: Callable[[dict[str, bytes]], None], umask: int
) -> None:
    version(OLD_FILES)
    install(host, DEVICES)
    (package(host) / "theirs/more").mkdir(parents=True)
    (package(host) / "theirs/more/notes.txt").write_text("theirs")
    version(NEW_FILES)
    before = os.umask(umask)
    try:
        install(host, DEVICES)
    finally:
        os.umask(before)
    folders = [package(host), package(host) / "theirs", package(host) / "theirs/more"]
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o755] * 3


def test_a_changed_file_of_the_program_is_corrected(
    host: Host, systemctl: FakeSystemctl, version: Callable[[dict[str, bytes]], None]
) -> None:
    version(OLD_FILES)
    install(host, DEVICES)
    (package(host) / "a.py").write_text("broken")
    (package(host) / "_boot/gone.py").unlink()
    plan = install(host, DEVICES)
    assert [os.path.basename(path.path) for path in plan.files] == ["a.py", "gone.py"]
    assert (package(host) / "a.py").read_bytes() == OLD_FILES["a.py"]
    assert not install(host, DEVICES).changed


def test_a_folder_in_place_of_the_link_is_replaced(
    host: Host, systemctl: FakeSystemctl, version: Callable[[dict[str, bytes]], None]
) -> None:
    package(host).mkdir(parents=True)
    (package(host) / "a.py").write_text("of an older version")
    (package(host) / "notes.txt").write_text("theirs")
    version(NEW_FILES)
    install(host, DEVICES)
    assert (package(host) / "a.py").read_bytes() == NEW_FILES["a.py"]
    assert (package(host) / "notes.txt").read_text() == "theirs"
    assert len(list(package(host).parent.iterdir())) == 2


def test_a_link_to_another_place_is_replaced_and_the_place_stays(
    host: Host, systemctl: FakeSystemctl, version: Callable[[dict[str, bytes]], None], tmp_path: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/a.py").write_text("theirs")
    package(host).parent.mkdir(parents=True)
    package(host).symlink_to(tmp_path / "theirs")
    assert not install(host).changed
    version(NEW_FILES)
    install(host, DEVICES)
    assert (package(host) / "a.py").read_bytes() == NEW_FILES["a.py"]
    assert files(tmp_path / "theirs") == {"a.py": b"theirs"}
    assert not install(host, DEVICES).changed


@pytest.mark.parametrize("content", [None, "[Unit]\nDescription=Ours, by hand\n"])
def test_a_unit_of_others_is_neither_replaced_nor_removed(
    host: Host, systemctl: FakeSystemctl, content: str | None
) -> None:
    if content is None:
        unit_path(host).symlink_to("/opt/units/vfio-mdev.service")
    else:
        unit_path(host).write_text(content)
    link = unit_path(host).parent / "multi-user.target.wants" / DEVICES.name
    link.symlink_to(f"../{DEVICES.name}")
    with pytest.raises(FileError, match=r"vfio-mdev.service exists and was not written by this collection"):
        plan_boot(host, PROGRAM, [DEVICES])
    plan = install(host)
    assert not plan.changed
    assert plan.warnings == [f"{unit_path(host)} was not written by this collection. It stays as it is"]
    assert link.is_symlink()
    assert os.path.lexists(unit_path(host))


@pytest.mark.parametrize("mask", ["link", "empty"])
def test_a_mask_is_replaced_with_a_warning(host: Host, systemctl: FakeSystemctl, mask: str) -> None:
    if mask == "link":
        unit_path(host).symlink_to("/dev/null")
    else:
        unit_path(host).touch()
    absent = install(host)
    assert not absent.changed
    assert absent.warnings == []
    assert os.path.lexists(unit_path(host))
    plan = install(host, DEVICES)
    assert plan.unmasked == (DEVICES.name,)
    assert plan.warnings[0].startswith("vfio-mdev.service was masked, so it would not have started at boot.")
    assert unit_path(host).read_text() == DEVICES.text
    assert install(host, DEVICES).warnings == []


def test_an_enabled_unit_without_a_file_is_disabled(host: Host, systemctl: FakeSystemctl) -> None:
    install(host, DEVICES)
    unit_path(host).unlink()
    install(host)
    assert not install(host).changed
    assert not (unit_path(host).parent / "multi-user.target.wants" / DEVICES.name).is_symlink()


LOADED = UnitState("loaded", False, "/etc/systemd/system/vfio-mdev.service")


@pytest.mark.parametrize(
    ("state", "installed", "reload"),
    [
        (None, True, False),
        (LOADED, True, False),
        (UnitState("loaded", True, LOADED.path), True, True),
        (UnitState("not-found", False, ""), True, True),
        (UnitState("masked", False, "/etc/systemd/system/vfio-mdev.service"), True, True),
        (UnitState("not-found", False, ""), False, False),
        (UnitState("loaded", True, ""), False, True),
        (UnitState("loaded", False, "/usr/lib/systemd/system/vfio-mdev.service"), False, False),
    ],
)
def test_systemd_is_reloaded_if_a_former_run_could_not(
    host: Host, systemctl: FakeSystemctl, state: UnitState | None, installed: bool, reload: bool
) -> None:
    units = [DEVICES] if installed else []
    systemctl.broken = "daemon-reload"
    with pytest.raises(BackendFailed):
        install(host, DEVICES)
    systemctl.broken = ""
    if not installed:
        install(host)
    systemctl.calls.clear()
    plan = plan_boot(host, PROGRAM, units, {} if state is None else {DEVICES.name: state})
    assert (plan.reload, plan.changed, plan.files) == (reload, reload, ())
    apply_boot(host, plan)
    assert systemctl.calls == [("daemon-reload",)] * reload


def test_states_of_units_are_read_from_systemctl() -> None:
    output = (
        "Id=vfio-mdev-vfs.service\nLoadState=not-found\nNeedDaemonReload=no\nFragmentPath=\n\n"
        "Id=vfio-mdev.service\nLoadState=loaded\nNeedDaemonReload=yes\n"
        "FragmentPath=/etc/systemd/system/vfio-mdev.service\n"
    )
    assert parse_states(output) == {
        "vfio-mdev-vfs.service": UnitState("not-found", False, ""),
        "vfio-mdev.service": UnitState("loaded", True, "/etc/systemd/system/vfio-mdev.service"),
    }
    # In a chroot, systemctl ignores the command.
    assert parse_states("") == {}


def test_temporary_files_of_other_units_stay(host: Host, systemctl: FakeSystemctl) -> None:
    ours, theirs = (unit_path(host).parent / name for name in (".vfio-mdev.service.new", ".theirs.service.new"))
    ours.write_text("half")
    theirs.write_text("half")
    install(host, DEVICES)
    assert (ours.exists(), theirs.exists()) == (False, True)
