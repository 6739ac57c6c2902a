# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chooses the backend for mediated devices. 'auto' is resolved only here."""

from __future__ import annotations

import os

from ..._host.definitions import DefinitionFiles
from ..._host.paths import Host
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
    if choice == "mdevctl" or (choice == "auto" and _scripts_installed(device_files.host)):
        from .mdevctl import mdevctl_backend

        return mdevctl_backend(device_files, definitions)
    return SysfsBackend(device_files, definitions)


def _scripts_installed(host: Host) -> bool:
    """Whether mdevctl has callout or notification scripts. These must run at every change, so mdevctl must make it."""
    folders = (host.beside(folder, group) for folder in _SCRIPT_FOLDERS for group in _SCRIPT_GROUPS)
    return any(os.access(os.path.join(folder, name), os.X_OK) for folder in folders for name in _names(folder))


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
