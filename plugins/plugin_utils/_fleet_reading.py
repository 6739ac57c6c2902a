# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the answers of mdev_info on each host to the rows of a report on the fleet. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.vfio.mdev.plugins.module_utils._info.counts import TypeCounts, counts_of, type_counts, use_of
from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import address_key
from ansible_collections.vfio.mdev.plugins.plugin_utils._fleet import (
    CardRow,
    DeviceRow,
    DriftRow,
    Fleet,
    HostRow,
    HostType,
    Totals,
    TypeRow,
    TypeUsage,
    UserRow,
    sum_of_rooms,
    sum_of_usages,
    totals_of,
    usage_of,
)
from ansible_collections.vfio.mdev.plugins.plugin_utils._fleet_notes import grouped_notes, notes_of

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
    """The answer, or if it is not one of this version's mdev_info, a failure that says so."""
    try:
        _fleet_of({name: answer})
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        text = f"the answer of this host can't be read, it is not one of this version of mdev_info ({reason})"
        return {"failed": True, "msg": text}
    return answer


def _fleet_of(answers: Answers) -> Fleet:
    names = sorted(answers, key=address_key)
    answered = {name: answers[name] for name in names if _state(answers[name]) == ANSWERED}
    hosts = tuple(_host(name, answers[name]) for name in names)
    return Fleet(
        totals=_totals(hosts, answered),
        hosts=tuple(sorted(hosts, key=lambda host: host.problems == 0)),
        types=tuple(_types(hosts, answered)),
        users=tuple(row for name, answer in answered.items() for row in _users(name, answer)),
        drift=tuple(row for name, answer in answered.items() for row in _drift(name, answer)),
        notes=grouped_notes([note for host in hosts for note in host.notes]),
    )


def _state(answer: Answer) -> str:
    if "framework" in answer:
        return ANSWERED
    return UNREACHABLE if answer.get("unreachable") else FAILED


def _totals(hosts: tuple[HostRow, ...], answered: Answers) -> Totals:
    autostart = sum(bool(device["autostart"]) for answer in answered.values() for device in answer["devices"])
    return totals_of(hosts, answered=len(answered), autostart=autostart)


def _host(name: str, answer: Answer) -> HostRow:
    state = _state(answer)
    notes = notes_of(name, answer, None if state == ANSWERED else state)
    if state != ANSWERED:
        return HostRow(name, state, None, sum_of_usages(()), 0, 0, 0, 1, (), (), (), notes)
    counts, devices = counts_of(answer), answer["devices"]
    cards = tuple(_cards(answer))
    return HostRow(
        name=name,
        state=state,
        framework=counts.framework,
        # Devices of the host, not the sum over cards: the parent of a half removed device may be gone.
        usage=usage_of(
            use_of(devices),
            sum_of_rooms(card.usage.room for card in cards if card.framework),
            any(card.usage.unlimited for card in cards),
        ),
        defined=sum(bool(device["defined"]) for device in devices),
        drifted=counts.drifted,
        orphaned=counts.orphaned,
        problems=sum(note.problem for note in notes),
        cards=cards,
        types=tuple(_type_usage(row, mdev_type) for row, mdev_type in zip(counts.types, answer["types"])),
        devices=tuple(_device(device) for device in devices),
        notes=notes,
    )


def _type_usage(counts: TypeCounts, mdev_type: Answer) -> TypeUsage:
    return TypeUsage(
        counts.id, counts.name, counts.defined, usage_of(counts.use, counts.room, not mdev_type["limited"])
    )


# Cards.


def _cards(answer: Answer) -> Iterator[CardRow]:
    card_of = {parent["address"]: parent["physical_function"] or parent["address"] for parent in answer["parents"]}
    by_card: dict[str, list[Answer]] = {}
    for device in answer["devices"]:
        by_card.setdefault(card_of.get(device["parent"], ""), []).append(device)
    for card in answer["cards"]:
        yield _card(card, answer["types"], by_card.get(card["address"], []))


def _card(card: Answer, types: Iterable[Answer], devices: Sequence[Answer]) -> CardRow:
    offered = [mdev_type for mdev_type in types if _is_on(card, mdev_type, devices)]
    rows = [
        _type_usage(type_counts({**mdev_type, "room": card["room"].get(mdev_type["id"], 0)}, devices), mdev_type)
        for mdev_type in offered
    ]
    return CardRow(
        address=card["address"],
        driver=card["driver"],
        numa_node=card["numa_node"],
        framework=card["framework"],
        functions=_functions(card),
        parents=card["parents"],
        defined=sum(bool(device["defined"]) for device in devices),
        usage=usage_of(use_of(devices), _most(card, rows), any(row.usage.unlimited for row in rows)),
        types=tuple(rows),
        full_types=sum(not row.usage.unlimited and row.usage.room == 0 for row in rows),
    )


