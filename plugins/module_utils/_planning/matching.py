# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which parents, types and devices of a host a request refers to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Optional

from .._model.addresses import address_key
from .._model.errors import Ambiguous, FileError, InvalidInput, NotFound, did_you_mean
from .._model.identity import UuidNamespace
from .._model.inventory import Definition, Inventory, Parent, Type
from .._model.request import DeviceRequest


@dataclass(frozen=True)
class ResolvedRequest:
    """A request with its names resolved, each once and only if it is needed. Raises NotFound or Ambiguous then."""

    request: DeviceRequest
    inventory: Inventory

    @cached_property
    def parents(self) -> tuple[Parent, ...]:
        """The candidates, in address order."""
        return candidates(self.request.parents, self.inventory, self.request.excluded)

    @cached_property
    def types(self) -> dict[str, Type]:
        """The type on each candidate that has it, by the parent's address."""
        return types_on(self.request.type or "", self.parents)

    @cached_property
    def named_parents(self) -> dict[str, Parent]:
        """The parents that the request names, also those that it excludes for new devices, by address."""
        named = candidates(self.request.parents, self.inventory)
        return {parent.address: parent for parent in named}

    @cached_property
    def named_types(self) -> dict[str, Type]:
        """The type on each named parent that has it, by the parent's address."""
        return types_on(self.request.type or "", tuple(self.named_parents.values()))


def refuse_unknown(request: DeviceRequest, definitions: Sequence[Definition], inventory: Inventory) -> None:
    """Refuses the removal of a device that may exist, although no device can be read there."""
    places = {*request.parents, *(definition.parent for definition in definitions)}
    for parent in inventory.parents:
        if parent.is_unknown and parent.address in places:
            raise FileError(
                f"whether {parent.address} has a device can't be read, so nothing can be removed there. Nothing was "
                "changed. The list of unread files of module vfio.mdev.mdev_info shows the reason",
                parent=parent.address,
            )


def candidates(requested: tuple[str, ...], inventory: Inventory, excluded: tuple[str, ...] = ()) -> tuple[Parent, ...]:
    """The matching parents in address order, without the excluded ones. An empty request matches all parents.

    If the virtual functions of a PCI card are parents, the card's address stands for all of them.
    """
    if not inventory.parents:
        raise NotFound(
            "this host has no parents of mediated devices. The hints of module vfio.mdev.mdev_info explain why",
            parents=[],
        )
    left_out = _named(excluded, inventory)
    named = _named(requested, inventory) if requested else {parent.address: parent for parent in inventory.parents}
    matching = tuple(parent for address, parent in named.items() if address not in left_out)
    if not matching:
        raise NotFound(
            f"exclude_parents excludes every requested parent ({_addresses(tuple(named.values()))})", parents=[]
        )
    return tuple(sorted(matching, key=lambda parent: address_key(parent.address)))


def _named(names: tuple[str, ...], inventory: Inventory) -> dict[str, Parent]:
    """The named parents by address. A name that no parent has is an error, even if it should be excluded."""
    parents: dict[str, Parent] = {}
    for name in names:
        matching = inventory.parents_named(name)
        if not matching:
            raise NotFound(
                f"this host has no mdev parent '{name}'.{did_you_mean(name, _parent_names(inventory))} "
                f"Parents here: {_addresses(inventory.parents)}. "
                "The parent's driver may not be loaded, or its virtual functions may not be enabled",
                parent=name,
                parents=[parent.address for parent in inventory.parents],
            )
        parents.update((parent.address, parent) for parent in matching)
    return parents


def types_on(requested: str, parents: tuple[Parent, ...]) -> dict[str, Type]:
    """The type on each of the parents that has it, by the parent's address.

    requested is an id or an exact name. A name that stands for several ids is an error: ids and names come from the
    driver, and guessing could choose the wrong type.
    """
    by_id = {parent.address: parent.type(requested) for parent in parents}
    types = {address: mdev_type for address, mdev_type in by_id.items() if mdev_type is not None}
    if types:
        return types
    named = [
        (parent.address, mdev_type) for parent in parents for mdev_type in parent.types if mdev_type.name == requested
    ]
    ids = sorted({mdev_type.id for _address, mdev_type in named}, key=address_key)
    if len(ids) > 1:
        places = "; ".join(f"{mdev_type.id} on {address}" for address, mdev_type in named)
        raise Ambiguous(
            f"type name '{requested}' stands for several types here: {places}. Give the id instead",
            type=requested,
            types=ids,
        )
    if not named:
        raise NotFound(
            f"no requested parent offers type '{requested}' (neither as id nor as exact name)."
            f"{did_you_mean(requested, _type_names(parents))} "
            f"Types there: {_types_text(parents)}{_hidden_text(parents)}",
            type=requested,
            parents=[parent.address for parent in parents],
        )
    return dict(named)


