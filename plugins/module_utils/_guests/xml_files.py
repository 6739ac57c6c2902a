# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with guests' XML as it is to be at a migration's destination."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .._host.atomic_files import remove_file, write_whole
from .._host.reader import errno_text
from .._model.errors import FileError
from .._xml.domain import guest_file_name, remap_domain
from .virsh import Virsh

_FILE_MODE, _FOLDER_MODE = 0o600, 0o700

Contents = dict[str, Optional[str]]


@dataclass(frozen=True)
class GuestFiles:
    """The folder with the files."""

    directory: str

    def wanted(self, virsh: Virsh, name: str, uuids: Mapping[str, str]) -> Contents:
        """What the guest's files are to have. --security-info: without passwords, the guest would lose its own."""
        live, persistent = self._paths(name)
        kept = (
            remap_domain(virsh.xml(name, "--inactive", "--security-info"), uuids).xml
            if virsh.persistent(name)
            else None
        )
        return {live: remap_domain(virsh.xml(name, "--migratable", "--security-info"), uuids).xml, persistent: kept}

    def absent(self, name: str) -> Contents:
        """The guest's files are not to be."""
        return dict.fromkeys(self._paths(name))

    def differing(self, wanted: Contents) -> list[str]:
        """The files that are not as they are to be."""
        return [path for path, text in wanted.items() if self._content(path) != text]

    def write(self, wanted: Contents) -> None:
        """Writes files, and removes those that are not to be."""
        for path, text in wanted.items():
            try:
                if text is None:
                    remove_file(path)
                else:
                    os.makedirs(self.directory, _FOLDER_MODE, exist_ok=True)
                    write_whole(path, text.encode("utf-8"), _FILE_MODE)
            except OSError as error:
                raise _refused("writing" if text is not None else "removing", path, error) from error

    def result(self, name: str, wanted: Contents) -> dict[str, Any]:
        """The guest's files that are to be."""
        live, persistent = (path if wanted[path] is not None else None for path in self._paths(name))
        return {"name": name, "xml": live, "persistent_xml": persistent}

    def _paths(self, name: str) -> tuple[str, str]:
        live, persistent = (guest_file_name(name, suffix) for suffix in (".xml", ".persistent.xml"))
        return os.path.join(self.directory, live), os.path.join(self.directory, persistent)

    @staticmethod
    def _content(path: str) -> Optional[str]:
        try:
            with open(path, encoding="utf-8", newline="") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refused("reading", path, error) from error


def _refused(verb: str, path: str, error: OSError) -> FileError:
    return FileError(f"{verb} {path} failed with {errno_text(error)}", path_tried=path, errno=error.errno)
