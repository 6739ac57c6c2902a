# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's files: where they are, how they are read, and its identity.

A read never raises. What is wrong with a file is noted once, with its path, in ``unread``.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import Optional

from .._model.errors import NotFound
from .._model.inventory import Unread
from .paths import Host

# sysfs gives at most a page per attribute; a driver that sends more is broken and gets cut.
_PAGE_BYTES = 4096
_MOST_BYTES = 16 * _PAGE_BYTES

_GONE = (errno.ENOENT, errno.ENOTDIR)


def errno_text(error: OSError) -> str:
    """What the kernel answered, by name and in words: ENOSPC (No space left on device)."""
    number = error.errno or 0
    return f"{errno.errorcode.get(number, str(number))} ({os.strerror(number)})"


@dataclass
class Reader:
    """Reads small files, links and folders, and notes what could not be read."""

    unread: list[Unread] = field(default_factory=list)

    def text(self, path: str, optional: bool = False) -> Optional[str]:
        """The file's content without white space around it; None where it is missing, empty or unreadable.

        optional: a file that some drivers do not have; its absence is not worth a note.
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
        try:
            return int(text)
        except ValueError:
            self.unread.append(Unread(path, f"not a number: '{text[:40]}'"))
            return None

    def link_name(self, path: str, optional: bool = True) -> Optional[str]:
        """The last part of a symbolic link's target: sysfs points to groups, drivers and types this way."""
        try:
            return os.readlink(path).rpartition("/")[2]
        except OSError as error:
            if not (optional and error.errno in _GONE):
                self.note(path, error)
            return None

    def names(self, path: str, optional: bool = False) -> list[str]:
        """What is in a folder, unsorted."""
        try:
            return os.listdir(path)
        except OSError as error:
            if not (optional and error.errno in _GONE):
                self.note(path, error)
            return []

    def note(self, path: str, error: OSError) -> None:
        """Keeps what went wrong for the result."""
        self.unread.append(Unread(path, errno_text(error)))


def read_bytes(path: str) -> bytes:
    """A file's bytes. Unbuffered: sysfs reports errors by read(2), and Python's text layer would blur them."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = part = os.read(handle, _PAGE_BYTES)
        while part and len(data) < _MOST_BYTES:
            part = os.read(handle, _PAGE_BYTES)
            data += part
        return data
    finally:
        os.close(handle)


def machine_id(host: Host) -> str:
    """The host's identity, from /etc/machine-id (systemd's machine-id(5): 32 hexadecimal digits)."""
    path = host.beside("etc", "machine-id")
    text = Reader().text(path)
    if text is None or len(text) != 32 or any(digit not in "0123456789abcdef" for digit in text.lower()):
        raise NotFound(
            f"can't derive a UUID for this host: {path} holds no machine id. "
            "Give a uuid, set name_scope to 'global' for a UUID that is equal on all hosts, "
            "or let systemd-machine-id-setup write the file",
            path=path,
        )
    return text.lower()
