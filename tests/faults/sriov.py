# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A card whose number of virtual functions can be written (sriov_numvfs_store() in drivers/pci/iov.c)."""

from __future__ import annotations

import errno
from dataclasses import replace

from drivers.kit.kernel import Kernel
from drivers.kit.nodes import Node, Nodes, refuse
from drivers.kit.pci import Function


class SriovCard:
    """A network card: no vendor's tool is needed."""

    def __init__(self, address: str, total: int, enabled: int = 0) -> None:
        self.address = address
        self.total = total
        self.enabled = enabled
        self.functions: list[object] = []

    def plug(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def nodes(self) -> Nodes:
        numbers = range(1, 1 + self.enabled)
        addresses = [f"{self.address[:-4]}{number >> 3:02x}.{number & 7}" for number in numbers]
        base = Function(self.address, "0x15b3", "0x101d", "0000:40:01.1", pci_class="0x020000", driver="mlx5_core")
        card = replace(base, virtual=addresses, total_virtual=self.total)
        nodes = card.nodes()
        nodes[f"sys/devices/{card.place}/sriov_numvfs"] = Node(read=lambda: f"{self.enabled}\n", write=self._set)
        for address in addresses:
            nodes.update(replace(base, address=address, physical=self.address, driver=None).nodes())
        return nodes

    def _set(self, text: str) -> None:
        number = int(text)
        if number > self.total:
            refuse(errno.ERANGE)
        if number and self.enabled and number != self.enabled:
            refuse(errno.EBUSY)
        self.enabled = number
        self._kernel.changed()
