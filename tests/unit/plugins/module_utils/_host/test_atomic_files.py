# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are written completely or not at all, in folders that only root can change."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._host import atomic_files
from ansible_collections.vfio.mdev.plugins.module_utils._host.atomic_files import (
    make_folder,
    remove_file,
    sweep,
    write_whole,
)
from ansible_collections.vfio.mdev.plugins.module_utils._host.reader import UnsafePathError, is_gone


@pytest.fixture(params=[0o000, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "a/b/file"
    write_whole(str(path), b"x", 0o640)
    modes = [entry.stat().st_mode & 0o777 for entry in (path.parent.parent, path.parent, path)]
    assert modes == [0o755, 0o755, 0o640]


def test_every_new_folder_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(atomic_files, "sync_folder", synced.append)
    write_whole(str(tmp_path / "a/b/file"), b"x", 0o600)
    assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a/b")]


def test_a_failure_leaves_no_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(str(tmp_path / "a/b/file"), b"x", 0o600)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", ".file.new"])
def test_nothing_is_written_through_a_link(tmp_path: Path, place: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("old")
    (tmp_path / place).symlink_to(victim)
    write_whole(str(tmp_path / "file"), b"new", 0o600)
    assert victim.read_text() == "old"
    assert (tmp_path / "file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "victim"]


@pytest.mark.parametrize("unsafe", ["folder", "folder/inner"])
def test_folders_that_others_can_change_are_refused(tmp_path: Path, unsafe: str) -> None:
    (tmp_path / "folder/inner").mkdir(parents=True)
    (tmp_path / unsafe).chmod(0o777)
    with pytest.raises(UnsafePathError, match="all users can write to it"):
        write_whole(str(tmp_path / "folder/inner/new/file"), b"x", 0o600)
    assert list((tmp_path / "folder/inner").iterdir()) == []


def test_what_a_killed_writer_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_text("half")
    write_whole(str(tmp_path / "file"), b"whole", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_sweep_leaves_a_file_that_is_being_written(tmp_path: Path) -> None:
    for name in (".a.new", ".b.new", "c.new"):
        (tmp_path / name).write_text("half")
    with (tmp_path / ".b.new").open() as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        sweep(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.new", "c.new"]


def test_writers_of_one_file_wait_for_each_other(tmp_path: Path) -> None:
    texts = [bytes([65 + number]) * 9000 for number in range(6)]
    failures: list[OSError] = []

    def write(text: bytes) -> None:
        try:
            for _round in range(10):
                write_whole(str(tmp_path / "file"), text, 0o600)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (tmp_path / "file").read_bytes() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("fails", [True, False])
def test_a_removal_that_cannot_be_synced_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)

    def sync(_folder: str) -> None:
        raise OSError(5, "Input/output error")

    if fails:
        monkeypatch.setattr(atomic_files, "sync_folder", sync)
        with pytest.raises(OSError, match="Input/output error"):
            remove_file(str(path))
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("old", 0o640)
    else:
        remove_file(str(path))
        assert list(tmp_path.iterdir()) == []


def test_an_old_file_that_cannot_be_kept_is_not_said_to_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is replaced, and then its folder can't be synced. Removing the new file would lose both."""
    path = tmp_path / "file"
    path.write_text("old")
    open_file = os.open

    def broken(name: str, flags: int, *mode: int) -> int:
        if name == str(path):
            raise OSError(errno.EIO, "Input/output error")
        return open_file(name, flags, *mode)

    def no_sync(_folder: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "open", broken)
    monkeypatch.setattr(atomic_files, "sync_folder", no_sync)
    with pytest.raises(atomic_files.NotDurableError):
        write_whole(str(path), b"new", 0o600)
    monkeypatch.undo()
    assert path.read_text() == "new"


def test_what_cannot_be_looked_at_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nothing")
    names = ("file", "link", "none", "file/below")
    assert [is_gone(str(tmp_path / name)) for name in names] == [False, False, True, True]

    def broken(_path: str) -> os.stat_result:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "lstat", broken)
    assert not is_gone(str(tmp_path / "none"))


@pytest.mark.parametrize("path", ["/", "/run/vfio-mdev/some/folder"])
def test_a_folder_that_cannot_be_looked_at_is_no_endless_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def broken(*_arguments: object, **_named: object) -> os.stat_result:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "stat", broken)
    monkeypatch.setattr(os, "lstat", broken)
    with pytest.raises(BlockingIOError):
        make_folder(path)
