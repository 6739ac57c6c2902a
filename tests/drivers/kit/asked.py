# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules' verbs on a host, wherever they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from drivers.kit.host import Host


class Run(Protocol):
    """Runs a module on the host, with these arguments. check and diff set Ansible's modes."""

    def __call__(self, module_name: str, /, **arguments: Any) -> dict[str, Any]: ...


class Asked:
    """A host, and the modules on it. Devices are not persistent unless it is said."""

    def __init__(self, host: Host, run: Run) -> None:
        self.host = host
        self._run = run

    def device(self, **arguments: Any) -> dict[str, Any]:
        return self._run("mdev_device", **{"persistent": False, **arguments})

    def set(self, **arguments: Any) -> dict[str, Any]:
        return self._run("mdev_set", **{"name": "tenant-a", "persistent": False, **arguments})

    def info(self, **arguments: Any) -> dict[str, Any]:
        return self._run("mdev_info", **arguments)


# A host with these drivers.
Build = Callable[..., Asked]
