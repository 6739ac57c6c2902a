# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process of its own that writes to files of sysfs that take something away, and that can be left behind.

The kernel blocks the writer until the device's user lets go, and not even SIGKILL ends that.
"""

from __future__ import annotations

import errno
import os
import select
import time
import weakref
from dataclasses import dataclass
from typing import Callable, Optional

_POLL_SECONDS = 0.01


def write(path: str, text: str) -> None:
    """One write(2) with the whole text: that is what carries the driver's answer."""
    data = text.encode("utf-8")
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        written = os.write(handle, data)
    finally:
        os.close(handle)
    if written != len(data):
        raise OSError(errno.EIO, f"only {written} of {len(data)} bytes were taken")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


# Between what to write and where: no path holds it.
_BETWEEN = b"\0"


@dataclass(frozen=True)
class _Child:
    pid: int
    requests: int
    answers: int


class SysfsWriter:
    """One process serves all removals of a run, since starting one costs more than a removal. It ends with this object.

    It keeps nothing of ours open: neither the pipes that Ansible waits for, nor the lock, nor a VFIO group.
    """

    def __init__(self) -> None:
        self._child: Optional[_Child] = None
        self._end: Optional[weakref.finalize[[_Child], SysfsWriter]] = None

    def write(self, path: str, seconds: float, text: str = "1") -> Optional[int]:
        """Writes to the file. Returns the errno, 0 for success, None when time is up and the write still blocks."""
        child = self._started()
        try:
            os.write(child.requests, text.encode("ascii") + _BETWEEN + os.fsencode(path))
            ready, _none, _none = select.select([child.answers], [], [], seconds)
            data = os.read(child.answers, 16) if ready else None
        except OSError:
            data = b""
        if not data:
            self._leave(child)
        return None if data is None else int(data or errno.ECHILD)

    def _started(self) -> _Child:
        if self._child is None:
            self._child = _start()
            self._end = weakref.finalize(self, _end, self._child)
        return self._child

    def _leave(self, child: _Child) -> None:
        """A child that does not answer may be blocked for hours: the next removal gets another one."""
        if self._end is not None:
            self._end.detach()
        self._child = self._end = None
        os.close(child.requests)
        os.close(child.answers)


def _start() -> _Child:
    wanted, requests = os.pipe()
    answers, given = os.pipe()
    pid = os.fork()
    if pid == 0:
        _serve(wanted, given)
    os.close(wanted)
    os.close(given)
    return _Child(pid, requests, answers)


def _end(child: _Child) -> None:
    """The child ends when there is nothing more to read."""
    os.close(child.requests)
    os.close(child.answers)
    os.waitpid(child.pid, 0)


def _serve(requests: int, answers: int) -> None:
    """The child's whole life. It never returns."""
    try:
        os.setsid()
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in (requests, answers):
                _close_quietly(int(name))
        while request := os.read(requests, 65536):
            text, _between, path = request.partition(_BETWEEN)
            os.write(answers, str(_write_one(path, text)).encode("ascii"))
    finally:
        os._exit(0)


def _write_one(path: bytes, text: bytes) -> int:
    try:
        handle = os.open(path, os.O_WRONLY)
        try:
            os.write(handle, text)
        finally:
            os.close(handle)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _close_quietly(handle: int) -> None:
    try:
        os.close(handle)
    except OSError:
        return
