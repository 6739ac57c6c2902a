# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that a host needs to start its devices at boot without Ansible: systemd units, and this package."""

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
from .._host.paths import HostPaths
from .._host.reader import errno_text, read_bytes
from .._model.errors import BackendFailed, FilesRefused, InvalidInput
from . import enable_vfs, start_devices
from .units import PACKAGE, UNITS, Program, UnitFile

if TYPE_CHECKING:
    # Its place in Python 3.9 and 3.10; it moves in 3.14.
    from importlib.abc import Traversable

# What the units run. Imported here, so that Ansible brings it and all that it needs to the host.
_PROGRAMS = (start_devices, enable_vfs)
_FILE_MODE = 0o644
# The oldest Python that reads the core (ansible-core 2.19 asks no less of a managed host).
_OLDEST_PYTHON = (3, 9)


@dataclass(frozen=True)
class FileChange:
    """One file: its content before and after; None where there is no file."""

    path: str
    before: Optional[bytes]
    after: Optional[bytes]


@dataclass(frozen=True)
class BootPlan:
    """What to write and remove, and which units systemd is to start at boot from now on, or no more."""

    files: tuple[FileChange, ...]
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.files or self.enable or self.disable)


def plan_boot(paths: HostPaths, program: Program, units: Sequence[UnitFile]) -> BootPlan:
    """What it takes to have these units, and none other of ours. Without units nothing of the program stays."""
    if units:
        _require_python(program.python)
    package = os.path.join(paths.beside(program.folder.lstrip("/")), PACKAGE)
    wanted = {os.path.join(package, name): data for name, data in _sources().items()} if units else {}
    # Units come after what they need, and go before it.
    wanted.update((_unit_path(paths, one.name), one.text.encode()) for one in units)
    left_over = [path for path in (*_unit_files(paths), *_files_in(package)) if path not in wanted]
    changes = [FileChange(path, _content(path), data) for path, data in wanted.items()]
    changes += [FileChange(path, _content(path), None) for path in left_over]
    names = [one.name for one in units]
    return BootPlan(
        files=tuple(one for one in changes if one.before != one.after),
        enable=tuple(one for one in names if not is_enabled(paths, one)),
        disable=tuple(one for one in UNITS if one not in names and is_enabled(paths, one)),
    )


def apply_boot(paths: HostPaths, program: Program, plan: BootPlan) -> None:
    """Makes it so. A unit is enabled after all that it needs is there, and disabled before."""
    if plan.disable:
        _systemctl("disable", *plan.disable)
    apply_changes(paths, program.folder, plan.files)
    if plan.enable:
        _systemctl("enable", *plan.enable)
    if plan.files:
        # So that systemd knows units as they are now, or that they are gone.
        _systemctl("daemon-reload")


def _unit_path(paths: HostPaths, name: str) -> str:
    return paths.beside("etc", "systemd", "system", name)


def _unit_files(paths: HostPaths) -> list[str]:
    return [path for path in (_unit_path(paths, one) for one in UNITS) if os.path.lexists(path)]


def _systemctl(*words: str) -> None:
    try:
        done = subprocess.run(["systemctl", *words], check=False, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendFailed(
            f"systemctl {' '.join(words)} failed: {error}. The unit needs systemd", backend="systemd"
        ) from error
    if done.returncode != 0:
        raise BackendFailed(
            f"systemctl {' '.join(words)} failed with exit code {done.returncode}: {done.stderr.strip()}",
            backend="systemd",
            answer=done.stderr.strip(),
        )


def apply_changes(paths: HostPaths, folder: str, changes: Sequence[FileChange]) -> None:
    """Writes and removes files; a folder of ours that is empty then goes too."""
    for change in changes:
        try:
            if change.after is None:
                os.unlink(change.path)
            else:
                write_whole(change.path, change.after, _FILE_MODE)
        except OSError as error:
            tried = "removing" if change.after is None else "writing"
            raise FilesRefused(
                f"{tried} {change.path} failed: {errno_text(error)}. Run it again when that is solved: "
                "what was written before is complete in itself",
                path_tried=change.path,
                errno=error.errno,
            ) from error
    _forget_empty(paths.beside(folder.lstrip("/")))


def _forget_empty(folder: str) -> None:
    package = os.path.join(folder, PACKAGE)
    if os.path.isdir(package) and not _files_in(package):
        shutil.rmtree(package)
        if not os.listdir(folder):
            os.rmdir(folder)


def _sources() -> dict[str, bytes]:
    """The core's files by their paths below it, from wherever it was loaded: a folder, or Ansible's archive."""
    core = _PROGRAMS[0].__name__.rsplit(".", 2)[0]
    return {"__init__.py": b"", **_sources_below(files(core), "")}


def _sources_below(folder: Traversable, place: str) -> dict[str, bytes]:
    """Every folder gets an __init__.py: the checkout's packages have none, and Ansible's archive has empty ones."""
    sources: dict[str, bytes] = {}
    for entry in folder.iterdir():
        path = place + entry.name
        if entry.name.endswith(".py"):
            sources[path] = entry.read_bytes()
        elif entry.is_dir() and entry.name != "__pycache__":
            sources.update({f"{path}/__init__.py": b"", **_sources_below(entry, f"{path}/")})
    return sources


def _files_in(folder: str) -> list[str]:
    """All files below the folder but what Python compiled from them."""
    return sorted(
        os.path.join(place, name)
        for place, _folders, names in os.walk(folder)
        for name in names
        if os.path.basename(place) != "__pycache__"
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
            f"python '{python}' can't be run: {errno_text(error)}. Give the path of a Python 3.9 or newer on the host",
            option="python",
        ) from error
    if done.returncode != 0:
        raise InvalidInput(
            f"python '{python}' is older than 3.9. Give the path of a newer one on the host", option="python"
        )