def _functions(card: Answer) -> Optional[str]:
    """How many virtual functions it has. Only cards whose functions are parents report what those offer."""
    functions = card["functions"]
    if functions:
        return f"{functions['enabled']} of {functions['total']}"
    return str(card["parents"]) if card["types"] is not None else None


def _is_on(card: Answer, mdev_type: Answer, devices: Iterable[Answer]) -> bool:
    return mdev_type["id"] in card["room"] or any(device["type"] == mdev_type["id"] for device in devices)


def _most(card: Answer, rows: Iterable[TypeUsage]) -> Optional[int]:
    """The room of the type that fits most often, since types share a card. None if it is unknown."""
    numbers = [row.usage.room for row in rows if not row.usage.unlimited]
    known = [room for room in numbers if room is not None]
    return max(known) if known else None if numbers or not card["framework"] else 0


# Devices and their users.


def _device(device: Answer) -> DeviceRow:
    return DeviceRow(
        name=str(device["uuid"] or device["parent"]),
        parent=device["parent"],
        type=_type(device),
        states=tuple(state for state in _STATES if device[state]),
        attributes=tuple(f"{attribute['name']}={attribute['value']}" for attribute in device["attributes"]),
        users=tuple(user["guest"] or _process(user) for user in device["used_by"]),
        use_unknown=device["in_use"] is None,
        drifted=bool(device["drift"]),
    )


def _type(device: Answer) -> str:
    """The kernel no longer reports the type of a half removed device."""
    return str(device["type_name"] or device["type"] or "unknown")


def _process(user: Answer) -> str:
    return f"{user['command']} ({user['pid']})"


def _users(host: str, answer: Answer) -> Iterator[UserRow]:
    types: dict[tuple[Optional[str], str], Counter[str]] = {}
    for device in answer["devices"]:
        for user in device["used_by"]:
            types.setdefault((user["guest"], _process(user)), Counter())[_type(device)] += 1
    for guest, process in sorted(types, key=lambda key: (key[0] is None, key[0] or "", key[1])):
        counted = sorted(types[guest, process].items())
        devices = tuple(name if count == 1 else f"{count} \N{MULTIPLICATION SIGN} {name}" for name, count in counted)
        yield UserRow(host, guest, process, devices)


def _drift(host: str, answer: Answer) -> Iterator[DriftRow]:
    for device in answer["devices"]:
        name = str(device["uuid"] or device["parent"])
        for drift in device["drift"]:
            yield DriftRow(host, name, device["parent"], drift["field"], drift["wanted"], drift["actual"])


# Types across the fleet. An id alone does not identify a type: drivers of two versions may number theirs differently.


def _types(hosts: Iterable[HostRow], answered: Answers) -> Iterator[TypeRow]:
    apis = {
        (mdev_type["id"], mdev_type["name"]): mdev_type["device_api"]
        for answer in answered.values()
        for mdev_type in answer["types"]
    }
    offers: dict[tuple[str, Optional[str]], list[HostType]] = {}
    for host in sorted(hosts, key=lambda host: address_key(host.name)):
        for mdev_type in host.types:
            row = HostType(host.name, mdev_type.defined, mdev_type.usage)
            offers.setdefault((mdev_type.id, mdev_type.name), []).append(row)
    rows = [_type_row(key, rows, apis[key]) for key, rows in offers.items()]
    # Free capacity first.
    yield from sorted(rows, key=lambda row: (not _fits(row.usage), address_key(row.id), str(row.name or "")))


def _type_row(key: tuple[str, Optional[str]], offers: Sequence[HostType], device_api: Optional[str]) -> TypeRow:
    shown = [offer for offer in offers if _fits(offer.usage) or offer.defined or sum_of_use(offer)]
    return TypeRow(
        id=key[0],
        name=key[1],
        device_api=device_api,
        defined=sum(offer.defined for offer in offers),
        usage=sum_of_usages(offer.usage for offer in offers),
        hosts=tuple(shown),
        full_hosts=len(offers) - len(shown),
    )


def sum_of_use(offer: HostType) -> int:
    """The devices of a type in the kernel of a host."""
    return offer.usage.in_use + offer.usage.unknown + offer.usage.idle


def _fits(usage: Any) -> bool:
    return bool(usage.room is None or usage.room or usage.unlimited)
