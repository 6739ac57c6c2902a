# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that removals are left to, on files that answer, refuse and block."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ansible_collections.vfio.mdev.plugins.module_utils._host.sysfs_writer import Remover


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_one_process_serves_all_and_ends_with_its_owner(tmp_path: Path) -> None:
    before = children()
    file = tmp_path / "remove"
    file.touch()
    remover = Remover()
    assert remover.write(str(file), 5) == 0
    assert file.read_text() == "1"
    assert remover.write(str(tmp_path / "gone"), 5) == errno.ENOENT
    assert remover.write(str(tmp_path), 5) == errno.EISDIR
    [child] = children() - before
    # Only its two pipes: what else it kept open would be kept from whoever waits for it.
    assert all(os.readlink(one).startswith("pipe:") for one in Path(f"/proc/{child}/fd").iterdir())
    assert len(list(Path(f"/proc/{child}/fd").iterdir())) == 2
    del remover
    assert children() == before


def test_one_that_blocks_is_left_behind_and_the_next_works(tmp_path: Path) -> None:
    blocking, file = tmp_path / "blocking", tmp_path / "remove"
    os.mkfifo(blocking)
    file.touch()
    remover = Remover()
    assert remover.write(str(blocking), 0.1) is None
    assert remover.write(str(file), 5) == 0
    # The one left behind ends when its write does.
    os.close(os.open(blocking, os.O_RDONLY))


def test_one_that_dies_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "remove"
    file.touch()
    remover = Remover()
    before = children()
    assert remover.write(str(file), 5) == 0
    [child] = children() - before
    os.kill(int(child), 9)
    assert remover.write(str(file), 5) == errno.ECHILD
    assert remover.write(str(file), 5) == 0
