# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which parent each device goes to. Pure: the same host and requests give the same answer, in whatever order they come.

Devices that exist stay where they are. What turns out otherwise when devices are created is the kernel's to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Callable, Optional

from .._model.addresses import AddressKey, address_key
from .._model.errors import NoRoom
from .._model.inventory import Parent, Type
from .._model.request import FIRST, PACK, SPREAD
from .capacity import Rooms, card_of


@dataclass(frozen=True)
class Choice:
    """A parent that can take the device, and the type there."""

    parent: Parent
    type: Type


@dataclass(frozen=True)
class Rejection:
    """A parent that was passed over, and why, in words."""

    parent: str
    reason: str


@dataclass(frozen=True)
class Request:
    """A device that needs a parent.

    parents:    the candidates, in address order
    kinds:      the type asked for on each candidate that has it, by address
    needs_room: False for a device that is only defined, not started: then any that offers the type will do
    label:      what the operator calls the device
    index:      its place among several of one entry
    """

    uuid: str
    asked: str
    parents: tuple[Parent, ...]
    kinds: dict[str, Type]
    policy: str = FIRST
    numa_node: Optional[int] = None
    needs_room: bool = True
    label: str = ""
    index: int = 0


@dataclass(frozen=True)
class Placement:
    """Where a device goes: the first choice, the others as replacements in order; why this one, why not the others."""

    choices: tuple[Choice, ...]
    reason: str
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True)
class Missing:
    """A device that fits nowhere."""

    request: Request
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True)
class Placements:
    """The outcome for all devices, by UUID."""

    placed: dict[str, Placement]
    missing: tuple[Missing, ...]


@dataclass(frozen=True)
class _Policy:
    """How candidates are ranked: the lowest rank is taken, then the lowest address.

    chosen: why the chosen one was, later: why another one that had room was not
    """

    rank: Callable[[Rooms, Choice], tuple[int, ...]]
    chosen: Callable[[Rooms, Choice], str]
    later: str


def _first_rank(_rooms: Rooms, _choice: Choice) -> tuple[int, ...]:
    return ()


def _pack_rank(rooms: Rooms, choice: Choice) -> tuple[int, ...]:
    same = rooms.has_type_on_card(choice.parent, choice.type)
    return (0 if same else 1, -rooms.on_card[card_of(choice.parent)], -rooms.on_parent[choice.parent.address])


def _spread_rank(rooms: Rooms, choice: Choice) -> tuple[int, ...]:
    parent = choice.parent
    return (rooms.on_card[card_of(parent)], rooms.on_node[parent.numa_node], rooms.on_parent[parent.address])


def _pack_words(rooms: Rooms, choice: Choice) -> str:
    same = "holds this type" if rooms.has_type_on_card(choice.parent, choice.type) else "no card with room holds it"
    return f"fullest card with room: {card_of(choice.parent)} with {_devices(rooms, choice)}, {same}"


def _spread_words(rooms: Rooms, choice: Choice) -> str:
    return f"card with the fewest devices: {card_of(choice.parent)} with {_devices(rooms, choice)}"


def _devices(rooms: Rooms, choice: Choice) -> str:
    count = rooms.on_card[card_of(choice.parent)]
    return f"{count} device" if count == 1 else f"{count} devices"


_POLICIES = {
    FIRST: _Policy(
        _first_rank,
        lambda _rooms, _choice: "first with room in address order",
        "comes after the chosen parent in address order",
    ),
    PACK: _Policy(_pack_rank, _pack_words, "is on a card that is less full, or comes later in address order"),
    SPREAD: _Policy(
        _spread_rank, _spread_words, "is on a card or NUMA node with more devices, or comes later in address order"
    ),
}


def place_all(requests: Sequence[Request], rooms: Rooms) -> Placements:
    """A parent for each device.

    Where one order leaves devices without room, the others are tried: the one that leaves none wins, else the first of
    those that leave the fewest.
    """
    tries = (_place(order(requests), rooms.copy()) for order in _ORDERS)
    best: Optional[Placements] = None
    for found in tries:
        if best is None or len(found.missing) < len(best.missing):
            best = found
        if not best.missing:
            break
    return best if best is not None else Placements({}, ())


_OrderKey = tuple[int, int, float, AddressKey, str]


def _by_choice(request: Request) -> _OrderKey:
    """Who has the fewest candidates goes first, then each entry's first devices: so no entry takes all the best."""
    return (len(request.kinds), request.index, _size(request), address_key(request.label), request.uuid)


def _by_size(request: Request) -> _OrderKey:
    """Who has the fewest candidates goes first, then who is biggest: small ones fill what is left."""
    key = _by_choice(request)
    return (key[0], 0, key[2], key[3], key[4])