def identity_key(request: DeviceRequest, inventory: Inventory) -> tuple[str, ...]:
    """The values that the request's UUID is derived from: its name, or the ids of its type and parent on this host.

    So "NVIDIA A100-8C" and "nvidia-471" are the same request. If the type or parent is missing now, the value in the
    request is used.
    """
    if request.name is not None:
        return ("name", request.name)
    parent = request.parents[0] if len(request.parents) == 1 else ""
    named = inventory.parents_named(parent) if parent else inventory.parents
    if parent and len(named) == 1 and named[0].physical_function != parent:
        parent = named[0].address
    return ("request", _type_id(request, named, inventory), parent)


def _type_id(request: DeviceRequest, parents: tuple[Parent, ...], inventory: Inventory) -> str:
    requested = request.type or ""
    try:
        return next(iter(types_on(requested, parents).values())).id
    except Ambiguous:
        if request.present:
            # The planner reports this, with the name of the entry.
            return requested
        raise
    except NotFound:
        missing = sorted({definition.parent for definition in inventory.definitions} - set(_all_addresses(inventory)))
        if request.present or not missing or any(stored.type_id == requested for stored in inventory.definitions):
            return requested
        raise NotFound(
            f"type '{requested}' is not available on this host now, and devices are defined on parents that are "
            f"missing: {', '.join(missing)}. Nothing was removed. Give the type's id instead of its name, "
            "or the device's uuid",
            type=requested,
            parents=missing,
        ) from None


def identify(
    requests: Sequence[DeviceRequest], namespace: Optional[UuidNamespace], inventory: Inventory
) -> list[DeviceRequest]:
    """The requests with their keys. namespace: for derived UUIDs; None if no request needs one."""
    keyed = [
        replace(request, key=namespace.uuid(identity_key(request, inventory), request.index))
        if request.is_derived and namespace is not None
        else request
        for request in requests
    ]
    return match_existing(keyed, inventory)


def match_existing(requests: Sequence[DeviceRequest], inventory: Inventory) -> list[DeviceRequest]:
    """The requests, with keys for those that name an existing device in another way. Each must identify one device."""
    matched = list(requests)
    for framework in sorted(inventory.frameworks, key=lambda framework: framework.name):
        matched = framework.match_existing(matched, inventory)
    for request in matched:
        if not request.key:
            parent = request.parents[0] if request.parents else ""
            raise InvalidInput(
                f"the request does not identify a device on '{parent}': give uuid, name or type. A parent alone is "
                "enough only if it is a virtual function under NVIDIA's vendor VFIO framework, and this host has no "
                "such function with this name",
                parent=parent,
            )
    return matched


def _all_addresses(inventory: Inventory) -> list[str]:
    return [parent.address for parent in inventory.parents]


def _parent_names(inventory: Inventory) -> list[Optional[str]]:
    """All names that a parent can be given by."""
    return [name for parent in inventory.parents for name in (parent.address, parent.physical_function, parent.nodedev)]


def _type_names(parents: Sequence[Parent]) -> list[Optional[str]]:
    return [name for parent in parents for mdev_type in parent.types for name in (mdev_type.id, mdev_type.name)]


def _addresses(parents: Sequence[Parent]) -> str:
    return ", ".join(parent.address for parent in parents) or "none"


def _hidden_text(parents: tuple[Parent, ...]) -> str:
    reasons = {parent.framework.hidden_types for parent in parents if parent.framework.hidden_types}
    return "".join(f". {reason}" for reason in sorted(reasons))


def _types_text(parents: tuple[Parent, ...]) -> str:
    types = {mdev_type.id: mdev_type for parent in parents for mdev_type in parent.types}
    texts = [
        f"{mdev_type.id} ('{mdev_type.name}')" if mdev_type.name and mdev_type.name != mdev_type.id else mdev_type.id
        for mdev_type in sorted(types.values(), key=lambda mdev_type: address_key(mdev_type.id))
    ]
    return ", ".join(texts) or "none"
