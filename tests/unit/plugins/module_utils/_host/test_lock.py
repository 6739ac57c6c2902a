# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock on a host's devices."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._host import lock
from ansible_collections.vfio.mdev.plugins.module_utils._host.lock import host_lock, lock_path
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import FileError, LockTimeout


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "sys").mkdir()
    (tmp_path / "run").mkdir()
    return Host(str(tmp_path / "sys"), str(tmp_path / "etc/mdevctl.d"))


def test_a_lock_on_sysfs_stops_nobody(host: Host) -> None:
    handle = os.open(host.sys, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with host_lock(host, 0.0):
        pass
    os.close(handle)


def test_only_one_run_has_the_lock(host: Host) -> None:
    Path(host.root, "proc").symlink_to("/proc")
    held = pytest.raises(LockTimeout, match=f"held by process {os.getpid()}")
    with host_lock(host, 0.0), held, host_lock(host, 0.0):
        pass
    with host_lock(host, 0.0):
        pass


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_only_root_can_open_it(host: Host, umask: int) -> None:
    before = os.umask(umask)
    try:
        with host_lock(host, 0.0):
            pass
    finally:
        os.umask(before)
    path = Path(host.root, "run/vfio-mdev/lock")
    assert [entry.stat().st_mode & 0o777 for entry in (path.parent, path)] == [0o755, 0o600]


def test_modes_of_an_older_file_are_corrected(host: Host) -> None:
    path = Path(lock_path(host))
    path.parent.mkdir()
    path.touch(0o666)
    path.chmod(0o666)
    with host_lock(host, 0.0):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("problem", ["all", "owner"])
def test_a_folder_that_others_can_change_is_refused(host: Host, problem: str) -> None:
    folder = Path(lock_path(host)).parent
    folder.mkdir()
    if problem == "all":
        folder.chmod(0o777)
    else:
        os.chown(folder, 65534, -1)
    with pytest.raises(FileError, match=r"the lock on this host's .* is not safe, because"), host_lock(host, 0.0):
        pass
    assert list(folder.iterdir()) == []


def test_a_link_is_not_followed(host: Host, tmp_path: Path) -> None:
    path = Path(lock_path(host))
    path.parent.mkdir()
    path.symlink_to(tmp_path / "victim")
    with pytest.raises(FileError, match="ELOOP"), host_lock(host, 0.0):
        pass
    assert not (tmp_path / "victim").exists()


def test_a_second_mount_of_sysfs_has_the_same_lock(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnt/sys").mkdir(parents=True)
    mounted = Host(str(tmp_path / "mnt/sys"))
    monkeypatch.setattr(lock, "_OWN_SYS", host.sys)
    monkeypatch.setattr(lock, "_OWN_RUN", host.beside("run"))
    assert lock_path(mounted) == lock_path(host)
    # In a container, the host's /run is mounted beside the host's /sys.
    (tmp_path / "mnt/run").mkdir()
    assert lock_path(mounted) == str(tmp_path / "mnt/run/vfio-mdev/lock")


def test_a_file_that_was_removed_is_no_lock(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def removed_meanwhile(handle: int, operation: int) -> None:
        flock(handle, operation)
        monkeypatch.undo()
        os.unlink(lock_path(host))

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    with host_lock(host, 0.0):
        assert os.path.exists(lock_path(host))
        with pytest.raises(LockTimeout), host_lock(host, 0.0):
            pass


def test_without_root_it_says_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(lock_path(host)).parent.mkdir()

    def refuse(*_arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with (
        pytest.raises(FileError, match=r"EACCES .*\. Nothing was changed\. Run as root"),
        host_lock(host, 0.0),
    ):
        pass
