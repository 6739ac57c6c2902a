# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that writes to sysfs, on files that succeed, fail and block."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._host.sysfs_writer import SysfsWriter
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import Unexpected


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_one_process_does_all_writes_and_ends_with_its_owner(tmp_path: Path) -> None:
    before = children()
    file = tmp_path / "remove"
    file.touch()
    writer = SysfsWriter()
    assert writer.write(str(file), 5) == 0
    assert file.read_text() == "1"
    assert writer.write(str(tmp_path / "gone"), 5) == errno.ENOENT
    assert writer.write(str(tmp_path), 5) == errno.EISDIR
    [child] = children() - before
    # Only its two pipes: any other open file would block processes that wait for its end.
    assert all(os.readlink(link).startswith("pipe:") for link in Path(f"/proc/{child}/fd").iterdir())
    assert len(list(Path(f"/proc/{child}/fd").iterdir())) == 2
    del writer
    assert children() == before


def test_a_blocked_process_is_left_behind_and_the_next_one_works(tmp_path: Path) -> None:
    blocking, file = tmp_path / "blocking", tmp_path / "remove"
    os.mkfifo(blocking)
    file.touch()
    writer = SysfsWriter()
    assert writer.write(str(blocking), 0.1) is None
    assert writer.write(str(file), 5) == 0
    # The process left behind ends together with its write.
    os.close(os.open(blocking, os.O_RDONLY))


def test_a_process_that_dies_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "remove"
    file.touch()
    writer = SysfsWriter()
    before = children()
    assert writer.write(str(file), 5) == 0
    [child] = children() - before
    os.kill(int(child), 9)
    assert writer.write(str(file), 5) == errno.ECHILD
    assert writer.write(str(file), 5) == 0


def test_texts_of_any_kind_arrive_whole(tmp_path: Path) -> None:
    file = tmp_path / "attribute"
    file.touch()
    writer = SysfsWriter()
    for text in ("a\0b", "ü\n", "x" * 200_000):
        file.write_text("")
        assert writer.write(str(file), 5, text) == 0
        assert file.read_text() == text
    assert writer.write(f"{tmp_path}/a\0b", 5) == errno.ENOENT
    assert writer.write(str(file), 5) == 0


@pytest.mark.parametrize(("function", "number"), [("fork", errno.EAGAIN), ("pipe", errno.EMFILE)])
def test_a_process_that_cannot_start_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int
) -> None:
    def refuse() -> None:
        raise OSError(number, "refused")

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch, pytest.raises(Unexpected, match="starting the process that writes") as caught:
        patch.setattr(os, function, refuse)
        SysfsWriter().write(str(tmp_path), 5)
    assert os.strerror(number) in caught.value.message
    assert len(os.listdir("/proc/self/fd")) == before
