# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA with SR-IOV (Ampere): each virtual function is a parent of one device; the card itself is not a parent.

Source: see :mod:`drivers.nvidia_card`; with SR-IOV available_instances of a function is 1 or 0: 0 if the function
has a device, if the card holds the type's maximum, and if it holds another size. So each creation changes the numbers
of all functions of the card.
"""

from __future__ import annotations

from drivers.kit.kernel import Kernel
from drivers.kit.nodes import Nodes
from drivers.kit.pci import Function
from drivers.nvidia import VgpuParent
from drivers.nvidia_card import A100, VgpuType, function, room, virtual_functions

_PRODUCT = "0x20f1"


class _VirtualFunction(VgpuParent):
    def __init__(self, pci: Function, card: Card) -> None:
        super().__init__(pci, A100)
        self._card = card

    def on_card(self) -> list[VgpuType]:
        return [vgpu_type for function in self._card.functions for vgpu_type in function.created()]

    def left(self, type_id: str) -> int:
        return 0 if self.created() else min(1, room(self._types[type_id], self.on_card()))


class Card:
    """A card with its virtual functions enabled: "0000:41:00" has 0000:41:00.4 and those after it."""

    def __init__(self, card: str, count: int, numa_node: int = 1) -> None:
        addresses = virtual_functions(card, count)
        physical = f"{card}.0"
        self._physical = function(physical, _PRODUCT, numa_node, virtual=addresses, total_virtual=16)
        self.functions = [
            _VirtualFunction(function(address, _PRODUCT, numa_node, physical=physical), self) for address in addresses
        ]

    def plug(self, kernel: Kernel) -> None:
        for parent in self.functions:
            parent.plug(kernel)

    def nodes(self) -> Nodes:
        nodes = self._physical.nodes()
        for parent in self.functions:
            nodes.update(parent.nodes())
        return nodes
