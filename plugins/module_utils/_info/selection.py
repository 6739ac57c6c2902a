# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Selects the part of an inventory that the filters of mdev_info match. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Optional

from .._model.device_state import State, states
from .._model.errors import did_you_mean
from .._model.inventory import Inventory, Parent, Type


@dataclass(frozen=True)
class Selection:
    """The selected parents, devices and definitions.

    counted:   the inventory that totals are counted in, so that filters by type or UUID do not change them
    unmatched: a sentence for each filter without a match
    """

    counted: Inventory
    parents: tuple[Parent, ...]
    states: tuple[State, ...]
    unmatched: tuple[str, ...]


def select(inventory: Inventory, parents: tuple[str, ...], types: tuple[str, ...], uuids: tuple[str, ...]) -> Selection:
    """The parents, types and devices that match all filters. An empty filter matches everything.

    Types are named by id or exact name, parents in the same ways as everywhere.
    """
    counted = _on_parents(inventory, parents)
    shown = counted.parents
    if types:
        shown = tuple(
            replace(parent, types=tuple(mdev_type for mdev_type in parent.types if _matches(mdev_type, types)))
            for parent in shown
        )
        shown = tuple(parent for parent in shown if parent.types)
    ids = {mdev_type.id for parent in shown for mdev_type in parent.types}.union(types)
    matching = tuple(
        state for state in states(counted) if (not types or state.type_id in ids) and (not uuids or state.id in uuids)
    )
    if uuids:
        used_parents = {state.parent for state in matching}
        shown = tuple(parent for parent in shown if parent.address in used_parents)
    return Selection(counted, shown, matching, _unmatched(inventory, parents, types, uuids))


def _on_parents(inventory: Inventory, names: tuple[str, ...]) -> Inventory:
    """The part of the inventory on the named parents. A definition's parent can be missing: its name is used as is."""
    if not names:
        return inventory
    addresses = {parent.address for name in names for parent in inventory.parents_named(name)}.union(names)
    return replace(
        inventory,
        parents=tuple(parent for parent in inventory.parents if parent.address in addresses),
        devices=tuple(device for device in inventory.devices if device.parent in addresses),
        definitions=tuple(definition for definition in inventory.definitions if definition.parent in addresses),
    )


def _matches(mdev_type: Type, names: tuple[str, ...]) -> bool:
    return mdev_type.id in names or mdev_type.name in names


def _unmatched(
    inventory: Inventory, parents: tuple[str, ...], types: tuple[str, ...], uuids: tuple[str, ...]
) -> tuple[str, ...]:
    offered = [
        name for parent in inventory.parents for mdev_type in parent.types for name in (mdev_type.id, mdev_type.name)
    ]
    known = {device.id for device in inventory.devices} | {definition.id for definition in inventory.definitions}
    defined_parents = {definition.parent for definition in inventory.definitions}
    defined_types = {definition.type_id for definition in inventory.definitions}
    addresses = [name for parent in inventory.parents for name in (parent.address, parent.physical_function)]
    return (
        tuple(
            _filter_text("parent", name, addresses)
            for name in parents
            if name not in defined_parents and not inventory.parents_named(name)
        )
        + tuple(
            _filter_text("type", name, offered) for name in types if name not in defined_types and name not in offered
        )
        + tuple(_filter_text("device", uuid, ()) for uuid in uuids if uuid not in known)
    )


def _filter_text(what: str, name: str, known: Iterable[Optional[str]]) -> str:
    return f"Nothing on this host matches {what} '{name}'.{did_you_mean(name, known)}"
