# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backends that act on devices, one for each framework."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Callable, Union

from .._host.paths import Host
from .._model.errors import MdevError
from .._model.framework import Framework
from .._model.inventory import Half, Parent
from .backend import Backend
from .device_files import DeviceFiles
from .mdev.backend import choose_mdev_backend
from .vendor_vfio.backend import choose_vendor_vfio_backend

# Takes the user's choice, the device files and libvirt's URI.
ChooseBackend = Callable[[str, DeviceFiles, str], Backend]

# By the framework's name. A new framework is added here, and in registry.py.
ACTING: dict[str, ChooseBackend] = {
    "mdev": choose_mdev_backend,
    "vendor_vfio": choose_vendor_vfio_backend,
}


@dataclass(frozen=True)
class Backends:
    """The backend of each framework, or why it has none on this host: other frameworks work all the same."""

    by_framework: Mapping[str, Union[Backend, MdevError]]

    def of(self, target: Union[Parent, Half]) -> Backend:
        """The backend that acts on the target. Raises the reason if there is none."""
        backend = self.by_framework[target.framework.name]
        if isinstance(backend, MdevError):
            raise backend
        return backend


def choose_backends(choice: str, host: Host, uri: str, frameworks: Set[Framework]) -> Backends:
    """The backends of these frameworks. choice matters only for mediated devices: no tool supports the others."""
    device_files = DeviceFiles(host)
    chosen: dict[str, Union[Backend, MdevError]] = {}
    for framework in frameworks:
        try:
            chosen[framework.name] = ACTING[framework.name](choice, device_files, uri)
        except MdevError as error:
            chosen[framework.name] = error
    return Backends(chosen)
