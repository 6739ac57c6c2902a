# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many more devices the parents of a host can take, as far as can be told before the kernel is asked. Pure.

The kernel tells for each parent and type how many more there may be of it now (available_instances), not what a device
of one type leaves for the others. The types of a parent share what it has. This is reckoned in units of the smallest
type, and never too tight: what fits in truth is never refused here. What doesn't fit in the end the kernel refuses.
"""

from __future__ import annotations

import re
from collections import Counter
from copy import deepcopy
from typing import Optional

from .._model.inventory import VENDOR_VFIO, Device, Inventory, Parent, Type

# NVIDIA's driver says in a type's description how many of it one card holds, whatever each of its functions promises.
_MAX_INSTANCE = re.compile(r"\bmax_instance=(\d+)")
# NVIDIA vGPU User Guide: a virtual function holds one device, and all devices of a card have one size of framebuffer.
# Types of one size ("T4-4Q", "T4-4A") may be mixed (NVML: heterogeneous time-slice profiles), and then share the card's
# maximum. Types backed by MIG, which have the number of slices in their names ("A100-1-5C"), may be mixed in all sizes.
_NVIDIA = "nvidia"
_FRAMEBUFFER = re.compile(r"\bframebuffer=(\d+)M")
_MIG_NAME = re.compile(r"-\d+-\d+[A-Z]")


def card_of(parent: Parent) -> str:
    """The physical card that a parent belongs to: its physical function, or itself."""
    return parent.physical_function or parent.address


class Rooms:
    """The room of all parents while a plan is made: devices are taken away from it and put into it."""

    def __init__(self, inventory: Inventory) -> None:
        self._parents = {one.address: one for one in inventory.parents}
        self._there = Counter(one.parent for one in inventory.devices)
        self._planned: dict[str, Counter[str]] = {}
        self._freed: dict[str, Counter[str]] = {}
        self._planned_on_card: dict[str, Counter[str]] = {}
        self._freed_cards: set[str] = set()
        self._types_on_card: dict[str, Counter[str]] = {}
        self.on_card: Counter[str] = Counter()
        self.on_parent: Counter[str] = Counter()
        self.on_node: Counter[Optional[int]] = Counter()
        for device in inventory.devices:
            if device.parent in self._parents:
                self._count(self._parents[device.parent], device.type_id or "", 1)
        self._used_cards = frozenset(self.on_card)

    def copy(self) -> Rooms:
        """The same room, to try a plan in."""
        return deepcopy(self, {id(self._parents): self._parents})

    def free(self, device: Device) -> None:
        """A device goes before anything is created."""
        parent = self._parents.get(device.parent)
        if parent is None or device.type_id is None:
            return
        self._there[parent.address] -= 1
        self._freed.setdefault(parent.address, Counter())[device.type_id] += 1
        self._freed_cards.add(card_of(parent))
        self._count(parent, device.type_id, -1)

    def take(self, parent: Parent, kind: Type, needs_room: bool) -> None:
        """A device is planned. One that is only defined counts among its neighbours, but takes no room now."""
        self._count(parent, kind.id, 1)
        if needs_room:
            self._planned.setdefault(parent.address, Counter())[kind.id] += 1
            self._planned_on_card.setdefault(card_of(parent), Counter())[kind.id] += 1

    def has_type_on_card(self, parent: Parent, kind: Type) -> bool:
        """Whether the parent's card holds a device of this type."""
        return self._types_on(card_of(parent))[kind.id] > 0

    def why_not(self, parent: Parent, kind: Type) -> str:
        """Why the parent can't take one more device of the type, in words; empty where it can."""
        return (
            self._nothing_left(parent, kind)
            or self._function_taken(parent)
            or self._all_planned(parent, kind)
            or self._card_full(parent, kind)
            or self._other_type(parent, kind)
        )

    def _nothing_left(self, parent: Parent, kind: Type) -> str:
        if kind.available_instances is None:
            return f"available_instances of {kind.id} could not be read"
        if kind.available_instances > 0 or card_of(parent) in self._freed_cards:
            return ""
        left = [f"{one.available_instances} of {one.id}" for one in parent.types if one.available_instances]
        return f"has 0 of {kind.id} left" + (f" (but {', '.join(left)})" if left else " and nothing of any other type")

    def _function_taken(self, parent: Parent) -> str:
        """NVIDIA: a virtual function holds one device."""
        if not _is_nvidia(parent) or parent.physical_function is None:
            return ""
        if self._there[parent.address]:
            return "is a virtual function, which holds one device, and has one"
        planned = sum(self._planned.get(parent.address, {}).values())
        return "is a virtual function, which holds one device, and this run puts one there" if planned else ""

    def _all_planned(self, parent: Parent, kind: Type) -> str:
        planned = self._planned.get(parent.address)
        mine = self._capacity(parent, kind)
        if planned is None or mine is None:
            return ""
        if planned[kind.id] + 1 > mine or not self._shares_fit(parent, kind, planned):
            words = ", ".join(f"{count} of {type_id}" for type_id, count in sorted(planned.items()))
            return f"has {mine} of {kind.id} left, and this run puts {words} there"
        return ""

    def _capacity(self, parent: Parent, kind: Type) -> Optional[int]:
        """How many of the type there can be at most, with what is freed. None where nobody can tell."""
        if parent.address not in self._freed:
            return None if card_of(parent) in self._freed_cards else kind.available_instances
        left = kind.available_instances or 0
        for type_id, count in self._freed[parent.address].items():
            gone = parent.type(type_id)
            if type_id == kind.id:
                left += count
            elif gone is None or not gone.available_instances or not kind.available_instances:
                return None
            else:
                left += -(-count * (kind.available_instances + 1) // gone.available_instances)
        return left

    def _shares_fit(self, parent: Parent, kind: Type, planned: Counter[str]) -> bool:
        """Whether all that is planned and one more fit together into what the parent has."""
        capacities = {one.id: self._capacity(parent, one) or 0 for one in parent.types}
        most = max(capacities.values())
        wanted = planned + Counter({kind.id: 1})
        return sum(count * _least_cost(capacities[type_id], most) for type_id, count in wanted.items()) < most + 1

    def _card_full(self, parent: Parent, kind: Type) -> str:
        most = _MAX_INSTANCE.search(kind.description or "")
        card = card_of(parent)
        there = sum(count for type_id, count in self._types_on(card).items() if _same_size(parent.type(type_id), kind))
        if most is None or there < int(most.group(1)):
            return ""
        return f"card {card} holds at most {most.group(1)} of {kind.id}, and has or gets {there}"

    def _other_type(self, parent: Parent, kind: Type) -> str:
        """NVIDIA: one size per card. A card that offers this type beside devices of another takes several.

        Under the vendor's own framework only the driver knows sizes.
        """
        card = card_of(parent)
        if not _is_nvidia(parent) or parent.framework == VENDOR_VFIO or _MIG_NAME.search(kind.name or ""):
            return ""
        if card in self._used_cards and card not in self._freed_cards:
            return ""
        there = (type_id for type_id, count in self._types_on(card).items() if count)
        taken = {*there, *self._planned_on_card.get(card, ())}
        others = sorted(type_id for type_id in taken if not _same_size(parent.type(type_id), kind))
        return f"card {card} takes one size of type at a time, and has or gets {', '.join(others)}" if others else ""

    def _types_on(self, card: str) -> Counter[str]:
        return self._types_on_card.get(card, Counter())

    def _count(self, parent: Parent, type_id: str, number: int) -> None:
        card = card_of(parent)
        self.on_parent[parent.address] += number
        self.on_card[card] += number
        self.on_node[parent.numa_node] += number
        self._types_on_card.setdefault(card, Counter())[type_id] += number


def _same_size(one: Optional[Type], other: Type) -> bool:
    """Whether types are alike to NVIDIA's driver: the same, or with the same framebuffer."""
    if one is None or one.id == other.id:
        return one is not None
    sizes = [_FRAMEBUFFER.search(each.description or "") for each in (one, other)]
    return all(sizes) and len({size.group(1) for size in sizes if size}) == 1


def _is_nvidia(parent: Parent) -> bool:
    return parent.driver == _NVIDIA or parent.framework == VENDOR_VFIO


def _least_cost(capacity: int, most: int) -> float:
    """The least that a device of a type can cost, in units of the smallest type.

    Of a budget of B units the driver tells B divided by the cost, rounded down. Costs are whole units, as a rule.
    """
    if not capacity:
        return 0.0
    least = most / (capacity + 1)
    whole = int(least) + 1
    return float(whole) if whole <= most / capacity else least
