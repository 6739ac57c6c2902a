# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a power cut may lose, from the file operations of a run: data and names that POSIX does not promise to keep.

Data lasts after fsync of the file, and a new, renamed or removed name after fsync of its folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

# Folders on disk; /run and /sys do not outlive a boot.
_LASTING = ("/etc/", "/var/lib/")


class Disk:
    """The operations so far. problems: what was wrong at the moment of an operation."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._data: set[str] = set()
        self._names: set[str] = set()

    def do(self, operation: str, paths: Sequence[str]) -> None:
        """One operation and its paths, as :mod:`hook` notes them."""
        path = paths[-1]
        if operation == "write":
            self._data.add(path)
        elif operation in ("create", "mkdir", "symlink", "link"):
            self._names.add(path)
        elif operation in ("fsync", "fdatasync"):
            self._data.discard(path)
            self._names -= {name for name in self._names if os.path.dirname(name) == path}
        elif operation in ("unlink", "remove", "rmdir"):
            self._forget(path)
            self._names.add(path)
        elif operation in ("rename", "replace"):
            self._rename(*paths)

    def _rename(self, source: str, path: str) -> None:
        if source in self._data and path.startswith(_LASTING):
            self.problems.append(f"{path} may be empty: it was renamed before its data was synced")
        self._data = {path + name[len(source) :] if _within(name, source) else name for name in self._data}
        self._names = {path + name[len(source) :] if _within(name, source) else name for name in self._names}
        self._names.add(path)

    def _forget(self, path: str) -> None:
        self._data = {name for name in self._data if not _within(name, path)}
        self._names = {name for name in self._names if not _within(name, path)}

    def losses(self) -> list[str]:
        """What a power cut now could undo."""
        data = [f"the data of {path}" for path in self._data if path.startswith(_LASTING)]
        return [*self.problems, *sorted(data), *sorted(path for path in self._names if path.startswith(_LASTING))]


def losses(trace: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """What a power cut after these operations could undo."""
    disk = Disk()
    for operation, paths in trace:
        disk.do(operation, paths)
    return disk.losses()


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
