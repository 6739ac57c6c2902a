# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which devices of a host belong to the entries of a set, and which devices should be removed. Pure.

There is no record of a set's devices: their UUIDs are derived, so they can be calculated and looked up on the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from .._model.errors import InvalidInput
from .._model.identity import UuidNamespace
from .._model.inventory import Inventory
from .._model.request import DeviceRequest
from .matching import identity_key, match_existing
from .unknown import refuse_hidden

# How many devices one entry can have at most. Existing devices are looked up with index numbers below this.
MAX_COUNT = 1024

NONE, OWNED, ALL = "none", "owned", "all"
PURGES = (NONE, OWNED, ALL)


@dataclass(frozen=True)
class SetEntry:
    """One entry of a set: what each of its devices should be, and how many there should be."""

    pattern: DeviceRequest
    count: int = 1


@dataclass(frozen=True)
class SetRequest:
    """The devices that a host should have.

    purge:       which other devices are removed
    skip_in_use: whether devices to be removed can stay while they are in use
    protected:   keys of devices that an open migration record needs: they are neither purged nor removed as surplus
    """

    namespace: UuidNamespace
    entries: tuple[SetEntry, ...]
    purge: str = NONE
    skip_in_use: bool = False
    protected: frozenset[str] = frozenset()


def expand_set(request: SetRequest, inventory: Inventory) -> tuple[DeviceRequest, ...]:
    """All devices of the set, those that should exist and those that should not."""
    if request.purge != NONE or any(entry.pattern.is_derived for entry in request.entries):
        refuse_hidden(inventory, "which devices of the set exist is unknown")
    keys = [identity_key(entry.pattern, inventory) if entry.pattern.is_derived else () for entry in request.entries]
    _refuse_same(request, keys)
    expanded = [
        member
        for entry, key in zip(request.entries, keys)
        for member in (_members(entry, key, request, inventory) if key else [_as_requested(entry.pattern, request)])
    ]
    listed = match_existing(expanded, inventory)
    return (*listed, *_purged(request, inventory, {member.key for member in listed}))


def _refuse_same(request: SetRequest, keys: list[tuple[str, ...]]) -> None:
    """Refuse two entries that stand for the same devices."""
    labels: dict[tuple[str, ...], str] = {}
    for entry, derived in zip(request.entries, keys):
        label = entry.pattern.label
        key = derived or ("uuid", entry.pattern.key, *entry.pattern.parents)
        if key in labels:
            raise InvalidInput(
                f"{labels[key]} and {label} stand for the same devices. Give them different names, "
                "or replace them with one entry that has a higher count",
                entries=[labels[key], label],
            )
        labels[key] = label


def _members(
    entry: SetEntry, key: tuple[str, ...], request: SetRequest, inventory: Inventory
) -> Iterator[DeviceRequest]:
    """The entry's devices. Existing devices keep their index, new devices get the first free ones."""
    existing = _existing(key, request.namespace, inventory)
    kept = _kept(existing, entry, inventory)
    free = (index for index in range(MAX_COUNT + len(existing)) if index not in existing)
    new = set(islice(free, max(0, _count(entry) - len(kept))))
    for index in sorted({*existing, *new}):
        uuid = existing.get(index) or request.namespace.uuid(key, index)
        member = replace(entry.pattern, key=uuid, index=index)
        if index in kept or index in new:
            yield member
        elif entry.pattern.present and uuid not in request.protected and _is_proven(uuid, inventory):
            # The entry may have another type or place by now: the UUID shows that the device is the set's.
            yield _removed(DeviceRequest(uuid, label=member.label, index=index), request)
        elif not entry.pattern.present:
            yield _removed(member, request)


def _count(entry: SetEntry) -> int:
    return entry.count if entry.pattern.present else 0


def _existing(key: tuple[str, ...], namespace: UuidNamespace, inventory: Inventory) -> dict[int, str]:
    """The entry's devices on the host, active or defined, by index."""
    own = {uuid for uuid in inventory.keys if namespace.owns(uuid)}
    existing: dict[int, str] = {}
    for index in range(MAX_COUNT):
        if not own:
            break
        uuid = namespace.uuid(key, index)
        if uuid in own:
            own.remove(uuid)
            existing[index] = uuid
    return existing


def _kept(existing: dict[int, str], entry: SetEntry, inventory: Inventory) -> frozenset[int]:
    """The indexes of the devices that stay. The others are removed from the end, unused devices first."""
    ranked = sorted(existing, key=lambda index: (not _in_use(existing[index], inventory), index))
    return frozenset(ranked[: _count(entry)])


def _in_use(key: str, inventory: Inventory) -> bool:
    device = inventory.device(key)
    # Unknown is not unused.
    return device is not None and (device.removing or device.users is None or bool(device.users))


def _is_proven(key: str, inventory: Inventory) -> bool:
    """Whether the device with this key is the one that was created with it, if there is one."""
    device = inventory.device(key)
    return device is None or device.proven


def _as_requested(request: DeviceRequest, set_request: SetRequest) -> DeviceRequest:
    return request if request.present else replace(request, skip_in_use=set_request.skip_in_use)


def _removed(request: DeviceRequest, set_request: SetRequest) -> DeviceRequest:
    return replace(request, active=False, persistent=False, autostart=False, skip_in_use=set_request.skip_in_use)


def _purged(request: SetRequest, inventory: Inventory, listed: set[str]) -> Iterator[DeviceRequest]:
    # The planner refuses these: what a definition of the set's own that can't be read would start is unknown.
    unreadable = {broken.key for broken in inventory.broken if request.namespace.owns(broken.key)}
    for key in sorted((inventory.keys | unreadable) - listed - request.protected):
        owned = request.namespace.owns(key) and _is_proven(key, inventory)
        if request.purge == ALL or (request.purge == OWNED and owned):
            yield _removed(DeviceRequest(key, label=f"purge: {request.purge}"), request)
