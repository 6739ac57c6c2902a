# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many more devices would really fit, by the rules that a plan is made with. Pure.

Drivers report available_instances for each parent by itself, and a card with SR-IOV has many parents. So their sum says
more than fits. Here the devices of a type are placed one after the other, until no parent takes another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from .._model.inventory import Inventory, Parent, Type
from .._planning.capacity import Capacity

Room = dict[str, Optional[int]]


def room_on(parents: Sequence[Parent], inventory: Inventory) -> Room:
    """How many devices of each type would fit in addition on these parents of one card, if only this type is created.

    None if no driver reports it. inventory: all of the card's parents and devices. The given parents may be reduced to
    some of their types, but the rules compare with the others.
    """
    offers: dict[str, list[tuple[Parent, Type]]] = {}
    for parent in parents:
        whole = inventory.parent(parent.address) or parent
        for mdev_type in parent.types:
            offers.setdefault(mdev_type.id, []).append((whole, mdev_type))
    if any(parent.framework.capacity_rules(parent) for parent in parents):
        return {type_id: _room(known, inventory) for type_id, known in offers.items()}
    # The driver's numbers are the only limit. Counting up to that of AP devices would take a while.
    return {
        type_id: add_room([_available(mdev_type) for _parent, mdev_type in known]) for type_id, known in offers.items()
    }


def add_room(rooms: Sequence[Optional[int]]) -> Optional[int]:
    """The room of several cards together. None if it is unknown for all."""
    known = [room for room in rooms if room is not None]
    return sum(known) if known else None


def _room(offers: Sequence[tuple[Parent, Type]], inventory: Inventory) -> Optional[int]:
    if all(_available(mdev_type) is None for _parent, mdev_type in offers):
        return None
    free = [(parent, mdev_type) for parent, mdev_type in offers if _available(mdev_type)]
    capacity = Capacity(inventory) if free else None
    return sum(_placed(parent, mdev_type, capacity) for parent, mdev_type in free) if capacity is not None else 0


def _placed(parent: Parent, mdev_type: Type, capacity: Capacity) -> int:
    """Places devices on the parent until it takes no more. Returns their number."""
    available = _available(mdev_type) or 0
    for count in range(available):
        if capacity.why_not(parent, mdev_type):
            return count
        capacity.take(parent, mdev_type, is_active=True)
    return available


def _available(mdev_type: Type) -> Optional[int]:
    """The driver's number. Some drivers count below zero."""
    return None if mdev_type.available_instances is None else max(0, mdev_type.available_instances)
