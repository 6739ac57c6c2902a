# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a report on a fleet, and how the numbers in them are added up. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Usage:
    """Devices in the kernel, and the number of devices that could still be created.

    room: how many more at most, None if no driver reports it. Shares are percentages of all three numbers together.
    """

    in_use: int
    idle: int
    room: Optional[int]
    in_use_share: float
    idle_share: float


@dataclass(frozen=True)
class ParentType:
    """A type as offered by one parent, or by several identical parents."""

    id: str
    name: Optional[str]
    defined: int
    usage: Usage


@dataclass(frozen=True)
class ParentRow:
    """A parent, or several identical virtual functions of one card. types: those with devices or with room."""

    addresses: tuple[str, ...]
    driver: Optional[str]
    numa_node: Optional[int]
    card: Optional[str]
    vfs: Optional[str]
    defined: int
    usage: Usage
    types: tuple[ParentType, ...]
    types_without_room: int


@dataclass(frozen=True)
class DeviceRow:
    """A device. name: its UUID, or its parent's address if its framework has no UUIDs."""

    name: str
    parent: str
    type: str
    states: tuple[str, ...]
    attributes: tuple[str, ...]
    users: tuple[str, ...]
    drifted: bool


@dataclass(frozen=True)
class UserRow:
    """A process that uses a device. guest is None if the process is not a guest."""

    host: str
    guest: Optional[str]
    process: str
    device: str
    type: str
    parent: str


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
    """Something that an operator must know about a host. problem: whether something is wrong there."""

    host: str
    category: str
    text: str
    problem: bool


@dataclass(frozen=True)
class HostType:
    """A type on one host. parents: the number of parents that offer it there."""

    host: str
    parents: int
    defined: int
    usage: Usage


@dataclass(frozen=True)
class TypeRow:
    """A type across the fleet."""

    id: str
    name: Optional[str]
    device_api: Optional[str]
    parents: int
    defined: int
    usage: Usage
    hosts: tuple[HostType, ...]


@dataclass(frozen=True)
class HostRow:
    """A host. state: whether it answered. framework is None if it did not."""

    name: str
    state: str
    framework: Optional[str]
    usage: Usage
    defined: int
    drifted: int
    problems: int
    parent_count: int
    parents: tuple[ParentRow, ...]
    devices: tuple[DeviceRow, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Totals:
    """The fleet in numbers. drifted counts devices, problems counts hosts. Room is not added up: types differ."""

    hosts: int
    answered: int
    parents: int
    parents_with_room: int
    active: int
    in_use: int
    defined: int
    autostart: int
    drifted: int
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


def usage_of(in_use: int, idle: int, room: Optional[int]) -> Usage:
    """These numbers, with their shares."""
    total = in_use + idle + (room or 0)
    return Usage(in_use, idle, room, _share(in_use, total), _share(idle, total))


def _share(part: int, total: int) -> float:
    return round(100 * part / total, 2) if total else 0.0


def sum_of_usages(usages: Iterable[Usage]) -> Usage:
    """All of them together."""
    summands = tuple(usages)
    return usage_of(
        sum(usage.in_use for usage in summands),
        sum(usage.idle for usage in summands),
        sum_of_rooms(usage.room for usage in summands),
    )


def sum_of_rooms(rooms: Iterable[Optional[int]]) -> Optional[int]:
    """The sum of those that are known, None if none is."""
    known = [room for room in rooms if room is not None]
    return sum(known) if known else None


def totals_of(hosts: Iterable[HostRow], answered: int, parents_with_room: int, autostart: int) -> Totals:
    """The fleet in numbers: those that the rows of hosts have, and those that must be counted in the answers."""
    rows = tuple(hosts)
    return Totals(
        hosts=len(rows),
        answered=answered,
        parents=sum(host.parent_count for host in rows),
        parents_with_room=parents_with_room,
        active=sum(host.usage.in_use + host.usage.idle for host in rows),
        in_use=sum(host.usage.in_use for host in rows),
        defined=sum(host.defined for host in rows),
        autostart=autostart,
        drifted=sum(host.drifted for host in rows),
        problems=sum(host.problems > 0 for host in rows),
    )
