# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a driver certainly accepts all devices of a plan. Pure.

When a host is provisioned, what the driver might accept is tried, and rolled back if it refuses. Guests that move to a
host are prepared together, so a refusal would concern all of them. A plan for several hosts therefore contains only
what is certain.

The driver reports for each type how many more devices of it fit if no others are created: N of a type that costs at
most 1/N of what is left. So devices certainly fit together if their shares add up to 1 at most. The functions of a card
share the card: there, N is what the type's description says about the whole card. If it says nothing, only the first
new device is certain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Optional

from .._frameworks.drivers.nvidia import card_maximum
from .._model.inventory import Inventory, Parent
from .._planning.capacity import Capacity
from .._planning.steps import CreateDevice, RemoveDevice, Step


def uncertainty(steps: Sequence[Step], inventory: Inventory) -> str:
    """Why the driver may refuse one of the devices that the steps create; empty if it certainly accepts all."""
    capacity = Capacity(inventory)
    change: dict[str, Counter[str]] = {}
    for step in steps:
        if isinstance(step, RemoveDevice):
            capacity.free(step.device)
            change.setdefault(step.device.parent, Counter())[step.device.type_id or ""] -= 1
        elif isinstance(step, CreateDevice):
            choice = step.choices[0]
            doubt = capacity.doubt(choice.parent, choice.type)
            if doubt:
                return f"the driver may refuse {choice.type.id} on {choice.parent.address}, because {doubt}"
            capacity.take(choice.parent, choice.type, True)
            change.setdefault(choice.parent.address, Counter())[choice.type.id] += 1
    return next((text for text in _texts(change, inventory) if text), "")


def _texts(change: Mapping[str, Counter[str]], inventory: Inventory) -> list[str]:
    """Why the devices of each parent, and of each card with several functions, may not fit together."""
    functions: dict[str, list[Parent]] = {}
    for parent in inventory.parents:
        if parent.physical_function is not None:
            functions.setdefault(parent.card, []).append(parent)
    parents = [parent for parent in inventory.parents if parent.address in change]
    cards = sorted({parent.card for parent in parents if parent.card in functions})
    return [
        *(_on_parent(parent, change[parent.address]) for parent in parents),
        *(_on_card(card, functions[card], change, inventory) for card in cards),
    ]


def _on_parent(parent: Parent, change: Counter[str]) -> str:
    new = +change
    numbers = {mdev_type.id: mdev_type.available_instances for mdev_type in parent.types}
    if sum(new.values()) <= 1 or _share(new, numbers) <= 1:
        return ""
    return _text(f"parent {parent.address}", new)


def _on_card(card: str, functions: Sequence[Parent], change: Mapping[str, Counter[str]], inventory: Inventory) -> str:
    new: Counter[str] = Counter()
    for parent in functions:
        new.update(change.get(parent.address, Counter()))
    existing = Counter(device.type_id or "" for parent in functions for device in inventory.devices_on(parent.address))
    numbers = {mdev_type.id: card_maximum(mdev_type) for parent in functions for mdev_type in parent.types}
    created = +new
    if sum(created.values()) <= 1:
        return ""
    existing.update(new)
    share = _share(+existing, numbers)
    return "" if share <= 1 else _text(f"card {card}", created)


def _share(counts: Counter[str], numbers: Mapping[str, Optional[int]]) -> Fraction:
    """The share that the devices take at most. More than everything if it is unknown for one of them."""
    unknown = [type_id for type_id in counts if not numbers.get(type_id)]
    return (
        Fraction(2)
        if unknown
        else sum((Fraction(count, numbers[type_id] or 1) for type_id, count in counts.items()), Fraction())
    )


def _text(place: str, counts: Counter[str]) -> str:
    devices = " and ".join(f"{count} of {type_id}" for type_id, count in sorted(counts.items()))
    return (
        f"whether {place} takes {devices} together is not certain before some of them exist. Plan again when the other "
        "guests have moved"
    )
