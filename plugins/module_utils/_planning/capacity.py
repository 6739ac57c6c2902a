# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many more devices the parents of a host can take, as far as this can be calculated without creating any. Pure.

For each parent and type the kernel reports how many more devices of that type can be created now (available_instances).
It does not report how many of the other types are left after that, although the types of a parent share its capacity.
The capacity is calculated in units of the smallest type and errs on the generous side: a device that fits is never
refused here, and a device that does not fit is refused by the kernel in the end. Other limits of a parent come from its
framework.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Optional

from .._model.inventory import CardModes, Device, Inventory, Parent, Type

_NOTHING: Counter[str] = Counter()


class Capacity:
    """The capacity of all parents while a plan is made: planned devices take some of it, removed devices free some."""

    def __init__(self, inventory: Inventory) -> None:
        self._parents = {parent.address: parent for parent in inventory.parents}
        self._modes = {modes.address: modes for modes in inventory.cards}
        self._existing = Counter(device.parent for device in inventory.devices)
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

    def copy(self) -> Capacity:
        """A copy of the capacity, for trying out a plan."""
        return deepcopy(self, {id(known): known for known in (self._parents, self._modes)})

    def free(self, device: Device) -> None:
        """Count a device as removed before any device is created."""
        parent = self._parents.get(device.parent)
        if parent is None or device.type_id is None:
            return
        self._existing[parent.address] -= 1
        self._freed.setdefault(parent.address, Counter())[device.type_id] += 1
        self._freed_cards.add(parent.card)
        self._count(parent, device.type_id, -1)

    def take(self, parent: Parent, mdev_type: Type, is_active: bool) -> None:
        """Count a device as planned. If it is only defined, it counts for placement but takes no instance now."""
        self._count(parent, mdev_type.id, 1)
        if is_active:
            self._planned.setdefault(parent.address, Counter())[mdev_type.id] += 1
            self._planned_on_card.setdefault(parent.card, Counter())[mdev_type.id] += 1

    def has_type_on_card(self, parent: Parent, mdev_type: Type) -> bool:
        """Whether the parent's card holds a device of this type."""
        return self.types_on_card(parent).get(mdev_type.id, 0) > 0

    def why_not(self, parent: Parent, mdev_type: Type) -> str:
        """Why the parent can't take one more device of the type, in words; empty if it can.

        The driver's limits come first: they say more than its number, and are the same for all functions of a card.
        """
        rules = parent.framework.capacity_rules(parent)
        return (
            self._no_instance(parent)
            or next((reason for rule in rules if (reason := rule(self, parent, mdev_type))), "")
            or self._nothing_left(parent, mdev_type)
            or self._all_planned(parent, mdev_type)
        )

    def doubt(self, parent: Parent, mdev_type: Type) -> str:
        """Why the parent's driver may refuse one more device of the type; empty if nothing suggests that."""
        rules = parent.framework.capacity_doubts(parent)
        return next((reason for rule in rules if (reason := rule(self, parent, mdev_type))), "")

    # The questions that the capacity rules of frameworks ask.

    def devices_on(self, parent: Parent) -> int:
        """The devices that are on the parent and stay."""
        return self._existing[parent.address]

    def planned_on(self, parent: Parent) -> int:
        """The devices that this run puts on the parent."""
        return sum(self._planned.get(parent.address, {}).values())

    def types_on_card(self, parent: Parent) -> Counter[str]:
        """How many devices of each type id the parent's card has or gets."""
        return self._types_on_card.get(parent.card, _NOTHING)

    def planned_on_card(self, parent: Parent) -> Counter[str]:
        """How many devices of each type id this run puts on the parent's card."""
        return self._planned_on_card.get(parent.card, _NOTHING)

    def modes(self, parent: Parent) -> CardModes:
        """The modes of the parent's card."""
        known = self._modes.get(parent.card)
        if known is None:
            known = self._modes[parent.card] = CardModes(parent.card)
        return known

    def card_stays(self, parent: Parent) -> bool:
        """Whether the parent's card has devices, and all of them stay."""
        return parent.card in self._used_cards and parent.card not in self._freed_cards

    # The numbers that the kernel reports, and how this run changes them.

    def _no_instance(self, parent: Parent) -> str:
        modes = self.modes(parent)
        return modes.no_instance_text if modes.lacks_instances else ""

    def _nothing_left(self, parent: Parent, mdev_type: Type) -> str:
        if mdev_type.available_instances is None:
            return f"available_instances of {mdev_type.id} could not be read"
        if mdev_type.available_instances > 0 or parent.card in self._freed_cards:
            return ""
        left = [f"{other.available_instances} of {other.id}" for other in parent.types if other.available_instances]
        others = f" (but {', '.join(left)})" if left else " and nothing of any other type"
        doubt = self.doubt(parent, mdev_type)
        return f"has 0 of {mdev_type.id} left{others}{f': {doubt}' if doubt else ''}"

    def _all_planned(self, parent: Parent, mdev_type: Type) -> str:
        planned = self._planned.get(parent.address)
        left = self._left(parent, mdev_type)
        if planned is None or left is None:
            return ""
        if planned[mdev_type.id] + 1 > left or not self._shares_fit(parent, mdev_type, planned):
            counts = ", ".join(f"{count} of {type_id}" for type_id, count in sorted(planned.items()))
            return f"has {left} of {mdev_type.id} left, and this run puts {counts} there"
        return ""

    def _left(self, parent: Parent, mdev_type: Type) -> Optional[int]:
        """How many more devices of the type fit at most, including freed capacity. None if this can't be calculated."""
        if parent.address not in self._freed:
            return None if parent.card in self._freed_cards else mdev_type.available_instances
        available = mdev_type.available_instances or 0
        left = available
        for type_id, count in self._freed[parent.address].items():
            freed = parent.type(type_id)
            if type_id == mdev_type.id:
                left += count
            elif freed is None or not freed.available_instances or not available:
                return None
            else:
                left += -(-count * (available + 1) // freed.available_instances)
        return left

    def _shares_fit(self, parent: Parent, mdev_type: Type, planned: Counter[str]) -> bool:
        """Whether all planned devices and one more fit on the parent together."""
        if planned.keys() == {mdev_type.id}:
            # Of a single type as many fit as the driver reports.
            return True
        left = {other.id: self._left(parent, other) or 0 for other in parent.types}
        most = max(left.values())
        counts = planned + Counter({mdev_type.id: 1})
        return sum(count * _least_cost(left[type_id], most) for type_id, count in counts.items()) < most + 1

    def _count(self, parent: Parent, type_id: str, change: int) -> None:
        self.on_parent[parent.address] += change
        self.on_card[parent.card] += change
        self.on_node[parent.numa_node] += change
        self._types_on_card.setdefault(parent.card, Counter())[type_id] += change


def _least_cost(left: int, most: int) -> float:
    """The least that a device of a type can cost, in units of the smallest type.

    With a budget of B units, the driver reports B divided by the cost, rounded down. Costs are mostly whole units.
    """
    if not left:
        return 0.0
    least = most / (left + 1)
    whole = int(least) + 1
    return float(whole) if whole <= most / left else least
