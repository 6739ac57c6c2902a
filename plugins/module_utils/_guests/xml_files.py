# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with the XML that guests will have at a migration's destination. They contain the guests' passwords."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .._host.atomic_files import remove_file, sync_folder, write_whole
from .._host.reader import errno_text, is_gone
from .._model.errors import FileError, MdevError
from .._xml.domain import parse_domain, remap_domain
from .virsh import Virsh

_FILE_MODE, _FOLDER_MODE = 0o600, 0o700
_LIVE, _PERSISTENT = ".xml", ".persistent.xml"
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH

Contents = dict[str, Optional[str]]


@dataclass(frozen=True)
class GuestFiles:
    """The folder with the files. A guest's files are named by its UUID."""

    folder: str

    def requested(self, virsh: Virsh, uuid: str, uuid_map: Mapping[str, str]) -> Contents:
        """What the guest's files should contain. --security-info: keeps the guest's passwords."""
        live, persistent = self._paths(uuid)
        kept = (
            remap_domain(virsh.xml(uuid, "--inactive", "--security-info"), uuid_map).xml
            if virsh.persistent(uuid)
            else None
        )
        return {live: remap_domain(virsh.xml(uuid, "--migratable", "--security-info"), uuid_map).xml, persistent: kept}

    def absent(self, uuid: str) -> Contents:
        """The contents for a guest without files."""
        return dict.fromkeys(self._paths(uuid))

    def guests_named(self, name: str) -> list[str]:
        """The UUIDs of the guests with this name that have files. libvirt may not know them any more."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _refused("reading", self.folder, error) from error
        suffixes = (_PERSISTENT, _LIVE)
        uuids = {file[: -len(suffix)] for file in names for suffix in suffixes if file.endswith(suffix)}
        return sorted(uuid for uuid in uuids if name in self._names(uuid))

    def differing(self, contents: Contents) -> list[str]:
        """The files that differ from these contents, and the temporary files of killed runs."""
        return [path for path, text in contents.items() if self._content(path) != text or _left_by_killed_runs(path)]

    def write(self, contents: Contents) -> None:
        """Writes files, and removes those without content."""
        if any(text is not None for text in contents.values()):
            self._make_folder()
        for path, text in contents.items():
            try:
                for temporary in _left_by_killed_runs(path):
                    remove_file(temporary)
                if text is None:
                    _remove(path)
                else:
                    write_whole(path, text.encode("utf-8"), _FILE_MODE)
            except OSError as error:
                raise _refused("writing" if text is not None else "removing", path, error) from error

    def result(self, uuid: str, name: Optional[str], contents: Contents) -> dict[str, Any]:
        """The paths of the guest's files, None for a file without content."""
        live, persistent = (path if contents[path] is not None else None for path in self._paths(uuid))
        return {"name": name, "uuid": uuid, "xml": live, "persistent_xml": persistent}

    def _paths(self, uuid: str) -> tuple[str, str]:
        return os.path.join(self.folder, uuid + _LIVE), os.path.join(self.folder, uuid + _PERSISTENT)

    def _names(self, uuid: str) -> list[str]:
        """The guest's name in each of its files. A killed run may have left only one of them."""
        names = []
        for path in self._paths(uuid):
            try:
                domain = parse_domain(self._content(path) or "")
            except MdevError:
                # Not a file of ours.
                continue
            if domain.uuid in ("", uuid):
                names.append(domain.name)
        return names

    def _make_folder(self) -> None:
        """A new one is only for root, whatever the umask is. One that others can write to, or a link, is refused."""
        try:
            if not os.path.isdir(self.folder):
                _make_parents(os.path.dirname(os.path.abspath(self.folder)))
                os.mkdir(self.folder, _FOLDER_MODE)
                sync_folder(os.path.dirname(os.path.abspath(self.folder)))
            status = os.lstat(self.folder)
            if stat.S_ISLNK(status.st_mode) or status.st_uid != os.geteuid():
                raise FileError(
                    f"{self.folder} is a link or belongs to another user. The guests' XML with their passwords was "
                    "not written. Give another folder as xml_path",
                    path=self.folder,
                )
            if status.st_mode & _WRITABLE:
                # Its mode is not changed: it may be a folder that others need, such as /tmp.
                raise FileError(
                    f"other users can write to {self.folder}. The guests' XML with their passwords was not written. "
                    "Give another folder as xml_path",
                    path=self.folder,
                )
        except OSError as error:
            raise _refused("creating", self.folder, error) from error

    @staticmethod
    def _content(path: str) -> Optional[str]:
        try:
            with open(path, encoding="utf-8", newline="", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refused("reading", path, error) from error


def _make_parents(folder: str) -> None:
    """Makes folders that only root can write to. Their modes do not depend on the umask."""
    if is_gone(folder):
        _make_parents(os.path.dirname(folder))
        os.mkdir(folder, 0o755)
        os.chmod(folder, 0o755)
        sync_folder(os.path.dirname(folder))


def _left_by_killed_runs(path: str) -> list[str]:
    """Temporary files of the writer (see atomic_files), with the same passwords."""
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [os.path.join(folder, left) for left in names if left.startswith(f".{name}.")]


def _remove(path: str) -> None:
    try:
        remove_file(path)
    except FileNotFoundError:
        return


def _refused(verb: str, path: str, error: OSError) -> FileError:
    return FileError(f"{verb} {path} failed with {errno_text(error)}", path=path, errno=error.errno)
