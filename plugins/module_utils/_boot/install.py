# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installs the files that start devices at boot without Ansible: systemd units, and a copy of this package."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Optional

from .._host.atomic_files import remove_file, write_whole
from .._host.autostart import is_enabled
from .._host.paths import Host
from .._host.reader import errno_text, is_gone
from .._host.tool import run_tool
from .._model.errors import FileError, InvalidInput
from . import enable_vfs, publish, start_devices
from .package import LIST, Package, content, file_list
from .systemd import UnitState, needs_reload, systemctl
from .units import (
    MARK,
    METRICS_TIMER,
    METRICS_UNIT,
    PACKAGE,
    UNITS,
    WANTED_BY,
    Program,
    UnitFile,
    published_files,
)

if TYPE_CHECKING:
    # Where Python 3.9 and 3.10 have it. It moves in 3.14.
    from importlib.abc import Traversable

# The programs that the units run. Importing them makes Ansible copy them and all their imports to the host.
_PROGRAMS = (start_devices, enable_vfs, publish)
_FILE_MODE = 0o644
# The oldest Python that can run the core.
_OLDEST_PYTHON = (3, 9)
_PYTHON_SECONDS = 30
_UNIT_FOLDER = ("etc", "systemd", "system")


@dataclass(frozen=True)
class FileChange:
    """One file: its content before and after. None if there is no file."""

    path: str
    before: Optional[bytes]
    after: Optional[bytes]


@dataclass(frozen=True)
class BootPlan:
    """The files to write and remove, and the units to enable and disable.

    files:    all changes, for results: those of the package and those of the units
    contents: the files of the package, empty if it should be removed
    unmasked: units that are masked, which ends when their files are written
    foreign:  files with the names of our units that this collection did not write: they stay
    reload:   whether systemd does not know yet about changes of a former run
    start:    timers that run with new files, or that were stopped
    unpublished: files that the installed metrics unit writes and that nothing will write any more
    """

    files: tuple[FileChange, ...]
    package: Package
    contents: Mapping[str, bytes]
    package_changed: bool = False
    unit_files: tuple[FileChange, ...] = ()
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    unmasked: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    reload: bool = False
    start: tuple[str, ...] = ()
    unpublished: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.files or self.enable or self.disable or self.reload or self.start)

    @property
    def warnings(self) -> list[str]:
        """What the operator should know."""
        unmasked = [
            f"{name} was masked, so it would not have started at boot. Its mask is replaced by the unit, because "
            "state present requests a unit that starts. To keep it from starting, use state absent"
            for name in self.unmasked
        ]
        return unmasked + [f"{path} was not written by this collection. It stays as it is" for path in self.foreign]


def plan_boot(
    host: Host, program: Program, units: Sequence[UnitFile], states: Optional[Mapping[str, UnitState]] = None
) -> BootPlan:
    """The changes that leave exactly these units of ours. Without units, the programs are removed too.

    states: the units as systemd knows them
    """
    if units:
        _require_python(program.python)
    package = Package(host.beside(program.path.lstrip("/")), PACKAGE)
    contents = _sources() if units else {}
    written = [
        FileChange(path, content(path), data)
        for path, data in ((os.path.join(package.link, name), data) for name, data in contents.items())
    ]
    removed = [FileChange(path, _before(path), None) for path in package.left_over(contents)]
    package_files = [change for change in written if change.before != change.after]
    unit_files = [change for change in _unit_changes(host, units) if change.before != change.after]
    unwritten = [change for change in unit_files if change.after is None]
    unpublished = _unpublished(host, units)
    unwritten += [FileChange(path, _before(path), None) for path in unpublished if not is_gone(path)]
    # Units are written after the files that they need, and removed before them.
    changes = [*package_files, *(change for change in unit_files if change.after is not None), *unwritten, *removed]
    names = [unit.name for unit in units]
    paths = {name: _unit_path(host, name) for name in UNITS}
    masked = [name for name in UNITS if _is_masked(paths[name])]
    foreign = [name for name in UNITS if name not in (*names, *masked) and _is_foreign(host, name)]
    enable = tuple(name for name in names if WANTED_BY[name] and not _is_enabled(host, name))
    return BootPlan(
        files=tuple(changes),
        package=package,
        contents=contents,
        package_changed=bool(package_files or removed),
        unit_files=tuple(unit_files),
        enable=enable,
        disable=tuple(name for name in UNITS if name not in (*names, *foreign) and not is_gone(_link(host, name))),
        unmasked=tuple(name for name in names if name in masked),
        foreign=tuple(paths[name] for name in foreign),
        reload=any(needs_reload(states or {}, name, paths[name], name in names) for name in UNITS),
        start=_to_start(names, enable, {change.path for change in changes}, states or {}, paths),
        unpublished=unpublished,
    )


