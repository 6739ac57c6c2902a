# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with the XML that guests will have at a migration's destination."""

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

    folder: str

    def wanted(self, virsh: Virsh, name: str, uuids: Mapping[str, str]) -> Contents:
        """What the guest's files should contain. --security-info: keeps the guest's passwords."""
        live, persistent = self._paths(name)
        kept = (
            remap_domain(virsh.xml(name, "--inactive", "--security-info"), uuids).xml
            if virsh.persistent(name)
            else None
        )
        return {live: remap_domain(virsh.xml(name, "--migratable", "--security-info"), uuids).xml, persistent: kept}

    def absent(self, name: str) -> Contents:
        """The contents for a guest without files."""
        return dict.fromkeys(self._paths(name))

    def differing(self, contents: Contents) -> list[str]:
        """The files that differ from these contents."""
        return [path for path, text in contents.items() if self._content(path) != text]

    def write(self, contents: Contents) -> None:
        """Writes files, and removes those without content."""
        for path, text in contents.items():
            try:
                if text is None:
                    remove_file(path)
                else:
                    os.makedirs(self.folder, _FOLDER_MODE, exist_ok=True)
                    write_whole(path, text.encode("utf-8"), _FILE_MODE)
            except OSError as error:
                raise _refused("writing" if text is not None else "removing", path, error) from error

    def result(self, name: str, contents: Contents) -> dict[str, Any]:
        """The paths of the guest's files, None for a file without content."""
        live, persistent = (path if contents[path] is not None else None for path in self._paths(name))
        return {"name": name, "xml": live, "persistent_xml": persistent}

    def _paths(self, name: str) -> tuple[str, str]:
        live, persistent = (guest_file_name(name, suffix) for suffix in (".xml", ".persistent.xml"))
        return os.path.join(self.folder, live), os.path.join(self.folder, persistent)

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
    return FileError(f"{verb} {path} failed with {errno_text(error)}", path=path, errno=error.errno)
