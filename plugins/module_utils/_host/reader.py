# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the host's files and its identity.

A read never raises. A problem with a file is noted in ``unread``, once and with the path.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass, field
from typing import Optional

from .._model.errors import NotFound
from .._model.inventory import Unread
from .paths import Host

# sysfs returns at most one page per attribute. Much longer output comes from a broken driver and is cut.
_PAGE_BYTES = 4096
_MAX_BYTES = 16 * _PAGE_BYTES

_GONE = (errno.ENOENT, errno.ENOTDIR)

# Whole numbers as the kernel prints them with %d and %u. Python's int() accepts more: 1_000, +5, digits of any script.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
# Nothing waits for a pipe's other end, and no terminal becomes ours.
_READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class UnsafePathError(OSError):
    """Other users can change a file or folder that only root should change. Nothing in it is used."""


def errno_text(error: OSError) -> str:
    """The kernel's answer by name and in words: ENOSPC (No space left on device)."""
    errno_ = error.errno or 0
    text = error.strerror if isinstance(error, UnsafePathError) else os.strerror(errno_)
    return f"{errno.errorcode.get(errno_, str(errno_))} ({text})"


def whole_number(text: str) -> Optional[int]:
    """The number in a text of the kernel. None if it is not one."""
    return int(text) if _NUMBER.fullmatch(text) else None


def check_safe(path: str, status: os.stat_result, is_above: bool = False) -> None:
    """Raises UnsafePathError if a user other than root and the current user can change the file or folder.

    is_above: whether it is a folder above the one that is used. In a sticky one (/tmp), others can't replace that.
    """
    if status.st_uid not in (0, os.geteuid()):
        problem = f"it belongs to user {status.st_uid}"
    elif status.st_mode & stat.S_IWOTH and not (is_above and status.st_mode & stat.S_ISVTX):
        problem = "all users can write to it"
    elif status.st_mode & stat.S_IWGRP and status.st_gid != 0 and not is_above:
        problem = f"group {status.st_gid} can write to it"
    else:
        return
    raise UnsafePathError(
        errno.EPERM,
        f"{path} is not safe, because {problem}. Check its content, then make root its owner and remove the write "
        "permission of group and others",
    )


def check_folder(folder: str) -> None:
    """Raises UnsafePathError if other users can change the folder, or replace it by way of a link or a folder above."""
    path = os.path.abspath(folder)
    for link in _with_folders_above(path):
        status = os.lstat(link)
        if stat.S_ISLNK(status.st_mode) and status.st_uid not in (0, os.geteuid()):
            check_safe(link, status)
    path = os.path.realpath(path)
    for real in _with_folders_above(path):
        check_safe(real, os.stat(real), is_above=real != path)


def _with_folders_above(path: str) -> list[str]:
    paths = [path]
    while paths[-1] != os.path.dirname(paths[-1]):
        paths.append(os.path.dirname(paths[-1]))
    return paths


@dataclass
class Reader:
    """Reads small files, links and folders, and notes those that could not be read."""

    unread: list[Unread] = field(default_factory=list)

    def text(self, path: str, optional: bool = False) -> Optional[str]:
        """The file's content without white space around it. None if it is missing, empty or unreadable.

        optional: whether some drivers do not have the file; its absence is then not noted.
        """
        try:
            data = read_bytes(path)
        except OSError as error:
            if not (optional and error.errno in _GONE):
                self.note(path, error)
            return None
        text = data.decode("utf-8", "backslashreplace").strip("\0 \t\n")
        if not text and not optional:
            self.unread.append(Unread(path, "empty"))
        return text or None

    def number(self, path: str, optional: bool = False) -> Optional[int]:
        """The file's content as a whole number."""
        text = self.text(path, optional)
        if text is None:
            return None
        number = whole_number(text)
        if number is None:
            self.unread.append(Unread(path, f"not a number: '{text[:40]}'"))
        return number

    def link_name(self, path: str, optional: bool = True) -> Optional[str]:
        """The last part of a symbolic link's target: sysfs refers to groups, drivers and types in this way."""
        try:
            return os.readlink(path).rpartition("/")[2]
        except OSError as error:
            if not (optional and error.errno in _GONE):
                self.note(path, error)
            return None

    def names(self, path: str, optional: bool = False) -> list[str]:
        """The names in a folder, unsorted."""
        try:
            return os.listdir(path)
        except OSError as error:
            if not (optional and error.errno in _GONE):
                self.note(path, error)
            return []

    def note(self, path: str, error: OSError) -> None:
        """Notes the error for the result."""
        self.unread.append(Unread(path, errno_text(error)))


def is_gone(path: str) -> bool:
    """Whether certainly nothing is at the path. What can't be looked at counts as being there."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno in _GONE
    return False


def read_bytes(path: str) -> bytes:
    """A file's bytes. Unbuffered: sysfs reports errors by read(2), and Python's text layer would hide them."""
    handle = os.open(path, _READ_FLAGS)
    try:
        data = part = os.read(handle, _PAGE_BYTES)
        while part and len(data) < _MAX_BYTES:
            part = os.read(handle, _PAGE_BYTES)
            data += part
        return data
    finally:
        os.close(handle)


def read_regular(path: str, most: int) -> bytes:
    """A regular file's bytes, or OSError: for another type of file, EFBIG for more than ``most`` bytes.

    Raises UnsafePathError if other users can write to the file.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    handle = os.open(path, _READ_FLAGS)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        check_safe(path, status)
        data = part = os.read(handle, _PAGE_BYTES)
        while part and len(data) <= most:
            part = os.read(handle, most)
            data += part
    finally:
        os.close(handle)
    if len(data) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data


def machine_id(host: Host) -> str:
    """The host's identity, from /etc/machine-id (systemd's machine-id(5): 32 hexadecimal digits)."""
    path = host.beside("etc", "machine-id")
    text = Reader().text(path)
    if text is None or len(text) != 32 or any(digit not in "0123456789abcdef" for digit in text.lower()):
        raise NotFound(
            f"can't derive a UUID for this host: {path} does not contain a machine id. "
            "Give a uuid, set name_scope to 'global' for a UUID that is equal on all hosts, "
            "or run systemd-machine-id-setup to write the file",
            path=path,
        )
    return text.lower()
