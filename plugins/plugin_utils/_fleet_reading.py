# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the answers of mdev_info on each host to the rows of a report on the fleet. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Optional

from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import address_key
from ansible_collections.vfio.mdev.plugins.plugin_utils._fleet import (
    DeviceRow,
    DriftRow,
    Fleet,
    HostRow,
    HostType,
    Note,
    ParentRow,
    ParentType,
    Totals,
    TypeRow,
    Usage,
    UserRow,
    sum_of_rooms,
    sum_of_usages,
    totals_of,
    usage_of,
)

_STATES = ("active", "removing", "defined", "autostart")

Answer = Mapping[str, Any]
Answers = Mapping[str, Answer]

ANSWERED = "answered"
UNREACHABLE = "unreachable"
FAILED = "failed"


def fleet_of(answers: Answers) -> Fleet:
    """The report on these hosts. The same answers give the same rows, regardless of their order.

    An answer that can't be read costs its host's row, not the report.
    """
    return _fleet_of({name: _readable(name, answer) for name, answer in answers.items()})


def _readable(name: str, answer: Answer) -> Answer:
    """The answer, or if it is not one of mdev_info, a failure that says so."""
    try:
        _fleet_of({name: answer})
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return {"failed": True, "msg": f"the answer of this host can't be read, it is not one of mdev_info ({reason})"}
    return answer


def _fleet_of(answers: Answers) -> Fleet:
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
    return totals_of(
        hosts,
        answered=len(answered),
        parents_with_room=sum(
            any(_offers(parent, answer).values()) for answer in answered.values() for parent in answer["parents"]
        ),
        autostart=sum(bool(device["autostart"]) for answer in answered.values() for device in answer["devices"]),
    )


def _host(name: str, answer: Answer) -> HostRow:
    notes = tuple(_notes(name, answer))
    parents, devices = answer.get("parents", ()), answer.get("devices", ())
    return HostRow(
        name=name,
        state=_state(answer),
        framework=answer.get("framework"),
        usage=_usage(devices, sum_of_rooms(_most(card["room"].values()) for card in answer.get("cards", ()))),
        defined=sum(bool(device["defined"]) for device in devices),
        drifted=sum(bool(device["drift"]) for device in devices),
        problems=sum(note.problem for note in notes),
        parent_count=len(parents),
        parents=tuple(_parents(answer)) if parents else (),
        devices=tuple(_device(device) for device in devices),
        notes=notes,
    )


# Usage.


def _in_kernel(device: Answer) -> bool:
    """Whether the device takes an instance. A half removed device still does."""
    return bool(device["active"] or device["removing"])


def _usage(devices: Iterable[Answer], room: Optional[int]) -> Usage:
    in_kernel = [device for device in devices if _in_kernel(device)]
    in_use = sum(bool(device["in_use"]) for device in in_kernel)
    return usage_of(in_use, len(in_kernel) - in_use, room)


def _most(rooms: Iterable[Optional[int]]) -> Optional[int]:
    """The room of the type that fits most often, since types share the room. 0 without types, None if unknown."""
    numbers = list(rooms)
    known = [room for room in numbers if room is not None]
    return max(known) if known else None if numbers else 0


def _offers(parent: Answer, answer: Answer) -> Mapping[str, Optional[int]]:
    """The types that the parent has instances of, by id: its own, or those of its card's functions."""
    if parent["types"] is not None:
        return dict(parent["types"])
    return dict(_card(parent, answer)["types"])


def _card(parent: Answer, answer: Answer) -> Answer:
    address = parent["physical_function"] or parent["address"]
    return next(card for card in answer["cards"] if card["address"] == address)


# Parents: identical virtual functions of a card are one row, otherwise a single card would fill a page.


def _parents(answer: Answer) -> Iterator[ParentRow]:
    by_parent: dict[str, list[Answer]] = {}
    for device in answer["devices"]:
        by_parent.setdefault(device["parent"], []).append(device)
    groups = groupby(
        answer["parents"], key=lambda parent: _group_key(parent, answer, by_parent.get(parent["address"], []))
    )
    for _key, group in groups:
        identical = list(group)
        devices = [device for parent in identical for device in by_parent.get(parent["address"], ())]
        yield _parent(identical, devices, answer)


def _group_key(parent: Answer, answer: Answer, devices: list[Answer]) -> object:
    """Equal for parents that can share a row."""
    card = parent["physical_function"]
    if card is None:
        return parent["address"]
    states = tuple(
        (device["type"], *(bool(device[state]) for state in _STATES), device["in_use"]) for device in devices
    )
    return (card, parent["driver"], parent["numa_node"], tuple(_offers(parent, answer).items()), states)


def _parent(identical: list[Answer], devices: list[Answer], answer: Answer) -> ParentRow:
    first = identical[0]
    rooms = _rooms(identical, answer)
    shown = {*(device["type"] for device in devices), *(type_id for type_id, room in rooms.items() if room)}
    types = [
        _parent_type(mdev_type, devices, rooms.get(mdev_type["id"], 0))
        for mdev_type in answer["types"]
        if mdev_type["id"] in shown
    ]
    return ParentRow(
        addresses=tuple(parent["address"] for parent in identical),
        driver=first["driver"],
        numa_node=first["numa_node"],
        card=first["physical_function"],
        vfs=f"{first['vfs']['enabled']} of {first['vfs']['total']}" if first["vfs"] else None,
        defined=sum(bool(device["defined"]) for device in devices),
        usage=_usage(devices, _most(rooms.values())),
        types=tuple(types),
        types_without_room=len(answer["types"]) - len(types),
    )


