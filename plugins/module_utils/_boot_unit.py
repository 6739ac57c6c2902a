# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that a host needs to start its devices at boot without Ansible: a systemd unit, and this package."""

from __future__ import annotations

import os
import pkgutil
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from typing import Optional

from . import _boot
from ._autostart import UNIT, starter
from ._errors import BackendFailed, FilesRefused, InvalidInput
from ._files import write_whole
from ._host import HostPaths, errno_text, read_bytes

# The package's name on the host, below the program's folder.
_PACKAGE = "vfio_mdev"
# What the unit runs. Imported here, so that Ansible brings it and all that it needs to the host.
_PROGRAM = _boot.__name__.rpartition(".")[2]
_FILE_MODE = 0o644
# The oldest Python that reads the core (ansible-core 2.19 asks no less of a managed host).
_OLDEST_PYTHON = (3, 9)
# After the last parent's deadline: for a driver that takes long to create devices.
_SPARE_SECONDS = 60

_UNIT_TEXT = """\
# Written by the Ansible collection vfio.mdev, role boot. Changes are overwritten: use a drop-in.
[Unit]
Description=Start mediated devices that are defined with autostart
After={after}
# Guests that start at boot need their devices.
Before=libvirtd.service virtqemud.service virtnodedevd.service libvirt-guests.service

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=PYTHONPATH={folder}
ExecStart={python} -m {program} --wait {wait_seconds}
TimeoutStartSec={timeout}

[Install]
WantedBy=multi-user.target
"""
_AFTER = ("local-fs.target", "systemd-modules-load.service", "systemd-udevd.service")


@dataclass(frozen=True)
class BootUnit:
    """How devices are started at boot. wait_seconds: for parents that come late, all together."""

    folder: str
    python: str
    wait_seconds: int
    after: tuple[str, ...]

    def text(self) -> str:
        """The unit's file."""
        return _UNIT_TEXT.format(
            after=" ".join((*_AFTER, *self.after)),
            folder=self.folder,
            python=self.python,
            program=f"{_PACKAGE}.{_PROGRAM}",
            wait_seconds=self.wait_seconds,
            timeout=self.wait_seconds + _SPARE_SECONDS,
        )


@dataclass(frozen=True)
class FileChange:
    """One file: its content before and after; None where there is no file."""

    path: str
    before: Optional[bytes]
    after: Optional[bytes]


def unit_path(paths: HostPaths) -> str:
    """Where the unit's file is."""
    return paths.beside("etc", "systemd", "system", UNIT)


def plan_present(paths: HostPaths, unit: BootUnit) -> list[FileChange]:
    """What to write, and what an older version left. The unit comes last: it needs the rest."""
    _require_python(unit.python)
    package = os.path.join(paths.beside(unit.folder.lstrip("/")), _PACKAGE)
    wanted = {os.path.join(package, name): data for name, data in _sources().items()}
    left_over = [path for path in _files_in(package) if path not in wanted]
    wanted[unit_path(paths)] = unit.text().encode()
    changes = [FileChange(path, _content(path), data) for path, data in wanted.items()]
    changes += [FileChange(path, _content(path), None) for path in left_over]
    return [one for one in changes if one.before != one.after]


def plan_absent(paths: HostPaths, folder: str) -> list[FileChange]:
    """What to remove, the unit first."""
    package = os.path.join(paths.beside(folder.lstrip("/")), _PACKAGE)
    present = [path for path in (unit_path(paths), *_files_in(package)) if os.path.lexists(path)]
    return [FileChange(path, _content(path), None) for path in present]


def is_enabled(paths: HostPaths) -> bool:
    """Whether systemd starts the unit at boot."""
    return starter(paths) == UNIT


def enable(changed: bool, was_enabled: bool) -> None:
    """Has systemd start the unit at boot, and know it as it is now. To enable a unit makes systemd read it too."""
    if not was_enabled:
        _systemctl("enable", UNIT)
    elif changed:
        _systemctl("daemon-reload")


def disable() -> None:
    """Has systemd start the unit no more."""
    _systemctl("disable", UNIT)


def forget() -> None:
    """Has systemd forget a unit that is gone."""
    _systemctl("daemon-reload")


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


def apply_changes(paths: HostPaths, folder: str, changes: list[FileChange]) -> None:
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
    package = os.path.join(folder, _PACKAGE)
    if os.path.isdir(package) and not _files_in(package):
        shutil.rmtree(package)
        if not os.listdir(folder):
            os.rmdir(folder)


def _sources() -> dict[str, bytes]:
    """The core's files by name, from wherever this package was loaded: a folder, or Ansible's archive."""
    package = sys.modules[__name__.rpartition(".")[0]]
    found = {"__init__.py": b""}
    for module in pkgutil.iter_modules(package.__path__):
        full_name = f"{package.__name__}.{module.name}"
        spec = PathFinder.find_spec(full_name, package.__path__)
        source = getattr(spec and spec.loader, "get_source", None)
        if source is not None:
            found[f"{module.name}.py"] = source(full_name).encode("utf-8")
    return found


def _files_in(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(path for path in (os.path.join(folder, name) for name in names) if os.path.isfile(path))


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
