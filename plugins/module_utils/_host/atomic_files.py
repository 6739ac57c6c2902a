# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes files completely or not at all, and durably: after a power cut, either the old or the new file exists.

Modes do not depend on the umask. Nothing is written to a folder that other users can change, or through a link.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable, Optional

from .reader import check_folder, check_safe, is_gone

_FOLDER_MODE = 0o755
_TEMPORARY = ".new"
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_EXISTING_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# How long to wait for another process that writes the same file.
_OTHER_WRITER_SECONDS = 5.0
_POLL_SECONDS = 0.01
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class NotDurableError(OSError):
    """A file was written or removed, but its folder could not be synced and the old file could not be restored."""


def write_whole(path: str, data: bytes, mode: int, durable: bool = True) -> None:
    """Writes a file through a hidden one beside it. Creates its folder. On OSError, everything is as it was before.

    The exception is NotDurableError: the new file is there, but a power cut may bring the old one back.
    durable: whether it should survive a power cut, which files in /run never do
    """
    folder = os.path.dirname(path)
    created: list[str] = []
    try:
        make_folder(folder, created)
        was_there = not is_gone(path)
        with _opened(path) as old:
            _replace(path, data, mode, durable)
            try:
                if durable:
                    sync_folder(folder)
            except OSError as error:
                if was_there and old is None:
                    raise NotDurableError(error.errno, error.strerror) from error
                _restore(path, old, error)
                raise
    except NotDurableError:
        raise
    except BaseException:
        for new in reversed(created):
            _remove_quietly(new, os.rmdir)
        raise


def remove_file(path: str) -> None:
    """Removes a file durably. On OSError, it is as it was before; NotDurableError as for write_whole."""
    with _opened(path) as old:
        os.unlink(path)
        try:
            sync_folder(os.path.dirname(path))
        except OSError as error:
            if old is None:
                raise NotDurableError(error.errno, error.strerror) from error
            _restore(path, old, error)
            raise


def make_folder(folder: str, created: Optional[list[str]] = None) -> None:
    """Creates a folder and those above it, durably. Raises UnsafePathError if other users can change one of them.

    created: gets the folders that were created
    """
    missing: list[str] = []
    path = os.path.abspath(folder)
    while is_gone(path):
        missing.append(path)
        path = os.path.dirname(path)
    if missing:
        check_safe(path, os.stat(path), is_above=True)
    for new in reversed(missing):
        try:
            os.mkdir(new, _FOLDER_MODE)
        except FileExistsError:
            # Another process was faster, and sets the same mode.
            continue
        if created is not None:
            created.append(new)
        os.chmod(new, _FOLDER_MODE)
        sync_folder(os.path.dirname(new))
    check_folder(folder)


def sweep(folder: str, is_ours: Callable[[str], bool] = lambda _name: True) -> None:
    """Removes the temporary files of writers that were killed. Files that are being written stay.

    is_ours: whether this collection writes files with this name to the folder
    """
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.startswith(".") and name.endswith(_TEMPORARY) and is_ours(name[1 : -len(_TEMPORARY)]):
            try:
                _remove_left(os.path.join(folder, name), 0.0)
            except OSError:
                continue


def sync_folder(folder: str) -> None:
    """Makes a rename or a new name durable: names are stored in the folder, not in the file."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _opened(path: str) -> Iterator[Optional[int]]:
    """The regular file at the path, open for reading, so that it can be restored. None if there is none to restore."""
    try:
        handle = os.open(path, os.O_RDONLY | _EXISTING_FILE)
    except OSError:
        yield None
        return
    try:
        yield handle if stat.S_ISREG(os.fstat(handle).st_mode) else None
    finally:
        os.close(handle)


def _restore(path: str, old: Optional[int], error: OSError) -> None:
    """Brings the old file back, or removes the new one. Raises NotDurableError if that fails."""
    try:
        if old is None:
            os.unlink(path)
        else:
            _replace(path, _content(old), stat.S_IMODE(os.fstat(old).st_mode))
    except OSError:
        raise NotDurableError(error.errno, error.strerror) from error


def _content(handle: int) -> bytes:
    os.lseek(handle, 0, os.SEEK_SET)
    data = b""
    while part := os.read(handle, 1 << 16):
        data += part
    return data


def temporary_path(path: str) -> str:
    """The hidden file beside a file, which a sweep removes if nobody writes it."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{_TEMPORARY}")


def _replace(path: str, data: bytes, mode: int, durable: bool = True) -> None:
    temporary = temporary_path(path)
    handle = _new_file(temporary, mode)
    try:
        os.fchmod(handle, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        if durable:
            os.fsync(handle)
        os.rename(temporary, path)
    except BaseException:
        _remove_quietly(temporary, os.unlink)
        raise
    finally:
        os.close(handle)


def _new_file(path: str, mode: int) -> int:
    """A new file, locked while it is written: an unlocked one was left by a writer that was killed."""
    while True:
        try:
            handle = os.open(path, _NEW_FILE, mode)
        except FileExistsError:
            _remove_left(path, _OTHER_WRITER_SECONDS)
            continue
        if _is_locked(handle) and os.fstat(handle).st_nlink:
            return handle
        # Another process took it for one that was left.
        os.close(handle)


def _remove_left(path: str, seconds: float) -> None:
    """Removes a temporary file that nobody writes any more. Raises OSError if that takes too long."""
    try:
        handle = os.open(path, os.O_RDWR | _EXISTING_FILE)
    except FileNotFoundError:
        return
    except OSError:
        # A link or a folder is no file of ours. Only links are removed.
        os.unlink(path)
        return
    end = time.monotonic() + seconds
    try:
        while not _is_locked(handle):
            if time.monotonic() >= end:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            time.sleep(_POLL_SECONDS)
        if _is_at(path, handle):
            os.unlink(path)
    except FileNotFoundError:
        return
    finally:
        os.close(handle)


def _is_locked(handle: int) -> bool:
    """Whether we have the lock on an open file now. File systems without locks have one writer at a time."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _is_at(path: str, handle: int) -> bool:
    return os.path.samestat(os.lstat(path), os.fstat(handle))


def _remove_quietly(path: str, remove: Callable[[str], None]) -> None:
    try:
        remove(path)
    except OSError:
        return
