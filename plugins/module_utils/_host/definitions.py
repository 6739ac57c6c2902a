# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The definitions on disk, in mdevctl's place (/etc/mdevctl.d/PARENT/UUID): read, written whole, removed.

mdevctl must not meet those of a framework that it does not know. They have the same format, in a place of their own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from .._model.addresses import address_key, is_uuid
from .._model.definition_text import BrokenDefinitionError, definition_text, parse_definition
from .._model.errors import FileError
from .._model.framework import Framework
from .._model.inventory import BrokenDefinition, Definition
from .atomic_files import remove_file, write_whole
from .reader import Reader, errno_text, read_bytes

# mdevctl's own folder for callout and notification scripts, beside those of the parents.
_SCRIPTS = "scripts.d"
_FILE_MODE = 0o644


@dataclass(frozen=True)
class DefinitionFiles:
    """The folder of definitions of one framework on one host."""

    folder: str
    framework: Framework

    def read(self, reader: Reader) -> tuple[tuple[Definition, ...], tuple[BrokenDefinition, ...]]:
        """All definitions by parent and UUID, and the files that are none. Hidden files are somebody's temporaries."""
        found: list[Definition] = []
        broken: list[BrokenDefinition] = []
        parents = [name for name in reader.names(self.folder, optional=True) if name != _SCRIPTS]
        for parent in sorted(parents, key=address_key):
            folder = os.path.join(self.folder, parent)
            if not os.path.isdir(folder):
                broken.append(BrokenDefinition(folder, "not a folder of a parent"))
                continue
            for name in sorted(reader.names(folder)):
                if not name.startswith("."):
                    self._read_one(parent, name, found, broken)
        return tuple(found), tuple(broken)

    def _read_one(self, parent: str, name: str, found: list[Definition], broken: list[BrokenDefinition]) -> None:
        path = os.path.join(self.folder, parent, name)
        if not is_uuid(name):
            broken.append(BrokenDefinition(path, "not named by a UUID"))
            return
        try:
            found.append(parse_definition(read_bytes(path).decode("utf-8"), parent, name.lower(), self.framework))
        except BrokenDefinitionError as error:
            broken.append(BrokenDefinition(path, error.message))
        except UnicodeDecodeError:
            broken.append(BrokenDefinition(path, "not UTF-8"))
        except OSError as error:
            broken.append(BrokenDefinition(path, errno_text(error)))

    def write(self, definition: Definition) -> None:
        """Writes the definition whole or not at all: a power cut leaves the old file or the new one."""
        path = self._path(definition)
        try:
            write_whole(path, definition_text(definition).encode("utf-8"), _FILE_MODE)
        except OSError as error:
            raise _refused("writing", path, error) from error

    def remove(self, definition: Definition) -> None:
        """Removes the definition. One that is gone already is as wanted."""
        path = self._path(definition)
        try:
            remove_file(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _refused("removing", path, error) from error

    def _path(self, definition: Definition) -> str:
        return os.path.join(self.folder, definition.parent, definition.key)


def _refused(tried: str, path: str, error: OSError) -> FileError:
    return FileError(
        f"{tried} definition {path} failed: {errno_text(error)}. The definition is as it was before",
        definition=path,
        errno=error.errno,
    )
