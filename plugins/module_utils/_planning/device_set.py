# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which devices the entries of a set mean on a host, and which devices are to go. Pure.

Nothing is recorded: the UUIDs of a set are derived, so they are computed and looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Optional

from .._frameworks.vendor_vfio.rules import identified
from .._model.errors import InvalidInput
from .._model.identity import Owner
from .._model.inventory import Inventory
from .._model.request import Wanted

# How many devices one entry may have, and so how far their numbers are looked for.
MOST = 1024

NONE, OWNED, ALL = "none", "owned", "all"
PURGES = (NONE, OWNED, ALL)


@dataclass(frozen=True)
class Entry:
    """One entry of a set.

    pattern: its device; the UUID is empty where it is derived
    name:    as given
    key:     what UUIDs are derived from; empty where the UUID is given
    count:   how many devices there are to be
    """

    pattern: Wanted
    name: Optional[str] = None
    key: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True)
class SetRequest:
    """What a host is to hold. purge: what else is removed; skip_in_use: whether devices in use may stay then."""

    owner: Owner
    entries: tuple[Entry, ...]
    purge: str = NONE
    skip_in_use: bool = False


def check_entries(request: SetRequest) -> None:
    """Refuses what can't be right on any host: two entries that mean the same devices."""
    seen: dict[tuple[str, ...], str] = {}
    for entry in request.entries:
        label = entry.pattern.label
        key = entry.key or ("uuid", entry.pattern.uuid, *entry.pattern.parents)
        if key in seen:
            raise InvalidInput(
                f"{seen[key]} and {label} mean the same devices: give them different names, "
                "or one of them a greater count",
                entries=[seen[key], label],
            )
        seen[key] = label


def members(request: SetRequest, inventory: Inventory) -> tuple[Wanted, ...]:
    """All devices of the set, those that are to be there and those that are to go."""
    listed = identified([one for entry in request.entries for one in _members_of(entry, request, inventory)], inventory)
    return (*listed, *_purged(request, inventory, {one.uuid for one in listed}))


def _members_of(entry: Entry, request: SetRequest, inventory: Inventory) -> Iterator[Wanted]:
    if not entry.key:
        yield _as_asked(entry.pattern, request)
        return
    there = _numbers_there(entry, request.owner, inventory)
    kept = _kept(there, entry, inventory)
    free = (index for index in range(MOST + len(there)) if index not in there)
    new = set(islice(free, max(0, _count(entry) - len(kept))))
    for index in sorted({*there, *new}):
        one = replace(entry.pattern, uuid=there.get(index) or request.owner.uuid(entry.key, index), index=index)
        yield one if index in kept or index in new else _gone(one, request)


def _count(entry: Entry) -> int:
    return entry.count if entry.pattern.present else 0


def _numbers_there(entry: Entry, owner: Owner, inventory: Inventory) -> dict[int, str]:
    """The entry's devices on the host, active or defined, by their numbers."""
    mine = {uuid for uuid in _uuids(inventory) if owner.owns(uuid)}
    found: dict[int, str] = {}
    for index in range(MOST):
        if not mine:
            break
        uuid = owner.uuid(entry.key, index)
        if uuid in mine:
            mine.remove(uuid)
            found[index] = uuid
    return found


def _kept(there: dict[int, str], entry: Entry, inventory: Inventory) -> frozenset[int]:
    """Which of the devices stay: the others go from the end, unused ones first."""
    ranked = sorted(there, key=lambda index: (not _in_use(there[index], inventory), index))
    return frozenset(ranked[: _count(entry)])


def _in_use(uuid: str, inventory: Inventory) -> bool:
    device = inventory.device(uuid)
    return device is not None and (device.removing or bool(device.users))


def _as_asked(wanted: Wanted, request: SetRequest) -> Wanted:
    return wanted if wanted.present else replace(wanted, skip_in_use=request.skip_in_use)


def _gone(wanted: Wanted, request: SetRequest) -> Wanted:
    return replace(wanted, active=False, persistent=False, autostart=False, skip_in_use=request.skip_in_use)


def _purged(request: SetRequest, inventory: Inventory, listed: set[str]) -> Iterator[Wanted]:
    for uuid in sorted(_uuids(inventory) - listed):
        if request.purge == ALL or (request.purge == OWNED and request.owner.owns(uuid)):
            yield _gone(Wanted(uuid, label=f"purge: {request.purge}"), request)


def _uuids(inventory: Inventory) -> set[str]:
    return {one.uuid for one in inventory.devices} | {one.uuid for one in inventory.definitions}
