# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host in a few lines for people: one for each card, one with totals, one for each thing that is wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .._model.addresses import pci_address
from .._model.device_state import State
from .._model.inventory import Drift, Inventory
from .cards import SlicedCard
from .room import Room, add_room

# More types than these are only counted.
_MOST_TYPES = 5
_MOST_NAMES = 3

_NO_MATCH = "No card of this host matches the filters."

TypeNames = Mapping[str, str]


def summary(
    cards: Sequence[SlicedCard],
    inventory: Inventory,
    drift: Mapping[State, Sequence[Drift]],
    problems: Sequence[str],
    users_read: bool,
) -> list[str]:
    """The lines. drift: how devices differ from their definitions. users_read: whether somebody looked for users."""
    names = {mdev_type.id: mdev_type.name or mdev_type.id for parent in inventory.parents for mdev_type in parent.types}
    unlimited = frozenset(
        mdev_type.id
        for parent in inventory.parents
        for mdev_type in parent.types
        if not parent.framework.is_limited(mdev_type)
    )
    lines = [_card_line(card, names, unlimited, users_read) for card in cards]
    return [
        *(lines or [_NO_MATCH if inventory.parents else "No card offers mediated devices or vGPUs."]),
        _totals(cards, names, unlimited, users_read),
        *_wrong(inventory, drift, problems),
    ]


def _card_line(card: SlicedCard, names: TypeNames, unlimited: frozenset[str], users_read: bool) -> str:
    framework = f" ({card.framework.name})" if card.framework is not None else ""
    driver = card.driver or ("no driver" if pci_address(card.address) else "virtual")
    facts = [f"{driver}{framework}"]
    if card.numa_node is not None:
        facts.append(f"NUMA node {card.numa_node}")
    if card.vfs is not None:
        facts.append(f"{card.vfs.enabled} of {card.vfs.total} functions")
    elif len(card.parents) > 1:
        facts.append(f"{len(card.parents)} functions")
    facts += _device_facts(card, names, users_read)
    facts.append(_room_text(card.room, names, unlimited) if card.room is not None else "offers nothing")
    return f"{card.address}: {', '.join(facts)}"


def _device_facts(card: SlicedCard, names: TypeNames, users_read: bool) -> list[str]:
    facts = [
        f"{count.active} x {names.get(count.type_id, count.type_id)}"
        if count.type_id
        else f"{count.active} half removed"
        for count in card.counts
        if count.active
    ]
    if facts:
        facts[-1] += f" ({_use_text([card], users_read)})"
    stored = sum(state.device is None for state in card.states)
    return [*facts, f"{stored} defined but not active"] if stored else facts


def _use_text(cards: Sequence[SlicedCard], users_read: bool) -> str:
    if not users_read:
        return "use not read"
    numbers = (
        (sum(card.in_use for card in cards), "in use"),
        (sum(card.idle for card in cards), "idle"),
        (sum(card.use_unknown for card in cards), "use unknown"),
    )
    return ", ".join(f"{number} {text}" for number, text in numbers if number)


def _room_text(room: Room, names: TypeNames, unlimited: frozenset[str]) -> str:
    """What still fits, the type that fits most often first."""
    fitting = sorted(((count, type_id) for type_id, count in room.items() if count), key=lambda fit: (-fit[0], fit[1]))
    if not fitting:
        is_known = all(count is not None for count in room.values())
        return "full" if room and is_known else "room unknown" if room else "no types"
    texts = [
        f"any number of {names[type_id]}" if type_id in unlimited else f"{count} x {names[type_id]}"
        for count, type_id in fitting[:_MOST_TYPES]
    ]
    others = len(fitting) - len(texts)
    more = [f"{others} more type{'s' if others > 1 else ''}"] if others else []
    return f"room for {' or '.join((*texts, *more))}"


def _totals(cards: Sequence[SlicedCard], names: TypeNames, unlimited: frozenset[str], users_read: bool) -> str:
    active = sum(len(card.devices) for card in cards)
    defined = sum(state.definition is not None for card in cards for state in card.states)
    use = f" ({_use_text(cards, users_read)})" if active else ""
    facts = [_number(len(cards), "card"), f"{_number(active, 'device')} active{use}", f"{defined} defined"]
    rooms = [card.room for card in cards if card.room is not None]
    if rooms:
        total = {type_id: add_room([room.get(type_id) for room in rooms]) for room in rooms for type_id in room}
        facts.append(_room_text(total, names, unlimited))
    return f"Total: {', '.join(facts)}"


def _wrong(inventory: Inventory, drift: Mapping[State, Sequence[Drift]], problems: Sequence[str]) -> Iterator[str]:
    yield from problems
    for state, differing in drift.items():
        differences = "; ".join(f"{part.field} is {part.actual} instead of {part.wanted}" for part in differing)
        if differences:
            yield f"Drift of {state.framework.label(state.id)} on {state.parent}: {differences}."
    if inventory.unread:
        names = [f"{unread.path} ({unread.error})" for unread in inventory.unread]
        others = len(names) - _MOST_NAMES
        more = f" and {others} more" if others > 0 else ""
        yield f"Could not be read: {', '.join(names[:_MOST_NAMES])}{more}."


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