def _rooms(identical: list[Answer], answer: Answer) -> dict[str, Optional[int]]:
    """The room on these parents by type: what they report, but no more than their card has."""
    room, reported = _card(identical[0], answer)["room"], [_offers(parent, answer) for parent in identical]
    return {
        type_id: None if room[type_id] is None else min(room[type_id], sum(offer[type_id] or 0 for offer in reported))
        for type_id in reported[0]
        if type_id in room
    }


def _parent_type(mdev_type: Answer, devices: list[Answer], room: Optional[int]) -> ParentType:
    own = [device for device in devices if device["type"] == mdev_type["id"]]
    return ParentType(
        id=mdev_type["id"],
        name=mdev_type["name"],
        defined=sum(bool(device["defined"]) for device in own),
        usage=_usage(own, room),
    )


# Devices and their users.


def _device(device: Answer) -> DeviceRow:
    return DeviceRow(
        name=_name(device),
        parent=device["parent"],
        type=_type(device),
        states=tuple(state for state in _STATES if device[state]),
        attributes=tuple(f"{attribute['name']}={attribute['value']}" for attribute in device["attributes"]),
        users=tuple(user["guest"] or _process(user) for user in device["used_by"]),
        drifted=bool(device["drift"]),
    )


def _name(device: Answer) -> str:
    return str(device["uuid"] or device["parent"])


def _type(device: Answer) -> str:
    """The kernel no longer reports the type of a half removed device."""
    return str(device["type_name"] or device["type"] or "unknown")


def _process(user: Answer) -> str:
    return f"{user['command']} ({user['pid']})"


def _users(host: str, answer: Answer) -> Iterator[UserRow]:
    rows = (
        UserRow(host, user["guest"], _process(user), _name(device), _type(device), device["parent"])
        for device in answer["devices"]
        for user in device["used_by"]
    )
    yield from sorted(rows, key=lambda row: (row.guest is None, row.guest or "", row.process, row.device))


def _drift(host: str, answer: Answer) -> Iterator[DriftRow]:
    for device in answer["devices"]:
        for drift in device["drift"]:
            yield DriftRow(host, _name(device), device["parent"], drift["field"], drift["wanted"], drift["actual"])


# Types across the fleet. An id alone does not identify a type: drivers of two versions may number theirs differently.

_TypeKey = tuple[str, Optional[str]]


def _types(answered: Answers) -> Iterator[TypeRow]:
    offers: dict[_TypeKey, list[tuple[str, Answer, Answer]]] = {}
    for host, answer in answered.items():
        for mdev_type in answer["types"]:
            offers.setdefault((mdev_type["id"], mdev_type["name"]), []).append((host, mdev_type, answer))
    for key in sorted(offers, key=lambda key: (address_key(key[0]), key[1] or "")):
        hosts = tuple(_host_type(host, mdev_type, answer) for host, mdev_type, answer in offers[key])
        _first_host, first, _first_answer = offers[key][0]
        yield TypeRow(
            id=key[0],
            name=key[1],
            device_api=first["device_api"],
            parents=sum(host.parents for host in hosts),
            defined=sum(host.defined for host in hosts),
            usage=sum_of_usages(host.usage for host in hosts),
            hosts=hosts,
        )


def _host_type(host: str, mdev_type: Answer, answer: Answer) -> HostType:
    devices = [device for device in answer["devices"] if device["type"] == mdev_type["id"]]
    return HostType(host, mdev_type["parents"], mdev_type["defined"], _usage(devices, mdev_type["room"]))


# Notes.


def _notes(host: str, answer: Answer) -> Iterator[Note]:
    if _state(answer) != ANSWERED:
        yield Note(host, _state(answer), _failure(answer), problem=True)
        return
    for broken in answer["broken_definitions"]:
        yield Note(host, "broken definition", f"{broken['path']}: {broken['problem']}", problem=True)
    for unread in answer["unread"]:
        yield Note(host, "unread", f"{unread['path']}: {unread['error']}", problem=True)
    half_removed = [device for device in answer["devices"] if device["removing"]]
    for device in half_removed:
        users = ", ".join(_device(device).users) or "a process that can't be seen"
        yield Note(host, "half removed", f"{_name(device)} on {device['parent']} waits for {users}", problem=True)
    # Some hints are about the same files and devices.
    reported = [
        *(broken["path"] for broken in answer["broken_definitions"]),
        *(_name(device) for device in half_removed),
    ]
    for hint in answer["hints"]:
        if not any(name in hint for name in reported):
            yield Note(host, "hint", hint, problem=False)


def _failure(answer: Answer) -> str:
    """Ansible's message about a host that did not answer, then the host's own output, which often says more."""
    texts = [str(answer.get(field) or "").strip() for field in ("msg", "module_stderr")]
    return "\n".join(text for text in texts if text)
