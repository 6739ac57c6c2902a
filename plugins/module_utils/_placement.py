# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which parent a device goes to. Pure: the same inventory and request always give the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ._address import address_key
from ._errors import Ambiguous, NoRoom, NotFound
from ._model import Inventory, Parent, Type

# Of a parent that would do as well.
_COMES_LATER = "comes after the chosen parent in address order"


@dataclass(frozen=True)
class Choice:
    """A parent that can take the device, and the type there."""

    parent: Parent
    type: Type


@dataclass(frozen=True)
class Rejection:
    """A parent that was passed over, and why, in words."""

    parent: str
    reason: str


@dataclass(frozen=True)
class Placement:
    """Where the device goes: the first choice, the others as replacements in order; who was passed over."""

    choices: tuple[Choice, ...]
    rejected: tuple[Rejection, ...]


def candidates(asked: tuple[str, ...], inventory: Inventory) -> tuple[Parent, ...]:
    """The parents that are meant, in address order. Nothing asked means all.

    A PCI card whose virtual functions are the parents stands for all of these.
    """
    if not inventory.parents:
        raise NotFound(
            "this host has no parent of mediated devices at all. Module vfio.mdev.mdev_info says why, in its hints",
            parents=[],
        )
    if not asked:
        return inventory.parents
    found: dict[str, Parent] = {}
    for name in asked:
        meant = parents_meant(name, inventory)
        if not meant:
            raise NotFound(
                f"this host has no mdev parent '{name}'. Parents here: {_names(inventory.parents)}. "
                "The parent's driver may not be loaded, or its virtual functions not be enabled",
                parent=name,
                parents=[one.address for one in inventory.parents],
            )
        found.update((one.address, one) for one in meant)
    return tuple(sorted(found.values(), key=lambda one: address_key(one.address)))


def parents_meant(name: str, inventory: Inventory) -> tuple[Parent, ...]:
    """The parent with this sysfs or node device name, or the virtual functions of the card with this address."""
    named = tuple(one for one in inventory.parents if name in (one.address, one.nodedev))
    return named or tuple(one for one in inventory.parents if one.physical_function == name)


def types_meant(asked: str, parents: tuple[Parent, ...]) -> dict[str, Type]:
    """The type on each of the parents that has it, by the parent's address.

    asked is an id or an exact name. A name that stands for several ids is an error: ids and names come from the
    driver, and nothing here guesses which one is meant.
    """
    by_id = {one.address: one.type(asked) for one in parents}
    found = {address: kind for address, kind in by_id.items() if kind is not None}
    if found:
        return found
    named = [(one.address, kind) for one in parents for kind in one.types if kind.name == asked]
    ids = sorted({kind.id for _address, kind in named}, key=address_key)
    if len(ids) > 1:
        where = "; ".join(f"{kind.id} on {address}" for address, kind in named)
        raise Ambiguous(
            f"type name '{asked}' stands for several types here: {where}. Give the id instead", type=asked, types=ids
        )
    if not named:
        raise NotFound(
            f"no parent asked for offers type '{asked}' (neither as id nor as exact name). "
            f"Types there: {_types_text(parents)}",
            type=asked,
            parents=[one.address for one in parents],
        )
    return dict(named)


def place_first(
    asked: str, parents: tuple[Parent, ...], freed: Optional[str] = None, needs_room: bool = True
) -> Placement:
    """The first parent in address order that has room.

    freed:      the parent on which a device is removed just before; its room is not known yet, so it counts as some
    needs_room: False for a device that is only defined, not started: then the first that offers the type
    """
    kinds = types_meant(asked, parents)
    choices: list[Choice] = []
    rejected: list[Rejection] = []
    for parent in parents:
        kind = kinds.get(parent.address)
        reason = _why_not(parent, kind, asked, needs_room and parent.address != freed)
        if kind is None or reason:
            rejected.append(Rejection(parent.address, reason))
            continue
        if choices:
            rejected.append(Rejection(parent.address, _COMES_LATER))
        choices.append(Choice(parent, kind))
    if not choices:
        raise no_room(asked, tuple(rejected))
    return Placement(tuple(choices), tuple(rejected))


def no_room(asked: str, rejected: tuple[Rejection, ...]) -> NoRoom:
    """Says of each candidate what it has left."""
    each = "; ".join(f"{one.parent}: {one.reason}" for one in rejected)
    return NoRoom(
        f"no room for a device of type '{asked}'. {each}",
        type=asked,
        rejected_parents=rejection_facts(rejected),
    )


def rejected_in_the_end(
    planned: tuple[Rejection, ...], full: tuple[Rejection, ...], chosen: str
) -> tuple[Rejection, ...]:
    """What was passed over once the device is made. What turned out full is told instead of what was planned for it."""
    known = {one.parent for one in full} | {chosen}
    kept = (*full, *(one for one in planned if one.parent not in known))
    return tuple(sorted(kept, key=lambda one: address_key(one.parent)))


def rejection_facts(rejected: tuple[Rejection, ...]) -> list[dict[str, object]]:
    """Why other parents were passed over, as results show it."""
    return [{"parent": one.parent, "reason": one.reason} for one in rejected]


def _why_not(parent: Parent, kind: Optional[Type], asked: str, needs_room: bool) -> str:
    if kind is None:
        return f"does not offer type '{asked}'"
    if not needs_room:
        return ""
    if kind.available_instances is None:
        return f"available_instances of {kind.id} could not be read"
    if kind.available_instances < 1:
        left = [f"{one.available_instances} of {one.id}" for one in parent.types if one.available_instances]
        return f"has 0 of {kind.id} left" + (f" (but {', '.join(left)})" if left else " and nothing of any other type")
    return ""


def _names(parents: tuple[Parent, ...]) -> str:
    return ", ".join(one.address for one in parents) or "none"


def _types_text(parents: tuple[Parent, ...]) -> str:
    kinds = {kind.id: kind for parent in parents for kind in parent.types}
    words = [
        f"{one.id} ('{one.name}')" if one.name and one.name != one.id else one.id
        for one in sorted(kinds.values(), key=lambda one: address_key(one.id))
    ]
    return ", ".join(words) or "none"
