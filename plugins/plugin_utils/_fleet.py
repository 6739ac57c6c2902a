# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a report on a fleet, and how the numbers in them are added up. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from ansible_collections.vfio.mdev.plugins.module_utils._info.counts import Use


@dataclass(frozen=True)
class Usage:
    """Devices in the kernel by their use, and the number of devices that would still fit.

    unknown:   devices whose use nobody could determine: neither in use nor idle
    room:      None if no driver reports it
    unlimited: whether any number would fit. room does not count these
    shares:    percentages of all four numbers together
    """

    in_use: int
    unknown: int
    idle: int
    room: Optional[int]
    unlimited: bool
    in_use_share: float
    unknown_share: float
    idle_share: float


@dataclass(frozen=True)
class TypeUsage:
    """A type on one card or host."""

    id: str
    name: Optional[str]
    defined: int
    usage: Usage


@dataclass(frozen=True)
class CardRow:
    """A card with all its functions. types: those with devices or with room. framework: None if it offers nothing."""

    address: str
    driver: Optional[str]
    numa_node: Optional[int]
    framework: Optional[str]
    functions: Optional[str]
    parents: int
    defined: int
    usage: Usage
    types: tuple[TypeUsage, ...]
    full_types: int


@dataclass(frozen=True)
class DeviceRow:
    """A device. name: its UUID, or its parent's address if its framework has no UUIDs."""

    name: str
    parent: str
    type: str
    states: tuple[str, ...]
    attributes: tuple[str, ...]
    users: tuple[str, ...]
    use_unknown: bool
    drifted: bool


@dataclass(frozen=True)
class UserRow:
    """A process that uses devices. guest is None if it is not a guest. devices: their number by type."""

    host: str
    guest: Optional[str]
    process: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class DriftRow:
    """A difference between a host and its definitions."""

    host: str
    device: str
    parent: str
    field: str
    wanted: str
    actual: str


@dataclass(frozen=True)
class Note:
    """Something that an operator must know about hosts. problem: whether it needs attention."""

    hosts: tuple[str, ...]
    category: str
    text: str
    problem: bool


@dataclass(frozen=True)
class HostType:
    """A type on one host."""

    host: str
    defined: int
    usage: Usage


@dataclass(frozen=True)
class TypeRow:
    """A type across the fleet. hosts: those with devices or with room. full_hosts: the number of the others."""

    id: str
    name: Optional[str]
    device_api: Optional[str]
    defined: int
    usage: Usage
    hosts: tuple[HostType, ...]
    full_hosts: int


@dataclass(frozen=True)
class HostRow:
    """A host. state: whether it answered. framework is None if it did not."""

    name: str
    state: str
    framework: Optional[str]
    usage: Usage
    defined: int
    drifted: int
    orphaned: int
    problems: int
    cards: tuple[CardRow, ...]
    types: tuple[TypeUsage, ...]
    devices: tuple[DeviceRow, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Totals:
    """The fleet in numbers. problems counts hosts that need attention. Room is not added up: types differ."""

    hosts: int
    answered: int
    cards: int
    cards_with_room: int
    functions: int
    active: int
    in_use: int
    unknown: int
    idle: int
    defined: int
    autostart: int
    drifted: int
    orphaned: int
    problems: int


@dataclass(frozen=True)
class Fleet:
    """The content of the page."""

    totals: Totals
    hosts: tuple[HostRow, ...]
    types: tuple[TypeRow, ...]
    users: tuple[UserRow, ...]
    drift: tuple[DriftRow, ...]
    notes: tuple[Note, ...]


def usage_of(use: Use, room: Optional[int], unlimited: bool = False) -> Usage:
    """These numbers, with their shares."""
    limited = None if unlimited else room
    total = use.active + (limited or 0)
    shares = [round(100 * part / total, 2) if total else 0.0 for part in (use.in_use, use.unknown, use.idle)]
    return Usage(use.in_use, use.unknown, use.idle, limited, unlimited, *shares)


def sum_of_usages(usages: Iterable[Usage]) -> Usage:
    """All of them together."""
    summands = tuple(usages)
    use = Use(
        in_use=sum(usage.in_use for usage in summands),
        unknown=sum(usage.unknown for usage in summands),
        idle=sum(usage.idle for usage in summands),
    )
    return usage_of(use, sum_of_rooms(usage.room for usage in summands), any(usage.unlimited for usage in summands))


def sum_of_rooms(rooms: Iterable[Optional[int]]) -> Optional[int]:
    """The sum of those that are known, None if none is."""
    known = [room for room in rooms if room is not None]
    return sum(known) if known else None


def totals_of(hosts: Iterable[HostRow], answered: int, autostart: int) -> Totals:
    """The fleet in numbers: those that the rows of hosts have, and those that must be counted in the answers."""
    rows = tuple(hosts)
    cards = [card for host in rows for card in host.cards]
    use = sum_of_usages(host.usage for host in rows)
    return Totals(
        hosts=len(rows),
        answered=answered,
        cards=len(cards),
        cards_with_room=sum(bool(card.usage.room or card.usage.unlimited) for card in cards),
        functions=sum(card.parents for card in cards if card.functions),
        active=use.in_use + use.unknown + use.idle,
        in_use=use.in_use,
        unknown=use.unknown,
        idle=use.idle,
        defined=sum(host.defined for host in rows),
        autostart=autostart,
        drifted=sum(host.drifted for host in rows),
        orphaned=sum(host.orphaned for host in rows),
        problems=sum(host.problems > 0 for host in rows),
    )
