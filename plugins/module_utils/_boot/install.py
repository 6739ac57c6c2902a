# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installs the files that start devices at boot without Ansible: systemd units, and a copy of this package."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Optional

from .._host.atomic_files import write_whole
from .._host.autostart import is_enabled
from .._host.paths import Host
from .._host.reader import errno_text, read_bytes
from .._model.errors import BackendFailed, FileError, InvalidInput
from . import enable_vfs, start_devices
from .units import PACKAGE, UNITS, Program, UnitFile

if TYPE_CHECKING:
    # Where Python 3.9 and 3.10 have it. It moves in 3.14.
    from importlib.abc import Traversable

# The programs that the units run. Importing them makes Ansible copy them and all their imports to the host.
_PROGRAMS = (start_devices, enable_vfs)
_FILE_MODE = 0o644
# The oldest Python that can run the core.
_OLDEST_PYTHON = (3, 9)


@dataclass(frozen=True)
class FileChange:
    """One file: its content before and after. None if there is no file."""

    path: str
    before: Optional[bytes]
    after: Optional[bytes]


@dataclass(frozen=True)
class BootPlan:
    """The files to write and remove, and the units to enable and disable."""

    files: tuple[FileChange, ...]
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.files or self.enable or self.disable)


def plan_boot(host: Host, program: Program, units: Sequence[UnitFile]) -> BootPlan:
    """The changes that leave exactly these units of ours. Without units, the programs are removed too."""
    if units:
        _require_python(program.python)
    package = os.path.join(host.beside(program.path.lstrip("/")), PACKAGE)
    contents = {os.path.join(package, name): data for name, data in _sources().items()} if units else {}
    # Units are written after the files that they need, and removed before them.
    contents.update((_unit_path(host, unit.name), unit.text.encode()) for unit in units)
    left_over = [path for path in (*_unit_files(host), *_files_in(package)) if path not in contents]
    changes = [FileChange(path, _content(path), data) for path, data in contents.items()]
    changes += [FileChange(path, _content(path), None) for path in left_over]
    names = [unit.name for unit in units]
    return BootPlan(
        files=tuple(change for change in changes if change.before != change.after),
        enable=tuple(name for name in names if not is_enabled(host, name)),
        disable=tuple(name for name in UNITS if name not in names and is_enabled(host, name)),
    )


def apply_boot(host: Host, program: Program, plan: BootPlan) -> None:
    """Applies the plan. Units are enabled after their files are written, and disabled before they are removed."""
    if plan.disable:
        _systemctl("disable", *plan.disable)
    apply_changes(host, program.path, plan.files)
    if plan.enable:
        _systemctl("enable", *plan.enable)
    if plan.files:
        # systemd reads changed units, and notices that removed ones are gone.
        _systemctl("daemon-reload")


def _unit_path(host: Host, name: str) -> str:
    return host.beside("etc", "systemd", "system", name)


def _unit_files(host: Host) -> list[str]:
    return [path for path in (_unit_path(host, name) for name in UNITS) if os.path.lexists(path)]


def _systemctl(*arguments: str) -> None:
    try:
        done = subprocess.run(["systemctl", *arguments], check=False, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendFailed(
            f"systemctl {' '.join(arguments)} failed: {error}. The boot units require systemd", backend="systemd"
        ) from error
    if done.returncode != 0:
        raise BackendFailed(
            f"systemctl {' '.join(arguments)} failed with exit code {done.returncode}: {done.stderr.strip()}",
            backend="systemd",
            answer=done.stderr.strip(),
        )


def apply_changes(host: Host, program_path: str, changes: Sequence[FileChange]) -> None:
    """Writes and removes files. Folders of ours that are empty then are removed too."""
    for change in changes:
        try:
            if change.after is None:
                os.unlink(change.path)
            else:
                write_whole(change.path, change.after, _FILE_MODE)
        except OSError as error:
            action = "removing" if change.after is None else "writing"
            raise FileError(
                f"{action} {change.path} failed: {errno_text(error)}. Solve this and run the task again. "
                "All files that were written before are complete",
                path=change.path,
                errno=error.errno,
            ) from error
    _remove_empty(host.beside(program_path.lstrip("/")))


def _remove_empty(folder: str) -> None:
    package = os.path.join(folder, PACKAGE)
    if os.path.isdir(package) and not _files_in(package):
        shutil.rmtree(package)
        if not os.listdir(folder):
            os.rmdir(folder)


def _sources() -> dict[str, bytes]:
    """The files of the core by their relative paths. It can be loaded from a folder or from Ansible's archive."""
    core = _PROGRAMS[0].__name__.rsplit(".", 2)[0]
    return {"__init__.py": b"", **_sources_below(files(core), "")}


def _sources_below(folder: Traversable, prefix: str) -> dict[str, bytes]:
    """Each folder gets an empty __init__.py, as in Ansible's archive: the packages of the collection have none."""
    sources: dict[str, bytes] = {}
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.name.endswith(".py"):
            sources[path] = entry.read_bytes()
        elif entry.is_dir() and entry.name != "__pycache__":
            sources.update({f"{path}/__init__.py": b"", **_sources_below(entry, f"{path}/")})
    return sources


def _files_in(folder: str) -> list[str]:
    """All files in the folder and below, except those that Python compiled."""
    return sorted(
        os.path.join(path, name)
        for path, _folders, names in os.walk(folder)
        for name in names
        if os.path.basename(path) != "__pycache__"
    )


def _content(path: str) -> Optional[bytes]:
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None


def _require_python(python: str) -> None:
    program = f"import sys; sys.exit(sys.version_info < {_OLDEST_PYTHON})"
    try:
        done = subprocess.run([python, "-I", "-c", program], check=False, capture_output=True, timeout=30)
    except OSError as error:
        raise InvalidInput(
            f"python '{python}' can't be run: {errno_text(error)}. Give the path of Python 3.9 or newer on the host",
            option="python",
        ) from error
    if done.returncode != 0:
        raise InvalidInput(
            f"python '{python}' is older than 3.9. Give the path of Python 3.9 or newer on the host", option="python"
        )
