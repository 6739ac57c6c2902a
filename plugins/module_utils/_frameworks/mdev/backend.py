# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chooses the backend for mediated devices. 'auto' is resolved only here."""

from __future__ import annotations

import os
from typing import Optional

from ..._host.definitions import DefinitionFiles
from ..._host.paths import Host
from ..._model.errors import MdevError
from ..backend import Backend
from ..device_files import DeviceFiles
from .framework import MDEV
from .sysfs import SysfsBackend

_SCRIPT_FOLDERS = ("usr/lib/mdevctl/scripts.d", "etc/mdevctl.d/scripts.d")
_SCRIPT_GROUPS = ("callouts", "notifiers")


def choose_mdev_backend(choice: str, device_files: DeviceFiles, uri: str) -> Backend:
    """The chosen backend. Those that most runs don't need are imported here, since each import takes time on the host.

    auto: mdevctl if it has callout or notification scripts, because these must run; otherwise sysfs, which is about
    twenty times faster than a process per step.
    """
    definitions = DefinitionFiles(device_files.host.definitions_path, MDEV)
    if choice == "libvirt":
        from .libvirt import libvirt_backend

        return libvirt_backend(device_files, definitions, uri)
    script = _script(device_files.host) if choice == "auto" else None
    if choice == "mdevctl" or script is not None:
        from .mdevctl import mdevctl_backend

        try:
            return mdevctl_backend(device_files, definitions)
        except MdevError as error:
            raise error.extended(f"{script} should run at each change: " if script is not None else "") from error
    return SysfsBackend(device_files, definitions)


def _script(host: Host) -> Optional[str]:
    """A callout or notification script of mdevctl. These must run at every change, so mdevctl must make it."""
    folders = (host.beside(folder, group) for folder in _SCRIPT_FOLDERS for group in _SCRIPT_GROUPS)
    paths = (os.path.join(folder, name) for folder in folders for name in sorted(_names(folder)))
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
