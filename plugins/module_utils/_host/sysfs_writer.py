# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A separate process for writes to sysfs files that a driver may block. It can be abandoned.

The kernel blocks the writer until the driver is done or the device's user closes the device, and not even SIGKILL ends
that. Every write(2) carries the whole text, because the result of that call is the driver's answer.
"""

from __future__ import annotations

import errno
import os
import select
import time
import weakref
from dataclasses import dataclass
from typing import Callable, Optional

from .._model.errors import Unexpected

_POLL_SECONDS = 0.01
# A request has two parts, the text and the path. Each is preceded by its length.
_LENGTH_BYTES = 4


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


@dataclass(frozen=True)
class _Child:
    pid: int
    requests: int
    answers: int


class SysfsWriter:
    """One process does all writes of a run, because its start takes longer than a write. It ends with this object.

    It keeps no file of this process open: neither the pipes that Ansible waits for, nor the lock, nor a VFIO group.
    """

    def __init__(self) -> None:
        self._child: Optional[_Child] = None
        self._end: Optional[weakref.finalize[[_Child], SysfsWriter]] = None

    def write(self, path: str, seconds: float, text: str = "1") -> Optional[int]:
        """Writes to the file. Returns the errno, 0 for success, or None if it still blocks after these seconds."""
        child = self._started()
        try:
            for part in (text.encode("utf-8"), os.fsencode(path)):
                _write_all(child.requests, len(part).to_bytes(_LENGTH_BYTES, "big") + part)
            ready, _writable, _exceptional = select.select([child.answers], [], [], seconds)
            data = os.read(child.answers, 16) if ready else None
        except OSError:
            data = b""
        if not data:
            self._abandon(child)
        return None if data is None else int(data or errno.ECHILD)

    def _started(self) -> _Child:
        if self._child is None:
            self._child = _start()
            self._end = weakref.finalize(self, _end, self._child)
        return self._child

    def _abandon(self, child: _Child) -> None:
        """A child that does not answer may be blocked for hours. The next write starts another one."""
        if self._end is not None:
            self._end.detach()
        self._child = self._end = None
        os.close(child.requests)
        os.close(child.answers)


def _start() -> _Child:
    handles: list[int] = []
    try:
        handles += os.pipe()
        handles += os.pipe()
        pid = os.fork()
    except OSError as error:
        for handle in handles:
            os.close(handle)
        raise Unexpected(
            f"starting the process that writes to sysfs failed: {os.strerror(error.errno or 0)}. Nothing was written. "
            "Check how many processes and open files the host has, and how many it allows (ulimit -u, ulimit -n)",
            errno=error.errno,
        ) from error
    child_requests, requests, answers, child_answers = handles
    if pid == 0:
        _serve(child_requests, child_answers, (requests, answers))
    os.close(child_requests)
    os.close(child_answers)
    return _Child(pid, requests, answers)


def _end(child: _Child) -> None:
    """Ends the child, which stops when there is nothing left to read."""
    os.close(child.requests)
    os.close(child.answers)
    os.waitpid(child.pid, 0)


def _serve(requests: int, answers: int, others: tuple[int, ...]) -> None:
    """The whole program of the child. It never returns."""
    try:
        os.setsid()
        for handle in others:
            os.close(handle)
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in (requests, answers):
                _close_quietly(int(name))
        while (text := _read_part(requests)) is not None and (path := _read_part(requests)) is not None:
            os.write(answers, str(_errno_of_write(path, text)).encode("ascii"))
    finally:
        os._exit(0)


def _read_part(handle: int) -> Optional[bytes]:
    """A text of a request, which is preceded by its length. None at the end of all requests."""
    length = _read_all(handle, _LENGTH_BYTES)
    return None if not length else _read_all(handle, int.from_bytes(length, "big"))


def _read_all(handle: int, length: int) -> bytes:
    data = b""
    while len(data) < length and (part := os.read(handle, length - len(data))):
        data += part
    return data


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _errno_of_write(path: bytes, text: bytes) -> int:
    try:
        handle = os.open(path, os.O_WRONLY)
        try:
            return 0 if os.write(handle, text) == len(text) else errno.EIO
        finally:
            os.close(handle)
    except OSError as error:
        return error.errno or errno.EIO
    except ValueError:
        # A path with a zero byte.
        return errno.ENOENT


def _close_quietly(handle: int) -> None:
    try:
        os.close(handle)
    except OSError:
        return
