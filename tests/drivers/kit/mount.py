# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host mounted below a folder, as long as a block runs."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mfusepy

from drivers.kit.host import Driver, Host

# Answers must not be remembered: they change behind the kernel's back, as those of drivers do.
_OPTIONS = {"foreground": True, "attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0, "direct_io": True}


@contextmanager
def mounted(root: Path, *drivers: Driver) -> Iterator[Host]:
    """The host with these drivers, with /sys and /dev/vfio below this folder."""
    host = Host(root)
    host.boot(*drivers)
    server = threading.Thread(target=mfusepy.FUSE, args=(host, str(root)), kwargs=_OPTIONS, daemon=True)
    server.start()
    try:
        _wait_for(lambda: os.path.ismount(root))
        yield host
    finally:
        host.kernel.removals_end.set()
        subprocess.run(["fusermount3", "-u", "-z", str(root)], check=False, timeout=20)
        server.join(20)


def _wait_for(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < end, "the stand-in was not mounted in 10 s"
        time.sleep(0.01)
