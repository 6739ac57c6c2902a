# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One lock per host for reading, planning and writing.

The lock is on a file that only root can open, /run/vfio-mdev/lock: other users can't hold it. Everything that changes
this kernel's devices uses it, including a container that has the host's file systems mounted elsewhere. The kernel
releases it when its owner ends, for whatever reason.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .._model.errors import FileError, LockTimeout
from .atomic_files import make_folder
from .paths import Host
from .reader import Reader, UnsafePathError, errno_text

_POLL_SECONDS = 0.05
_FILE_MODE = 0o600
# The file systems of the machine that this program runs on.
_OWN_SYS, _OWN_RUN = "/sys", "/run"


@contextmanager
def host_lock(host: Host, seconds: float) -> Iterator[None]:
    """Holds the lock while the block runs. Waits for at most ``seconds``."""
    path = lock_path(host)
    end = time.monotonic() + seconds
    handle = _open(path)
    try:
        while not _acquire(handle, host, seconds, end, path):
            os.close(handle)
            handle = _open(path)
        yield
    finally:
        os.close(handle)


def lock_path(host: Host) -> str:
    """The host's lock file. All mounts of the host's sysfs have the same one."""
    run = host.beside("run")
    if not os.path.isdir(run) and os.path.isdir(_OWN_SYS) and os.stat(host.sys).st_dev == os.stat(_OWN_SYS).st_dev:
        # Only sysfs is mounted here a second time.
        run = _OWN_RUN
    return os.path.join(run, "vfio-mdev", "lock")


def _open(path: str) -> int:
    try:
        make_folder(os.path.dirname(path))
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, _FILE_MODE)
    except OSError as error:
        raise _not_opened(path, error) from error
    try:
        os.fchmod(handle, _FILE_MODE)
    except OSError as error:
        os.close(handle)
        raise _not_opened(path, error) from error
    return handle


def _not_opened(path: str, error: OSError) -> FileError:
    is_refused = error.errno in (errno.EACCES, errno.EPERM) and not isinstance(error, UnsafePathError)
    advice = ". Run as root (become: true)" if is_refused else ""
    return FileError(
        f"opening {path}, the lock on this host's mediated devices, failed: {errno_text(error)}. "
        f"Nothing was changed{advice}",
        path=path,
        errno=error.errno,
    )


def _acquire(handle: int, host: Host, seconds: float, end: float, path: str) -> bool:
    """Waits for the lock. Returns whether the locked file is still at its path, where others look for it."""
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _is_at(path, handle)
        except BlockingIOError as error:
            if time.monotonic() >= end:
                raise LockTimeout(
                    f"waited {seconds:g} s for the lock on this host's mediated devices, held by "
                    f"{_owner(handle, host)}. Nothing was changed. Another run is working on this host: "
                    "try again when it is done, or increase lock_timeout",
                    lock_timeout=seconds,
                ) from error
        time.sleep(_POLL_SECONDS)


def _is_at(path: str, handle: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _owner(handle: int, host: Host) -> str:
    """The process that holds the lock, from /proc/locks (proc(5)): '7: FLOCK ADVISORY WRITE 1234 00:16:1 0 EOF'."""
    inode = os.fstat(handle).st_ino
    for line in (Reader().text(host.beside("proc", "locks"), optional=True) or "").splitlines():
        fields = line.split()
        if "FLOCK" in fields and len(fields) > 5 and fields[5].endswith(f":{inode}") and "->" not in fields:
            return f"process {fields[4]}"
    return "another process"