def _to_start(
    names: Sequence[str],
    enable: Sequence[str],
    changed: Set[str],
    states: Mapping[str, UnitState],
    paths: Mapping[str, str],
) -> tuple[str, ...]:
    """The timer, if it is requested and is new or stopped. What runs at boot is not started."""
    if METRICS_TIMER not in names:
        return ()
    state = states.get(METRICS_TIMER)
    is_new = METRICS_TIMER in enable or changed & {paths[METRICS_TIMER], paths[METRICS_UNIT]}
    is_stopped = state is not None and state.active_state in ("inactive", "failed")
    return (METRICS_TIMER,) if is_new or is_stopped else ()


def apply_boot(host: Host, plan: BootPlan) -> None:
    """Applies the plan. Units are enabled after their files are written, and disabled before they are removed."""
    for name in plan.disable:
        _disable(host, name)
    if plan.unpublished:
        # A run that has begun would write these files again.
        systemctl("stop", METRICS_UNIT)
    apply_files(plan)
    if plan.enable:
        systemctl("enable", *plan.enable)
    if plan.files or plan.reload:
        # systemd reads changed units, and notices that removed ones are gone.
        systemctl("daemon-reload")
    if plan.start:
        systemctl("restart", *plan.start)


def apply_files(plan: BootPlan) -> None:
    """Writes the package and the units, or removes the units and the package.

    What is no longer published goes first: only the unit that wrote it says where it is.
    """
    for path in plan.unpublished:
        _write_unit(FileChange(path, b"", None))
    if plan.contents and plan.package_changed:
        _write_package(plan)
    for change in plan.unit_files:
        _write_unit(change)
    if not plan.contents and plan.package_changed:
        _write_package(plan)


def _write_package(plan: BootPlan) -> None:
    package = plan.package
    try:
        package.write(plan.contents) if plan.contents else package.clean({})
    except OSError as error:
        action, state = (
            ("writing", "A former version stays in use") if plan.contents else ("removing", "The units are gone")
        )
        raise FileError(
            f"{action} the program in {package.folder} failed: {errno_text(error)}. {state}. "
            "Solve this and run the task again",
            path_tried=error.filename or package.folder,
            errno=error.errno,
        ) from error


def _write_unit(change: FileChange) -> None:
    try:
        if change.after is not None:
            write_whole(change.path, change.after, _FILE_MODE)
        elif not is_gone(change.path):
            remove_file(change.path)
    except OSError as error:
        action = "removing" if change.after is None else "writing"
        raise FileError(
            f"{action} {change.path} failed: {errno_text(error)}. Solve this and run the task again. "
            "All files that were written before are complete",
            path_tried=change.path,
            errno=error.errno,
        ) from error


def _disable(host: Host, name: str) -> None:
    """systemctl does not disable a unit without a file, which a person may have removed."""
    if os.path.isfile(_unit_path(host, name)) and not _is_masked(_unit_path(host, name)):
        systemctl("disable", *(["--now"] if name == METRICS_TIMER else []), name)
    if not is_gone(_link(host, name)):
        _write_unit(FileChange(_link(host, name), b"", None))


