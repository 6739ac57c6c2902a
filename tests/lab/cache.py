# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's folders, and locks so that two of its processes never build or boot the same thing at once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from lab.errors import LabError
from lab.progress import say
from lab.suites import HostName

# The longest time that another process may hold a lock: a full build and two boots on a slow machine.
LOCK_DEADLINE = 1800.0


def root() -> Path:
    """The lab's folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vfio-mdev" / "lab"


def images() -> Path:
    """Holds one folder per built image, ``SUITE-HASH``."""
    return root() / "images"


def host_folder(host: HostName) -> Path:
    """The folder of a running host: its state, sockets, console log."""
    return root() / "hosts" / str(host)


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock ``name``. Waits at most LOCK_DEADLINE seconds for another holder, then raises LabError."""
    folder = root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    with path.open("a") as handle:
        _acquire(handle.fileno(), path)
        yield


def _acquire(descriptor: int, path: Path) -> None:
    end = time.monotonic() + LOCK_DEADLINE
    announced = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not announced:
                say(f"another lab process holds {path}; waiting for it")
                announced = True
        if time.monotonic() > end:
            raise LabError(f"{path} was held by another process for {LOCK_DEADLINE:.0f} s; see `fuser {path}`.")
        time.sleep(0.3)


def remove_tree(path: Path) -> None:
    """Remove a folder of the cache if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
