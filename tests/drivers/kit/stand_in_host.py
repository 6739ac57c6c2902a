# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in host with one method for each module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from drivers.kit.host_files import HostFiles


class RunModule(Protocol):
    """Runs a module on the host with these arguments. check and diff set Ansible's modes."""

    def __call__(self, module_name: str, /, **arguments: Any) -> dict[str, Any]: ...


class StandInHost:
    """The files of a host, and the modules that run on it. By default devices are not persistent."""

    def __init__(self, files: HostFiles, run: RunModule) -> None:
        self.files = files
        self._run = run

    def device(self, **arguments: Any) -> dict[str, Any]:
        return self._run("mdev_device", **{"persistent": False, **arguments})

    def set(self, **arguments: Any) -> dict[str, Any]:
        return self._run("mdev_set", **{"name": "tenant-a", "persistent": False, **arguments})

    def info(self, **arguments: Any) -> dict[str, Any]:
        return self._run("mdev_info", **arguments)


# Makes a host with these drivers.
MakeHost = Callable[..., StandInHost]
