# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program's package on the host: it is replaced whole, so that a boot never meets files of two versions.

Each version is in a folder of its own, vfio_mdev-DIGEST, and the link vfio_mdev names the version that is used. A new
version is written completely before the link is renamed over the old one, which is a single step. The version contains
a list of its files. Files that are not on the list are not ours: they stay, and move to each new version.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Optional

from .._host.atomic_files import make_folder, remove_file, sync_folder, write_whole
from .._host.reader import Reader

# The list of the files of a version.
LIST = "files.txt"
_CACHE = "__pycache__"
_FILE_MODE = 0o644
_DIGITS = 12
# A run that was killed may leave the empty folder. One of another name may be somebody else's.
_OWN_FOLDER = "vfio-mdev"


@dataclass(frozen=True)
class Package:
    """The package in a folder on the host. name: of the package, and of the link."""

    folder: str
    name: str

    @property
    def link(self) -> str:
        """The path that Python imports the package from."""
        return os.path.join(self.folder, self.name)

    @property
    def current(self) -> Optional[str]:
        """The folder of the version that is used. A link to another place is not ours, and is replaced."""
        folder = os.path.realpath(self.link)
        return folder if os.path.isdir(folder) and os.path.dirname(folder) == self._real_folder else None

    @property
    def _real_folder(self) -> str:
        return os.path.realpath(self.folder)

    def left_over(self, contents: Mapping[str, bytes]) -> list[str]:
        """What does not belong here: files of the current version that have gone, and what killed runs left."""
        files = self._own_files(self.current, contents) if self.current is not None else []
        gone = [os.path.join(self.link, name) for name in files if name not in contents]
        left = [path for path in self._versions() if path != self.current and self._is_removable(path, contents)]
        if os.path.lexists(self._new_link):
            left.append(self._new_link)
        if os.path.islink(self.link) and not contents and self._is_link_left():
            left.append(self.link)
        if not contents and os.path.basename(self.folder) == _OWN_FOLDER and _is_empty(self.folder):
            left.append(self.folder)
        return gone + left

    def _is_link_left(self) -> bool:
        """Whether the link leads to nothing, or to an empty folder. A link to another place stays."""
        return not os.path.exists(self.link) or (self.current is not None and not _files_below(self.current))

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Writes this version and switches to it. Raises OSError; the old version then stays in use."""
        version = os.path.join(self._real_folder, f"{self.name}-{_digest(contents)}")
        current = self.current
        # The list comes first: a run that is killed leaves no file that is not on a list.
        for name in sorted(contents, key=lambda name: name != LIST):
            path = os.path.join(version, name)
            if content(path) != contents[name]:
                write_whole(path, contents[name], _FILE_MODE)
        if current != version:
            if current is not None:
                self._keep_others(current, version, contents)
            self._switch(version)
        self.clean(contents)

    def clean(self, contents: Mapping[str, bytes]) -> None:
        """Removes files of ours that are not part of these contents. Empty contents remove the package."""
        current = self.current
        for version in self._versions():
            if version != current or not contents:
                self._remove_version(version, contents)
        if current is not None and contents:
            for name in self._own_files(current, contents):
                if name not in contents:
                    remove_file(os.path.join(current, name))
        if os.path.lexists(self._new_link):
            remove_file(self._new_link)
        if not contents and os.path.islink(self.link) and not os.path.isdir(self.link):
            remove_file(self.link)
        if os.path.isdir(self.folder):
            sync_folder(self.folder)
            if not contents and _is_empty(self.folder):
                os.rmdir(self.folder)
                sync_folder(os.path.dirname(self.folder))

    @property
    def _new_link(self) -> str:
        return os.path.join(self.folder, f".{self.name}.new")

    def _versions(self) -> list[str]:
        """The folders of all versions, and the package's own folder if it is not a link."""
        names = Reader().names(self.folder, optional=True)
        paths = [os.path.realpath(os.path.join(self.folder, name)) for name in names if self._is_version(name)]
        return sorted(path for path in paths if os.path.isdir(path))

    def _is_version(self, name: str) -> bool:
        path = os.path.join(self.folder, name)
        return not os.path.islink(path) and (name == self.name or name.startswith(f"{self.name}-"))

    def _own_files(self, version: str, contents: Mapping[str, bytes]) -> list[str]:
        """The files of ours that a version has, and temporary files of a writer that was killed."""
        listed = (content(os.path.join(version, LIST)) or b"").decode("utf-8", "replace").splitlines()
        names = {*listed, LIST, *contents}
        temporary = {os.path.join(os.path.dirname(name), f".{os.path.basename(name)}.new") for name in names}
        return sorted(name for name in _files_below(version) if name in names or name in temporary)

    def _is_removable(self, version: str, contents: Mapping[str, bytes]) -> bool:
        """Whether anything in the folder is ours, or a copy, or nothing is in it at all."""
        files = _files_below(version)
        return not files or bool(self._own_files(version, contents)) or any(self._is_copy(version, n) for n in files)

    def _is_copy(self, version: str, name: str) -> bool:
        """Whether a file of others is also in the current version."""
        current = self.current
        if current is None or current == version:
            return False
        path, other = os.path.join(version, name), os.path.join(current, name)
        return os.path.lexists(other) and os.path.samestat(os.lstat(path), os.lstat(other))

    def _keep_others(self, current: str, version: str, contents: Mapping[str, bytes]) -> None:
        own = set(self._own_files(current, contents))
        for name in _files_below(current):
            path = os.path.join(version, name)
            if name not in own and not os.path.lexists(path):
                make_folder(os.path.dirname(path))
                os.link(os.path.join(current, name), path, follow_symlinks=False)
                sync_folder(os.path.dirname(path))
                sync_folder(version)

    def _switch(self, version: str) -> None:
        if os.path.lexists(self._new_link):
            os.unlink(self._new_link)
        os.symlink(os.path.basename(version), self._new_link)
        if os.path.isdir(self.link) and not os.path.islink(self.link):
            os.rename(self.link, os.path.join(self.folder, f"{self.name}-old"))
        os.rename(self._new_link, self.link)
        sync_folder(self.folder)

    def _remove_version(self, version: str, contents: Mapping[str, bytes]) -> None:
        own = set(self._own_files(version, contents))
        # The list goes last: a run that is killed leaves no file that is not on a list.
        for name in sorted(_files_below(version), key=lambda name: name == LIST):
            if name in own or self._is_copy(version, name):
                os.unlink(os.path.join(version, name))
        for path, _folders, _files in os.walk(version, topdown=False):
            if os.path.basename(path) == _CACHE:
                shutil.rmtree(path)
            elif os.listdir(path):
                sync_folder(path)
            else:
                os.rmdir(path)


def content(path: str) -> Optional[bytes]:
    """A file's content. None if there is no file."""
    try:
        with open(path, "rb", opener=_open_file) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _open_file(path: str, flags: int) -> int:
    """Does not wait for a writer if somebody made a pipe of this name."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def file_list(names: Iterable[str]) -> bytes:
    """The content of the list of a version's files."""
    return "".join(f"{name}\n" for name in sorted(names)).encode("utf-8")


def _is_empty(folder: str) -> bool:
    return os.path.isdir(folder) and not os.listdir(folder)


def _digest(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(contents):
        digest.update(f"{name}\0{len(contents[name])}\0".encode() + contents[name])
    return digest.hexdigest()[:_DIGITS]


def _files_below(folder: str) -> list[str]:
    """All files in the folder and below by their relative paths, except those that Python compiled."""
    return sorted(
        os.path.relpath(os.path.join(path, name), folder)
        for path, folders, files in os.walk(folder)
        for name in (*files, *(name for name in folders if os.path.islink(os.path.join(path, name))))
        if os.path.basename(path) != _CACHE
    )
