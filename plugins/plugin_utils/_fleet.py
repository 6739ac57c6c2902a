# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet as the rows of a report: what mdev_info answered on each host, counted and put in order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Optional

from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import address_key

_STATES = ("active", "removing", "defined", "autostart")

Answer = Mapping[str, Any]
Answers = Mapping[str, Answer]

ANSWERED = "answered"
UNREACHABLE = "unreachable"
FAILED = "failed"


@dataclass(frozen=True)
class Usage:
    """Devices in the kernel beside what could still be made.

    room: how many more at most, None where no driver says so. Shares are percent of all three together.
    """

    in_use: int
    idle: int
    room: Optional[int]
    in_use_share: float
    idle_share: float


@dataclass(frozen=True)
class ParentType:
    """A type as one parent, or several alike, offer it."""

    id: str
    name: Optional[str]
    defined: int
    usage: Usage


@dataclass(frozen=True)
class ParentRow:
    """A parent, or virtual functions of one card that are all alike. types: those that exist there or could."""

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
    """A device. name: its UUID, or its parent's address where the framework gives devices none."""

    name: str
    parent: str
    type: str
    states: tuple[str, ...]
    attributes: tuple[str, ...]
    users: tuple[str, ...]
    drifted: bool


@dataclass(frozen=True)
class UserRow:
    """Who uses which device. guest is None for a process that is no guest."""

    host: str
    guest: Optional[str]
    process: str
    device: str
    type: str
    parent: str


@dataclass(frozen=True)
class DriftRow:
    """Where a host is not as its definitions say."""

    host: str
    device: str
    parent: str
    field: str
    wanted: str
    actual: str


@dataclass(frozen=True)
class Note:
    """Something that an operator has to know of a host. problem: something is wrong there."""

    host: str
    kind: str
    text: str
    problem: bool


@dataclass(frozen=True)
class HostType:
    """A type on one host. parents: how many offer it there."""

    host: str
    parents: int
    defined: int
    usage: Usage


@dataclass(frozen=True)
class TypeRow:
    """A type over the fleet."""

    id: str
    name: Optional[str]
    device_api: Optional[str]
    parents: int
    defined: int
    usage: Usage
    hosts: tuple[HostType, ...]


@dataclass(frozen=True)
class HostRow:
    """A host. state: whether it answered. framework is None where it did not."""

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
    """The fleet in numbers. drifted counts devices, problems hosts. Rooms are not summed up: types are unlike."""

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
    """All that the page shows."""

    totals: Totals
    hosts: tuple[HostRow, ...]
    types: tuple[TypeRow, ...]
    users: tuple[UserRow, ...]
    drift: tuple[DriftRow, ...]
    notes: tuple[Note, ...]


def fleet_of(answers: Answers) -> Fleet:
    """The report on these hosts: the same answers give the same rows, in whatever order they come."""
    names = sorted(answers, key=address_key)
    answered = {name: answers[name] for name in names if _state(answers[name]) == ANSWERED}
    hosts = tuple(_host(name, answers[name]) for name in names)
    return Fleet(
        totals=_totals(hosts, answered),
        hosts=hosts,
        types=tuple(_types(answered)),
        users=tuple(row for name, answer in answered.items() for row in _users(name, answer)),
        drift=tuple(row for name, answer in answered.items() for row in _drift(name, answer)),
        notes=tuple(note for host in hosts for note in host.notes),
    )


def _state(answer: Answer) -> str:
    if "framework" in answer:
        return ANSWERED
    return UNREACHABLE if answer.get("unreachable") else FAILED


def _totals(hosts: tuple[HostRow, ...], answered: Answers) -> Totals:
    return Totals(
        hosts=len(hosts),
        answered=len(answered),
        parents=sum(one.parent_count for one in hosts),
        parents_with_room=sum(bool(_room(parent)) for answer in answered.values() for parent in answer["parents"]),
        active=sum(one.usage.in_use + one.usage.idle for one in hosts),
        in_use=sum(one.usage.in_use for one in hosts),
        defined=sum(one.defined for one in hosts),
        autostart=sum(bool(device["autostart"]) for answer in answered.values() for device in answer["devices"]),
        drifted=sum(one.drifted for one in hosts),
        problems=sum(one.problems > 0 for one in hosts),
    )