def _size(request: Request) -> float:
    """The more there can be of a type, the smaller it is."""
    return max((one.available_instances or 0 for one in request.kinds.values()), default=0)


_ORDERS: tuple[Callable[[Sequence[Request]], Iterable[Request]], ...] = (
    lambda requests: sorted(requests, key=_by_choice),
    lambda requests: sorted(requests, key=_by_size),
    # Cards that take one size of type at a time are filled one by one: more types then find a card.
    lambda requests: [replace(one, policy=PACK) for one in sorted(requests, key=_by_size)],
)


def _place(requests: Iterable[Request], rooms: Rooms) -> Placements:
    placed: dict[str, Placement] = {}
    missing: list[Missing] = []
    for request in requests:
        refused, open_choices = _sifted(request, rooms)
        if not open_choices:
            missing.append(Missing(request, refused))
            continue
        policy = _POLICIES[request.policy]
        ranked = sorted(open_choices, key=lambda one: policy.rank(rooms, one))
        best = ranked[0]
        later = tuple(Rejection(one.parent.address, policy.later) for one in open_choices if one is not best)
        placed[request.uuid] = Placement(tuple(ranked), policy.chosen(rooms, best), _in_order(refused + later))
        rooms.take(best.parent, best.type, request.needs_room)
    return Placements(placed, tuple(missing))


def _sifted(request: Request, rooms: Rooms) -> tuple[tuple[Rejection, ...], list[Choice]]:
    """The candidates that can't take the device, and those that can, in address order."""
    refused: list[Rejection] = []
    open_choices: list[Choice] = []
    for parent in request.parents:
        kind = request.kinds.get(parent.address)
        reason = _why_not(request, parent, kind, rooms)
        if kind is None or reason:
            refused.append(Rejection(parent.address, reason))
        else:
            open_choices.append(Choice(parent, kind))
    return tuple(refused), open_choices


def _why_not(request: Request, parent: Parent, kind: Optional[Type], rooms: Rooms) -> str:
    if kind is None:
        return f"does not offer type '{request.asked}'"
    if request.numa_node is not None and parent.numa_node != request.numa_node:
        return f"is on NUMA node {'unknown' if parent.numa_node is None else parent.numa_node}, not {request.numa_node}"
    return rooms.why_not(parent, kind) if request.needs_room else ""


def _in_order(rejections: tuple[Rejection, ...]) -> tuple[Rejection, ...]:
    return tuple(sorted(rejections, key=lambda one: address_key(one.parent)))


def no_room_for(missing: Sequence[Missing], of: int) -> NoRoom:
    """One error for all devices that fit nowhere. of: how many devices are asked for in all."""
    if of == 1:
        return no_room(missing[0].request.asked, missing[0].rejected)
    short: dict[tuple[str, str], list[Missing]] = {}
    for one in sorted(missing, key=lambda each: (address_key(each.request.label), each.request.index)):
        short.setdefault((one.request.label, one.request.asked), []).append(one)
    lines = [f"{label}: {len(each)} of type '{asked}' too many" for (label, asked), each in short.items()]
    rejected = distinct([rejection for one in missing for rejection in one.rejected])
    return NoRoom(
        f"no room for {len(missing)} of the {of} devices that are to be active. {'; '.join(lines)}. "
        f"{_each(rejected)}. Nothing was changed",
        short=[
            {"entry": label, "type": asked, "missing": len(each), "uuids": [one.request.uuid for one in each]}
            for (label, asked), each in short.items()
        ],
        rejected_parents=rejection_facts(rejected),
    )


def no_room(asked: str, rejected: tuple[Rejection, ...]) -> NoRoom:
    """Says of each candidate what it has left."""
    return NoRoom(
        f"no room for a device of type '{asked}'. {_each(rejected)}",
        type=asked,
        rejected_parents=rejection_facts(rejected),
    )


def _each(rejected: Iterable[Rejection]) -> str:
    return "; ".join(f"{one.parent}: {one.reason}" for one in rejected)


def distinct(rejections: Iterable[Rejection]) -> tuple[Rejection, ...]:
    """Each parent with each of its reasons once, in address order."""
    return _in_order(tuple(dict.fromkeys(rejections)))


def rejected_in_the_end(
    planned: tuple[Rejection, ...], full: tuple[Rejection, ...], chosen: frozenset[str]
) -> tuple[Rejection, ...]:
    """What was passed over once the devices are made. What turned out full is told instead of what was planned for it.

    chosen: the parents that got a device otherwise than planned
    """
    known = {one.parent for one in full} | chosen
    return _in_order(tuple(one for one in planned if one.parent not in known) + full)


def rejection_facts(rejected: tuple[Rejection, ...]) -> list[dict[str, object]]:
    """The passed-over parents as results show them."""
    return [{"parent": one.parent, "reason": one.reason} for one in rejected]
