# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts the files of a host below a folder while a block runs."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mfusepy

from drivers.kit.host_files import Driver, HostFiles

# The kernel must not cache answers: they change without its knowledge, as those of drivers do.
_OPTIONS = {"foreground": True, "attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0, "direct_io": True}


@contextmanager
def mounted(root: Path, *drivers: Driver) -> Iterator[HostFiles]:
    """The files of a host with these drivers: /sys and /dev/vfio below this folder."""
    files = HostFiles(root)
    files.run.mkdir(exist_ok=True)
    files.boot(*drivers)
    server = threading.Thread(target=mfusepy.FUSE, args=(files, str(root)), kwargs=_OPTIONS, daemon=True)
    server.start()
    try:
        _wait_for(lambda: os.path.ismount(root))
        yield files
    finally:
        files.kernel.removals_end.set()
        subprocess.run(["fusermount3", "-u", "-z", str(root)], check=False, timeout=20)
        server.join(20)


def _wait_for(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < end, "the stand-in was not mounted in 10 s"
        time.sleep(0.01)