def _host(name: str, answer: Answer) -> HostRow:
    notes = tuple(_notes(name, answer))
    parents, devices = answer.get("parents", ()), answer.get("devices", ())
    return HostRow(
        name=name,
        state=_state(answer),
        framework=answer.get("framework"),
        usage=_usage(devices, _sum_known(_room(one) for one in parents)),
        defined=sum(bool(one["defined"]) for one in devices),
        drifted=sum(bool(one["drift"]) for one in devices),
        problems=sum(one.problem for one in notes),
        parent_count=len(parents),
        parents=tuple(_parents(parents, devices)),
        devices=tuple(_device(one) for one in devices),
        notes=notes,
    )


# Usage.


def _in_kernel(device: Answer) -> bool:
    """Half removed devices are: they still take their instance."""
    return bool(device["active"] or device["removing"])


def _usage(devices: Iterable[Answer], room: Optional[int]) -> Usage:
    there = [one for one in devices if _in_kernel(one)]
    in_use = sum(bool(one["in_use"]) for one in there)
    return _usage_of(in_use, len(there) - in_use, room)


def _usage_of(in_use: int, idle: int, room: Optional[int]) -> Usage:
    whole = in_use + idle + (room or 0)
    return Usage(in_use, idle, room, _share(in_use, whole), _share(idle, whole))


