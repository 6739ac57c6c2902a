# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which part of an inventory a question is about. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .._model.device_state import State, states
from .._model.inventory import Inventory, Parent, Type
from .._planning.matching import parents_meant


@dataclass(frozen=True)
class Selection:
    """What to show. counted: what numbers are taken from, so that a filter never makes a count smaller than it is."""

    counted: Inventory
    parents: tuple[Parent, ...]
    states: tuple[State, ...]
    unmatched: tuple[str, ...]


def select(inventory: Inventory, parents: tuple[str, ...], types: tuple[str, ...], uuids: tuple[str, ...]) -> Selection:
    """The parents, types and devices that match all of the filters; an empty filter matches everything.

    A type is meant by id or exact name, a parent as everywhere. unmatched says in words which filters found nothing.
    """
    counted = _on_parents(inventory, parents)
    shown = counted.parents
    if types:
        shown = tuple(replace(one, types=tuple(kind for kind in one.types if _is(kind, types))) for one in shown)
        shown = tuple(one for one in shown if one.types)
    ids = {kind.id for parent in shown for kind in parent.types}.union(types)
    found = tuple(
        one for one in states(counted) if (not types or one.type_id in ids) and (not uuids or one.uuid in uuids)
    )
    if uuids:
        holding = {one.parent for one in found}
        shown = tuple(one for one in shown if one.address in holding)
    return Selection(counted, shown, found, _unmatched(inventory, parents, types, uuids))


def _on_parents(inventory: Inventory, asked: tuple[str, ...]) -> Inventory:
    """A definition may be on a parent that is not there now: its name is then taken as it is."""
    if not asked:
        return inventory
    names = {one.address for name in asked for one in parents_meant(name, inventory)}.union(asked)
    return replace(
        inventory,
        parents=tuple(one for one in inventory.parents if one.address in names),
        devices=tuple(one for one in inventory.devices if one.parent in names),
        definitions=tuple(one for one in inventory.definitions if one.parent in names),
    )


def _is(kind: Type, asked: tuple[str, ...]) -> bool:
    return not asked or kind.id in asked or kind.name in asked


def _unmatched(
    inventory: Inventory, parents: tuple[str, ...], types: tuple[str, ...], uuids: tuple[str, ...]
) -> tuple[str, ...]:
    kinds = [kind for parent in inventory.parents for kind in parent.types]
    known = {one.uuid for one in inventory.devices} | {one.uuid for one in inventory.definitions}
    places = {one.parent for one in inventory.definitions}
    stored = {one.type_id for one in inventory.definitions}
    return (
        tuple(f"parent '{one}'" for one in parents if one not in places and not parents_meant(one, inventory))
        + tuple(f"type '{one}'" for one in types if one not in stored and not any(_is(kind, (one,)) for kind in kinds))
        + tuple(f"device '{one}'" for one in uuids if one not in known)
    )
