# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads, writes and removes the definitions on disk, in mdevctl's folder (/etc/mdevctl.d/PARENT/UUID).

mdevctl must not find definitions of a framework that it does not know. They have the same format, but their own folder.
Definitions become devices at boot: those that other users than root can change are not read.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Optional, Union

from .._model.addresses import address_key, is_uuid
from .._model.definition_text import BrokenDefinitionError, definition_text, parse_definition
from .._model.errors import FileError, MdevError
from .._model.framework import Framework
from .._model.inventory import BrokenDefinition, Definition
from .atomic_files import NotDurableError, remove_file, sweep, sync_folder, temporary_path, write_whole
from .reader import Reader, UnsafePathError, check_folder, check_safe, errno_text, is_gone, read_regular

# mdevctl's own folder for callout and notification scripts, beside those of the parents.
_SCRIPTS = "scripts.d"
_FILE_MODE = 0o644
_MAX_BYTES = 1 << 20


_Read = Union[Definition, BrokenDefinition]


@dataclass(frozen=True)
class DefinitionFiles:
    """The folder of definitions of one framework on one host. durable: whether they should survive a power cut."""

    folder: str
    framework: Framework
    durable: bool = True

    def read(self, reader: Reader) -> tuple[tuple[Definition, ...], tuple[BrokenDefinition, ...]]:
        """All definitions by parent and UUID, and the files named by a UUID that are not definitions.

        Other files and folders are ignored, as mdevctl ignores them.
        """
        definitions: list[Definition] = []
        broken: list[BrokenDefinition] = []
        parents = _parents(reader.names(self.folder, optional=True))
        unsafe = _unsafe_folder(self.folder) if parents else None
        for parent in parents:
            folder = os.path.join(self.folder, parent)
            # Something that is not a folder has no names.
            names = sorted(filter(is_uuid, reader.names(folder, optional=True)))
            problem = unsafe or (_unsafe_folder(folder, is_below=True) if names else None)
            for name in names:
                result = self._read_file(parent, name, problem)
                if isinstance(result, Definition):
                    definitions.append(result)
                else:
                    broken.append(result)
        return tuple(definitions), tuple(broken)

    def _read_file(self, parent: str, name: str, unsafe: Optional[UnsafePathError]) -> _Read:
        path = os.path.join(self.folder, parent, name)
        key = name.lower()
        blocks = False
        try:
            if unsafe is not None:
                raise unsafe
            text = read_regular(path, _MAX_BYTES).decode("utf-8")
            definition = parse_definition(text, parent, key, self.framework)
            return definition if name == key else replace(definition, file_name=name)
        except BrokenDefinitionError as error:
            problem, blocks = error.message, error.blocks_mdevctl
        except UnicodeDecodeError:
            problem, blocks = "not UTF-8", True
        except OSError as error:
            problem = _read_problem(error)
        return BrokenDefinition(path, problem, key, blocks and not self.framework.needs_boot_unit)

    def write(self, definition: Definition) -> None:
        """Writes the definition completely or not at all: a power cut leaves either the old or the new file."""
        path = self._path(definition)
        try:
            self._check_folder()
            write_whole(path, definition_text(definition).encode("utf-8"), _FILE_MODE, self.durable)
        except OSError as error:
            raise _refused("writing", path, error) from error

    def remove(self, definition: Definition) -> None:
        """Removes the definition. It is no error if it is already gone."""
        path = self._path(definition)
        try:
            self._check_folder()
            if not is_gone(path):
                check_folder(os.path.dirname(path))
            remove_file(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _refused("removing", path, error) from error

    def name_by_key(self, definition: Definition) -> None:
        """Renames a file that is named in capitals, so that mdevctl finds what it lists.

        Source: mdevctl reads each name that is a UUID, and writes and removes the one in lower case
        (get_defined_devices and persist_path in its sources).
        """
        path, named = self._path(definition), os.path.join(self.folder, definition.parent, definition.key)
        if path == named or is_gone(path):
            return
        try:
            check_folder(os.path.dirname(path))
            if not is_gone(named):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            os.rename(path, named)
            sync_folder(os.path.dirname(path))
        except OSError as error:
            raise _refused("renaming", path, error) from error

    def hide(self, definition: Definition) -> None:
        """Takes a definition out of sight. Unlike a new file, show() then needs no space. A sweep removes it."""
        path = self._path(definition)
        try:
            os.rename(path, temporary_path(path))
        except OSError as error:
            raise _refused("removing", path, error) from error

    def show(self, definition: Definition) -> None:
        """Brings a hidden definition back."""
        path = self._path(definition)
        try:
            os.rename(temporary_path(path), path)
        except OSError as error:
            raise _refused("restoring", path, error) from error

    def forget(self, definition: Definition) -> None:
        """Removes a hidden definition. If that fails, the next sweep does it."""
        with suppress(OSError):
            os.unlink(temporary_path(self._path(definition)))

    def _check_folder(self) -> None:
        if not is_gone(self.folder):
            check_folder(self.folder)

    def _path(self, definition: Definition) -> str:
        """The definition's file: the one that it was read from, or one in other letters, or a new one."""
        folder = os.path.join(self.folder, definition.parent)
        name = definition.file_name or definition.key
        path = os.path.join(folder, name)
        if not os.path.lexists(path):
            names = sorted(Reader().names(folder, optional=True))
            name = next((other for other in names if other.lower() == definition.key), name)
        return os.path.join(folder, name)


def sweep_definitions(folder: str) -> None:
    """Removes what writers of definitions left that were killed. Only under the host's lock."""
    for parent in _parents(Reader().names(folder, optional=True)):
        try:
            sweep(os.path.join(folder, parent), is_uuid)
        except OSError:
            continue


def _parents(names: list[str]) -> list[str]:
    """The names of parents in a folder of definitions."""
    return sorted((name for name in names if name != _SCRIPTS and not name.startswith(".")), key=address_key)


def _unsafe_folder(folder: str, is_below: bool = False) -> Optional[UnsafePathError]:
    """Why a folder is not read. is_below: whether the folders above it were checked."""
    try:
        if is_below and not os.path.islink(folder):
            check_safe(folder, os.stat(folder))
        else:
            check_folder(folder)
    except UnsafePathError as error:
        return error
    except OSError:
        # Reading it will report the same.
        return None
    return None


def _read_problem(error: OSError) -> str:
    if error.errno == errno.EFBIG:
        return f"larger than {_MAX_BYTES} bytes"
    return "not a regular file" if error.errno == errno.EINVAL else errno_text(error)


def _refused(action: str, path: str, error: OSError) -> MdevError:
    details = {"definition": path, "errno": error.errno}
    text = f"{action} definition {path} failed: {errno_text(error)}. "
    if isinstance(error, NotDurableError):
        state = "written" if action == "writing" else "removed"
        text += f"It was {state}, but its folder could not be synced, so that a power cut may undo this"
        return FileError(text, **details).extended(rolled_back=False)
    # A definition that an earlier step removed is not as it was before the run.
    text += "This step changed nothing"
    if not isinstance(error, UnsafePathError):
        text += ". Check that its file system is writable and has free space"
    return FileError(text, **details)