def _share(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _sum_of(several: Sequence[Usage]) -> Usage:
    return _usage_of(
        sum(one.in_use for one in several),
        sum(one.idle for one in several),
        _sum_known(one.room for one in several),
    )


def _sum_known(rooms: Iterable[Optional[int]]) -> Optional[int]:
    known = [one for one in rooms if one is not None]
    return sum(known) if known else None


def _room(parent: Answer) -> Optional[int]:
    """How many more devices a parent could get: those of the type that fits most often, since types share the room."""
    known = [one["available_instances"] for one in parent["types"] if one["available_instances"] is not None]
    return max(known) if known else None


# Parents: virtual functions of a card that are alike are one row, else a card alone would fill a page.


def _parents(parents: Iterable[Answer], devices: Iterable[Answer]) -> Iterator[ParentRow]:
    on: dict[str, list[Answer]] = {}
    for device in devices:
        on.setdefault(device["parent"], []).append(device)
    for _key, alike in groupby(parents, key=lambda one: _looks(one, on.get(one["address"], []))):
        group = list(alike)
        yield _parent(group, [device for one in group for device in on.get(one["address"], ())])


def _looks(parent: Answer, devices: list[Answer]) -> object:
    """Equal for parents that can be told together."""
    card = parent["physical_function"]
    if card is None:
        return parent["address"]
    types = tuple((one["id"], one["name"], one["available_instances"]) for one in parent["types"])
    on_it = tuple((one["type"], *(bool(one[name]) for name in _STATES), one["in_use"]) for one in devices)
    return (card, parent["driver"], parent["numa_node"], types, on_it)


def _parent(alike: list[Answer], devices: list[Answer]) -> ParentRow:
    first = alike[0]
    types = [_parent_type(number, alike, devices) for number in range(len(first["types"]))]
    shown = [one for one in types if one.usage.in_use or one.usage.idle or one.usage.room or one.defined]
    return ParentRow(
        addresses=tuple(one["address"] for one in alike),
        driver=first["driver"],
        numa_node=first["numa_node"],
        card=first["physical_function"],
        vfs=f"{first['vfs']['enabled']} of {first['vfs']['total']}" if first["vfs"] else None,
        defined=sum(bool(one["defined"]) for one in devices),
        usage=_usage(devices, _sum_known(_room(one) for one in alike)),
        types=tuple(shown),
        types_without_room=len(types) - len(shown),
    )


def _parent_type(number: int, alike: list[Answer], devices: list[Answer]) -> ParentType:
    kinds = [one["types"][number] for one in alike]
    return ParentType(
        id=kinds[0]["id"],
        name=kinds[0]["name"],
        defined=sum(one["defined"] for one in kinds),
        usage=_usage(
            [one for one in devices if one["type"] == kinds[0]["id"]],
            _sum_known(one["available_instances"] for one in kinds),
        ),
    )


# Devices, and who uses them.


def _device(device: Answer) -> DeviceRow:
    return DeviceRow(
        name=_name(device),
        parent=device["parent"],
        type=_type(device),
        states=tuple(one for one in _STATES if device[one]),
        attributes=tuple(f"{one['name']}={one['value']}" for one in device["attributes"]),
        users=tuple(one["guest"] or f"{one['command']} ({one['pid']})" for one in device["used_by"]),
        drifted=bool(device["drift"]),
    )


def _name(device: Answer) -> str:
    return str(device["uuid"] or device["parent"])


def _type(device: Answer) -> str:
    """A half removed device no longer says of which type it is."""
    return str(device["type_name"] or device["type"] or "unknown")


def _users(host: str, answer: Answer) -> Iterator[UserRow]:
    rows = (
        UserRow(host, one["guest"], f"{one['command']} ({one['pid']})", _name(device), _type(device), device["parent"])
        for device in answer["devices"]
        for one in device["used_by"]
    )
    yield from sorted(rows, key=lambda row: (row.guest is None, row.guest or "", row.process, row.device))


def _drift(host: str, answer: Answer) -> Iterator[DriftRow]:
    for device in answer["devices"]:
        for one in device["drift"]:
            yield DriftRow(host, _name(device), device["parent"], one["field"], one["wanted"], one["actual"])


# Types over the fleet. An id alone does not say what a type is: drivers of two versions may number theirs differently.

_TypeKey = tuple[str, Optional[str]]


def _types(answered: Answers) -> Iterator[TypeRow]:
    found: dict[_TypeKey, list[tuple[str, Answer, Answer]]] = {}
    for host, answer in answered.items():
        for kind in answer["types"]:
            found.setdefault((kind["id"], kind["name"]), []).append((host, kind, answer))
    for key in sorted(found, key=lambda key: (address_key(key[0]), key[1] or "")):
        hosts = tuple(_host_type(*one) for one in found[key])
        yield TypeRow(
            id=key[0],
            name=key[1],
            device_api=found[key][0][1]["device_api"],
            parents=sum(one.parents for one in hosts),
            defined=sum(one.defined for one in hosts),
            usage=_sum_of([one.usage for one in hosts]),
            hosts=hosts,
        )


def _host_type(host: str, kind: Answer, answer: Answer) -> HostType:
    devices = [one for one in answer["devices"] if one["type"] == kind["id"]]
    return HostType(host, len(kind["parents"]), kind["defined"], _usage(devices, kind["available_instances"]))


# Notes.


def _notes(host: str, answer: Answer) -> Iterator[Note]:
    if _state(answer) != ANSWERED:
        yield Note(host, _state(answer), _why(answer), problem=True)
        return
    for one in answer["broken_definitions"]:
        yield Note(host, "broken definition", f"{one['path']}: {one['problem']}", problem=True)
    for one in answer["unread"]:
        yield Note(host, "unread", f"{one['path']}: {one['error']}", problem=True)
    removing = [one for one in answer["devices"] if one["removing"]]
    for one in removing:
        users = ", ".join(_device(one).users) or "a process that can't be seen"
        yield Note(host, "half removed", f"{_name(one)} on {one['parent']} waits for {users}", problem=True)
    # Hints speak of these too.
    told = [one["path"] for one in answer["broken_definitions"]] + [_name(one) for one in removing]
    for hint in answer["hints"]:
        if not any(one in hint for one in told):
            yield Note(host, "hint", hint, problem=False)


def _why(answer: Answer) -> str:
    """What Ansible says of a host that did not answer. What the host itself said is often the better half of it."""
    said = [str(answer.get(one) or "").strip() for one in ("msg", "module_stderr")]
    return "\n".join(one for one in said if one)
