# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA with SR-IOV (Ampere): each virtual function is a parent that holds one device; the card is none.

Source: see :mod:`drivers.nvidia_card`; with SR-IOV available_instances of a function is 1 or 0: 0 where the function
has a device, where the card holds as many as the type's maximum, and where it holds another size. So each creation
changes what all functions of the card say.
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
        return [kind for one in self._card.functions for kind in one.created()]

    def left(self, type_id: str) -> int:
        return 0 if self.created() else min(1, room(self._types[type_id], self.on_card()))


class Card:
    """A card with its virtual functions enabled: "0000:41:00" has 0000:41:00.4 and those after it."""

    def __init__(self, card: str, count: int, numa_node: int = 1) -> None:
        addresses = virtual_functions(card, count)
        physical = f"{card}.0"
        self._physical = function(physical, _PRODUCT, numa_node, virtual=addresses, total_virtual=16)
        self.functions = [
            _VirtualFunction(function(one, _PRODUCT, numa_node, physical=physical), self) for one in addresses
        ]

    def plug(self, kernel: Kernel) -> None:
        for one in self.functions:
            one.plug(kernel)

    def nodes(self) -> Nodes:
        nodes = self._physical.nodes()
        for one in self.functions:
            nodes.update(one.nodes())
        return nodes