def _unit_changes(host: Host, units: Sequence[UnitFile]) -> list[FileChange]:
    """The changes of unit files, with temporary files of runs that were killed."""
    changes: list[FileChange] = []
    for unit in units:
        path = _unit_path(host, unit.name)
        if _is_foreign(host, unit.name) and not _is_masked(path):
            raise FileError(
                f"{path} exists and was not written by this collection, so it is not replaced. Nothing was changed. "
                "Move it away and run the task again, or rename that unit",
                path_tried=path,
                errno=None,
            )
        changes.append(FileChange(path, _before(path), unit.text.encode()))
    names = [unit.name for unit in units]
    for name in UNITS:
        path = _unit_path(host, name)
        if name not in names and not is_gone(path) and not _is_foreign(host, name):
            changes.append(FileChange(path, _before(path), None))
        temporary = host.beside(*_UNIT_FOLDER, f".{name}.new")
        if os.path.lexists(temporary):
            changes.append(FileChange(temporary, _before(temporary), None))
    return changes


def _unpublished(host: Host, units: Sequence[UnitFile]) -> tuple[str, ...]:
    """See BootPlan.unpublished."""
    before = _before(_unit_path(host, METRICS_UNIT)) or b""
    if not before.startswith(MARK.encode()):
        return ()
    kept = {path for unit in units if unit.name == METRICS_UNIT for path in published_files(unit.text)}
    paths = [path for path in published_files(before.decode("utf-8", "replace")) if path not in kept]
    return tuple(host.beside(path.lstrip("/")) for path in paths)


def _is_enabled(host: Host, name: str) -> bool:
    return is_enabled(host, name, WANTED_BY[name])


def _link(host: Host, name: str) -> str:
    """The link that makes systemd start the unit at boot."""
    return host.beside(*_UNIT_FOLDER, f"{WANTED_BY[name]}.wants", name)


def _unit_path(host: Host, name: str) -> str:
    return host.beside(*_UNIT_FOLDER, name)


def _is_foreign(host: Host, name: str) -> bool:
    """Whether there is a unit file of this name that this collection did not write, a mask included."""
    before = _before(_unit_path(host, name))
    return before is not None and not before.startswith(MARK.encode())


def _is_masked(path: str) -> bool:
    """Whether systemd considers the unit as masked: a link to /dev/null, or an empty file (systemd.unit(5))."""
    if os.path.islink(path):
        return os.path.realpath(path) == os.devnull
    return os.path.isfile(path) and os.path.getsize(path) == 0


def _before(path: str) -> Optional[bytes]:
    """The content of something, empty if it is no file. None if nothing is there."""
    if is_gone(path):
        return None
    try:
        return content(path) if stat.S_ISREG(os.lstat(path).st_mode) else b""
    except OSError as error:
        raise FileError(
            f"reading {path} failed: {errno_text(error)}, so whether this collection wrote it is unknown. "
            "Nothing was changed. Solve this and run the task again",
            path_tried=path,
            errno=error.errno,
        ) from error


def _sources() -> dict[str, bytes]:
    """The files of the core by their relative paths, with their list.

    The core can be loaded from a folder or from Ansible's archive.
    """
    core = _PROGRAMS[0].__name__.rsplit(".", 2)[0]
    sources = {"__init__.py": b"", **_sources_below(resources.files(core), "")}
    return {**sources, LIST: file_list(sources)}


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


def _require_python(python: str) -> None:
    program = f"import sys; sys.exit(sys.version_info < {_OLDEST_PYTHON})"
    advice = "Give the path of Python 3.9 or newer on the host"
    try:
        answer = run_tool([python, "-I", "-c", program], _PYTHON_SECONDS)
    except OSError as error:
        text = f"python '{python}' can't be run: {errno_text(error)}. {advice}"
        raise InvalidInput(text, option="python") from error
    if answer.code is None:
        text = f"python '{python}' can't be run: it did not end in {_PYTHON_SECONDS} s. {advice}"
        raise InvalidInput(text, option="python")
    if answer.code != 0:
        raise InvalidInput(f"python '{python}' is older than 3.9. {advice}", option="python")
