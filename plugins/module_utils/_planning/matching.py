# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which parents and types a name means on a host. Pure."""

from __future__ import annotations

from .._model.addresses import address_key
from .._model.errors import Ambiguous, NotFound
from .._model.inventory import Inventory, Parent, Type


def candidates(asked: tuple[str, ...], inventory: Inventory, excluded: tuple[str, ...] = ()) -> tuple[Parent, ...]:
    """The parents that are meant, in address order. Nothing asked means all; those excluded are taken out.

    A PCI card whose virtual functions are the parents stands for all of these.
    """
    if not inventory.parents:
        raise NotFound(
            "this host has no parent of mediated devices at all. Module vfio.mdev.mdev_info says why, in its hints",
            parents=[],
        )
    left_out = _named(excluded, inventory)
    found = _named(asked, inventory) if asked else {one.address: one for one in inventory.parents}
    meant = tuple(one for address, one in found.items() if address not in left_out)
    if not meant:
        raise NotFound(
            f"no parent is left to choose from: all that were asked for ({_names(tuple(found.values()))}) are excluded",
            parents=[],
        )
    return tuple(sorted(meant, key=lambda one: address_key(one.address)))


def _named(names: tuple[str, ...], inventory: Inventory) -> dict[str, Parent]:
    """The parents by their addresses. A name that none has is an error, also among those excluded."""
    found: dict[str, Parent] = {}
    for name in names:
        meant = parents_meant(name, inventory)
        if not meant:
            raise NotFound(
                f"this host has no mdev parent '{name}'. Parents here: {_names(inventory.parents)}. "
                "The parent's driver may not be loaded, or its virtual functions not be enabled",
                parent=name,
                parents=[one.address for one in inventory.parents],
            )
        found.update((one.address, one) for one in meant)
    return found


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


def _names(parents: tuple[Parent, ...]) -> str:
    return ", ".join(one.address for one in parents) or "none"


def _types_text(parents: tuple[Parent, ...]) -> str:
    kinds = {kind.id: kind for parent in parents for kind in parent.types}
    words = [
        f"{one.id} ('{one.name}')" if one.name and one.name != one.id else one.id
        for one in sorted(kinds.values(), key=lambda one: address_key(one.id))
    ]
    return ", ".join(words) or "none"
