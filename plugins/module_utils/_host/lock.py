# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One lock per host around reading, deciding and writing.

The lock is on the folder where sysfs is mounted. All who change this kernel's devices meet there, a container that has
the host's sysfs mounted elsewhere too; nothing is left behind; the kernel frees it when its owner ends, however.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .._model.errors import LockTimeout
from .paths import Host
from .reader import Reader

_POLL_SECONDS = 0.05


@contextmanager
def host_lock(host: Host, seconds: float) -> Iterator[None]:
    """Holds the lock while the block runs. Waits for at most ``seconds``."""
    handle = os.open(host.sys, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _acquire(handle, host, seconds)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, host: Host, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= end:
                raise LockTimeout(
                    f"waited {seconds:g} s for the lock on this host's mediated devices, held by "
                    f"{_owner(handle, host)}. Nothing was changed. Another run works on this host: "
                    "try again when it is done, or raise lock_timeout",
                    lock_timeout=seconds,
                ) from error
        time.sleep(_POLL_SECONDS)


def _owner(handle: int, host: Host) -> str:
    """Who has the lock, from /proc/locks (proc(5)): '7: FLOCK ADVISORY WRITE 1234 00:16:1 0 EOF'."""
    inode = os.fstat(handle).st_ino
    for line in (Reader().text(host.beside("proc", "locks"), optional=True) or "").splitlines():
        words = line.split()
        if "FLOCK" in words and len(words) > 5 and words[5].endswith(f":{inode}") and "->" not in words:
            return f"process {words[4]}"
    return "another process"
