# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who acts: a backend for each framework. The choice of 'auto' is made here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Union

from .._host.definitions import DefinitionFiles
from .._host.paths import HostPaths
from .._model.inventory import MDEV, VENDOR_VFIO, Definition, Device, Parent
from .base import Backend
from .mdev.kernel import Kernel
from .mdev.sysfs import DirectBackend

CHOICES = ("auto", "sysfs", "mdevctl", "libvirt")

_SCRIPT_FOLDERS = ("usr/lib/mdevctl/scripts.d", "etc/mdevctl.d/scripts.d")
_SCRIPT_KINDS = ("callouts", "notifiers")


@dataclass(frozen=True)
class Backends:
    """Who acts under each framework."""

    by_framework: Mapping[str, Backend]

    def of(self, thing: Union[Parent, Device, Definition]) -> Backend:
        """Who acts on this."""
        return self.by_framework[thing.framework]


def chosen_backends(asked: str, kernel: Kernel, files: DefinitionFiles, uri: str, frameworks: Set[str]) -> Backends:
    """For these frameworks. There is a choice only where there are tools: no tool knows the vendor's own framework."""
    chosen: dict[str, Backend] = {}
    if MDEV in frameworks:
        chosen[MDEV] = _mdev_backend(asked, kernel, files, uri)
    if VENDOR_VFIO in frameworks:
        from .vendor_vfio.backend import VendorBackend

        chosen[VENDOR_VFIO] = VendorBackend.on(kernel)
    return Backends(chosen)


def _mdev_backend(asked: str, kernel: Kernel, files: DefinitionFiles, uri: str) -> Backend:
    """The backend that was asked for. Those that most runs do not need are imported here: a host pays for each import.

    auto: mdevctl where it has callout or notification scripts, since these must run; else sysfs, which is some twenty
    times faster than a process per step.
    """
    if asked == "libvirt":
        from .mdev.libvirt import libvirt_backend

        return libvirt_backend(kernel, uri)
    if asked == "mdevctl" or (asked == "auto" and _scripts_installed(kernel.paths)):
        from .mdev.mdevctl import mdevctl_backend

        return mdevctl_backend(kernel)
    return DirectBackend(kernel, files)


def _scripts_installed(paths: HostPaths) -> bool:
    """Whether mdevctl has callout or notification scripts: these must run at each change, so mdevctl must make it."""
    folders = (paths.beside(folder, kind) for folder in _SCRIPT_FOLDERS for kind in _SCRIPT_KINDS)
    return any(os.access(os.path.join(folder, name), os.X_OK) for folder in folders for name in _listed(folder))


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
