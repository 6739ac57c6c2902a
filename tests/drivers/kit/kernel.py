# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state that the drivers of one host share: UUIDs in use, VFIO groups, and which of them are open."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass

from drivers.kit.nodes import Node, Nodes, below, link, refuse

# How long a removal waits for a user that never closes the device, unless the test ends the wait earlier.
_MAX_SECONDS = 20.0


@dataclass
class MdevDevice:
    """A mediated device in the kernel, possibly half removed."""

    uuid: str
    parent: str
    type_id: str
    group: int
    removing: bool = False


class Kernel:
    """The state of one host. changed: called when files appear or disappear."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.changed = changed
        self.devices: dict[str, MdevDevice] = {}
        # Names of devices that are held open by a user that is not visible on the host.
        self.held: set[str] = set()
        # While this is clear, removals wait as if the device were in use.
        self.removals_end = threading.Event()
        self.removals_end.set()
        self._open_groups: set[int] = set()
        self._next_group = 10

    def new_group(self) -> int:
        """The next IOMMU group. Numbers start above those of the PCI functions of a small host."""
        group, self._next_group = self._next_group, self._next_group + 1
        return group

    def is_open(self, name: str, group: int) -> bool:
        """Whether somebody uses a device."""
        return name in self.held or group in self._open_groups

    def wait_for_user(self) -> None:
        self.removals_end.wait(_MAX_SECONDS)

    def vfio(self, folder: str, name: str, group: int) -> Nodes:
        """The VFIO group of a device with this sysfs folder.

        Source: drivers/vfio/group.c. Only one process at a time can have a group open, the next gets EBUSY (observed on
        6.1 and 6.12).
        """
        node = Node(
            read=lambda: "",
            write=lambda _text: None,
            on_open=lambda: self._open(name, group),
            on_close=lambda: self._open_groups.discard(group),
        )
        return {
            **link(f"{folder}/iommu_group", f"sys/kernel/iommu_groups/{group}"),
            **below(f"sys/kernel/iommu_groups/{group}", {}),
            f"dev/vfio/{group}": node,
        }

    def _open(self, name: str, group: int) -> None:
        if self.is_open(name, group):
            refuse(errno.EBUSY)
        self._open_groups.add(group)
