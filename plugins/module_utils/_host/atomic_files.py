# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are written whole or not at all, and last: after a power cut there is the old file or the new one."""

from __future__ import annotations

import os

_FOLDER_MODE = 0o755
_TEMPORARY = ".new"


def write_whole(path: str, data: bytes, mode: int) -> None:
    """Writes a file by way of a hidden one beside it. Makes its folder. Raises OSError; nothing is left over then."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}{_TEMPORARY}")
    try:
        _make_folder(folder)
        _write_synced(temporary, data, mode)
        os.rename(temporary, path)
        sync_folder(folder)
    except OSError:
        _forget(temporary)
        raise


def remove_file(path: str) -> None:
    """Removes a file for good. Raises OSError."""
    os.unlink(path)
    sync_folder(os.path.dirname(path))


def sweep(folder: str) -> None:
    """Removes what writers that were killed have left. Nobody may be writing there meanwhile."""
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.startswith(".") and name.endswith(_TEMPORARY):
            _forget(os.path.join(folder, name))


def sync_folder(folder: str) -> None:
    """Makes a rename or a new name last: that is stored in the folder, not in the file."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def _make_folder(folder: str) -> None:
    if not os.path.isdir(folder):
        os.makedirs(folder, _FOLDER_MODE, exist_ok=True)
        os.chmod(folder, _FOLDER_MODE)
        sync_folder(os.path.dirname(folder))


def _write_synced(path: str, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(handle, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
