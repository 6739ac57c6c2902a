# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the system calls of this process and its children that change something, and disturbs one of them.

Only calls that the core of the collection makes are counted, not those of Ansible or of Python itself.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import mmap
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Functions of os that change something, or take something from the system that may be used up.
_CHANGES = (
    *("chmod", "chown", "fchmod", "fchown", "fdatasync", "fork", "fsync", "ftruncate", "link", "mkdir", "pipe"),
    *("posix_spawn", "remove", "rename", "replace", "rmdir", "symlink", "truncate", "unlink", "write"),
)
# Functions of os that only look.
_READS = ("listdir", "lstat", "read", "readlink", "scandir", "stat")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_DIRECTORY

_CORE = f"{os.sep}module_utils{os.sep}_"


@dataclass(frozen=True)
class Disturbance:
    """What happens at one call, counted from 0.

    calls: "changes" counts calls that change something, "reads" those that only look
    number: the call that is disturbed. None: none, calls are only counted
    errno: the error that the call answers with. None: the process is killed before the call
    lasting: whether all later calls of the same function answer so too, as on a full disk
    whole: whether the processes that it started are killed too
    """

    calls: str = "changes"
    number: int | None = None
    errno: str | None = None
    lasting: bool = False
    whole: bool = True


class Hook:
    """Wraps the functions in this process. Children that it forks share the counter."""

    def __init__(self, disturbance: Disturbance) -> None:
        self.disturbance = disturbance
        self._main = os.getpid()
        self._shared = mmap.mmap(-1, 4096)
        self._kill = os.kill
        self._function = ""
        # The function of each call of the main process, by the call's number.
        self.names: dict[int, str] = {}
        # The file operations of the main process that succeeded, with their paths.
        self.trace: list[tuple[str, list[str]]] = []

    @property
    def count(self) -> int:
        count: int = struct.unpack_from("q", self._shared)[0]
        return count

    @property
    def hit(self) -> bool:
        """Whether the call came."""
        return self.disturbance.number is not None and self.count > self.disturbance.number

    def install(self) -> None:
        reads = self.disturbance.calls == "reads"
        for name in _READS if reads else _CHANGES:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        os.open = self._wrapped("open", os.open, lambda path, flags, *_more, **_named: bool(flags & _WRITING) != reads)
        opened = self._wrapped("open", builtins.open, lambda _path, mode="r", *_more, **_named: ("r" in mode) == reads)
        builtins.open = io.open = opened
        if not reads:
            subprocess.Popen.__init__ = self._wrapped(  # type: ignore[method-assign]
                "Popen", subprocess.Popen.__init__
            )
            fcntl.flock = self._wrapped("flock", fcntl.flock, lambda _handle, flags: not flags & fcntl.LOCK_UN)

    def _wrapped(
        self, name: str, real: Callable[..., Any], counts: Callable[..., bool] = lambda *_arguments, **_named: True
    ) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if not (counts(*arguments, **named) and _from_core()):
                return real(*arguments, **named)
            self._before(name)
            noted = _operation(name, arguments, named) if os.getpid() == self._main else None
            result = real(*arguments, **named)
            if noted is not None:
                self.trace.append(noted)
            return result

        return call

    def _before(self, name: str) -> None:
        number = self.count
        struct.pack_into("q", self._shared, 0, number + 1)
        if os.getpid() == self._main:
            self.names[number] = name
        disturbance = self.disturbance
        if disturbance.number is None or number < disturbance.number:
            return
        if number == disturbance.number:
            self._function = name
        elif not (disturbance.lasting and name == self._function):
            return
        if disturbance.errno is not None:
            code = getattr(errno, disturbance.errno)
            raise OSError(code, os.strerror(code))
        self._end()

    def _end(self) -> None:
        if disturbed_child := os.getpid() != self._main:
            self._kill(self._main, signal.SIGKILL)
        if not disturbed_child or self.disturbance.whole:
            self._kill(os.getpid(), signal.SIGKILL)


_readlink, _lexists = os.readlink, os.path.lexists


def _operation(name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[str, list[str]] | None:
    """The operation and the full paths that it changes. None if it changes no file."""
    if name in ("write", "fsync", "fdatasync"):
        return name, [_readlink(f"/proc/self/fd/{arguments[0]}")]
    if name in ("rename", "replace", "link"):
        folders = named.get("src_dir_fd"), named.get("dst_dir_fd")
        return name, [_full(path, folder) for path, folder in zip(arguments, folders)]
    if name in ("mkdir", "rmdir", "unlink", "remove"):
        return name, [_full(arguments[0], named.get("dir_fd"))]
    if name == "symlink":
        return name, [_full(arguments[1], named.get("dir_fd"))]
    if name == "open":
        path = _full(arguments[0], named.get("dir_fd"))
        return None if _lexists(path) else ("create", [path])
    return None


def _full(path: Any, folder: int | None) -> str:
    text = os.fsdecode(path) if not isinstance(path, int) else _readlink(f"/proc/self/fd/{path}")
    return os.path.normpath(os.path.join(_readlink(f"/proc/self/fd/{folder}") if folder is not None else "/", text))


def _from_core() -> bool:
    frame = sys._getframe(2)
    while frame is not None:
        if _CORE in frame.f_code.co_filename:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
