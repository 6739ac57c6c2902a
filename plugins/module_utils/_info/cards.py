# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cards of a host with what is on them: parents that belong together, their devices, the room that is left. Pure.

A card is a physical function with its virtual functions, or a parent that stands alone, as the matrix of AP queues.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Optional

from .._model.addresses import address_key
from .._model.device_state import State
from .._model.framework import Framework
from .._model.inventory import Card, CardModes, Device, Hardware, Inventory, Parent, Vfs
from .room import Room, room_on

# What parents report for types with instances left, by type id. None if it can't be read.
Offer = dict[str, Optional[int]]


@dataclass(frozen=True)
class DeviceCount:
    """The devices of a type on a card. type_id is empty for half removed devices. active: all in the kernel."""

    type_id: str
    active: int
    defined: int


@dataclass(frozen=True)
class SlicedCard:
    """A card and its parents, or a card that could have some. states: its devices, active or defined."""

    address: str
    driver: Optional[str]
    numa_node: Optional[int]
    vfs: Optional[Vfs]
    framework: Optional[Framework] = None
    parents: tuple[Parent, ...] = ()
    states: tuple[State, ...] = ()
    room: Optional[Room] = None
    modes: Optional[CardModes] = None
    ids: Optional[str] = None
    function_ids: Optional[str] = None

    @cached_property
    def devices(self) -> tuple[Device, ...]:
        """The devices in the kernel, with those that are half removed."""
        return tuple(state.device for state in self.states if state.device is not None)

    @property
    def in_use(self) -> int:
        """How many devices are certainly in use."""
        return sum(bool(device.users) for device in self.devices)

    @property
    def use_unknown(self) -> int:
        """How many devices may be in use or not: nobody looked, or not all processes could be examined."""
        return sum(device.users is None for device in self.devices)

    @property
    def idle(self) -> int:
        """How many devices are certainly not in use."""
        return len(self.devices) - self.in_use - self.use_unknown

    @property
    def counts(self) -> tuple[DeviceCount, ...]:
        """The devices by type."""
        active = Counter(device.type_id or "" for device in self.devices)
        defined = Counter(state.type_id for state in self.states if state.definition is not None)
        types = sorted(active | defined, key=address_key)
        return tuple(DeviceCount(type_id, active[type_id], defined[type_id]) for type_id in types)

    @cached_property
    def offer(self) -> Optional[Offer]:
        """What most of its virtual functions report. None if the parent is no virtual function."""
        offers = [offer_of(parent) for parent in self.parents if parent.physical_function is not None]
        keys = Counter(tuple(offer.items()) for offer in offers if offer)
        if not offers:
            return None
        return dict(keys.most_common(1)[0][0]) if keys else {}


def offer_of(parent: Parent) -> Offer:
    """The types that the parent has instances of, or may have."""
    return {
        mdev_type.id: mdev_type.available_instances
        for mdev_type in parent.types
        if mdev_type.available_instances is None or mdev_type.available_instances > 0
    }


def cards_of(
    inventory: Inventory, hardware: Hardware, shown: Sequence[Parent], states: Sequence[State]
) -> tuple[SlicedCard, ...]:
    """The cards of the shown parents and states, by address.

    inventory: everything on the host, since a parent's room depends on its neighbors on the card
    """
    known = {card.address: card for card in hardware.cards}
    on_card: dict[str, list[Parent]] = {}
    for parent in shown:
        on_card.setdefault(parent.card, []).append(parent)
    whole = _by_card(inventory)
    by_parent: dict[str, list[State]] = {}
    for state in states:
        by_parent.setdefault(state.parent, []).append(state)
    return tuple(
        _sliced_card(address, tuple(on_card[address]), known.get(address), whole[address], by_parent)
        for address in sorted(on_card, key=address_key)
    )


def _by_card(inventory: Inventory) -> dict[str, Inventory]:
    parents: dict[str, list[Parent]] = {}
    for parent in inventory.parents:
        parents.setdefault(parent.card, []).append(parent)
    return {
        address: replace(
            inventory,
            parents=tuple(on_card),
            devices=tuple(device for parent in on_card for device in inventory.devices_on(parent.address)),
        )
        for address, on_card in parents.items()
    }


def _sliced_card(
    address: str,
    parents: tuple[Parent, ...],
    card: Optional[Card],
    inventory: Inventory,
    by_parent: dict[str, list[State]],
) -> SlicedCard:
    first = parents[0]
    return SlicedCard(
        address=address,
        driver=card.driver if card is not None and card.driver else first.driver,
        numa_node=first.numa_node,
        vfs=card.vfs if card is not None else first.vfs,
        framework=first.framework,
        parents=parents,
        states=tuple(state for parent in parents for state in by_parent.get(parent.address, ())),
        room=room_on(parents, inventory),
        modes=inventory.modes(address),
        ids=card.ids if card is not None else None,
        function_ids=card.function_ids if card is not None else None,
    )


def bare_cards(inventory: Inventory, hardware: Hardware) -> tuple[SlicedCard, ...]:
    """The cards of the host with SR-IOV that offer nothing now."""
    offering = {parent.card for parent in inventory.parents}
    return tuple(
        SlicedCard(
            card.address,
            card.driver,
            card.numa_node,
            card.vfs,
            modes=inventory.modes(card.address),
            ids=card.ids,
        )
        for card in hardware.cards
        if card.address not in offering and not card.is_vf and card.vfs_total
    )
