# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules, asked on a host whose drivers answer as cards do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from asking import run_module
from driver_fs import StandIn


class Asked:
    """A host, and the modules on it. Devices are not persistent unless it is said."""

    def __init__(self, host: StandIn, definitions: Path) -> None:
        self.host = host
        self._places = {"sysfs_path": str(host.sys), "definitions_path": str(definitions)}

    def device(self, **arguments: Any) -> dict[str, Any]:
        return run_module("mdev_device", **{"persistent": False, **self._places, **arguments})

    def set(self, **arguments: Any) -> dict[str, Any]:
        return run_module("mdev_set", **{"name": "tenant-a", "persistent": False, **self._places, **arguments})

    def info(self) -> dict[str, Any]:
        return run_module("mdev_info", **self._places)


# A host with these cards.
Build = Callable[..., Asked]
