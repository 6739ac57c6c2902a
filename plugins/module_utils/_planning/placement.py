# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chooses a parent for each device. Pure: the same host and requests give the same answer, in any order.

Existing devices stay where they are. The kernel can still refuse a placement when the device is created.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Callable, Optional

from .._model.addresses import AddressKey, address_key
from .._model.errors import NoRoom
from .._model.inventory import Parent, Type
from .._model.request import FIRST, PACK, SPREAD
from .capacity import Capacity


@dataclass(frozen=True)
class Choice:
    """A parent that can take the device, and the type there."""

    parent: Parent
    type: Type


@dataclass(frozen=True)
class Rejection:
    """A parent that was passed over, and why, as text. card: the card that it is on, if it is a virtual function."""

    parent: str
    reason: str
    card: Optional[str] = None


@dataclass(frozen=True)
class PlacementRequest:
    """A device that needs a parent.

    parents:   the candidates, in address order
    types:     the requested type on each candidate that has it, by address
    preferred: the address of the candidate that is taken if it has room, whatever the policy and the NUMA node
    is_active: False for a device that is only defined: it can go to any candidate that offers the type
    label:     the name of the request in messages
    index:     the number of the device among those of one entry
    """

    key: str
    requested_type: str
    parents: tuple[Parent, ...]
    types: dict[str, Type]
    policy: str = FIRST
    numa_node: Optional[int] = None
    preferred: str = ""
    is_active: bool = True
    label: str = ""
    index: int = 0


@dataclass(frozen=True)
class Placement:
    """The place of a device.

    choices:  the chosen parent first, then the alternatives in order
    reason:   why this parent was chosen
    rejected: why the others were not
    """

    choices: tuple[Choice, ...]
    reason: str
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True)
class Unplaced:
    """A device that no candidate has room for."""

    request: PlacementRequest
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True)
class Placements:
    """The outcome for all devices, by key. doubtful: how many the driver may refuse, though others would do."""

    placed: dict[str, Placement]
    missing: tuple[Unplaced, ...]
    doubtful: int = 0


@dataclass(frozen=True)
class _Policy:
    """How candidates are ranked: the lowest rank comes first, then the lowest address.

    chosen:      why the chosen candidate was chosen
    later:       why another candidate with room was not
    tries_first: whether a candidate that its driver may refuse is tried in its place, not after all others
    """

    rank: Callable[[Capacity, Choice], tuple[int, ...]]
    chosen: Callable[[Capacity, Choice], str]
    later: str
    tries_first: bool = False


def _first_rank(_capacity: Capacity, _choice: Choice) -> tuple[int, ...]:
    return ()


def _pack_rank(capacity: Capacity, choice: Choice) -> tuple[int, ...]:
    same = capacity.has_type_on_card(choice.parent, choice.type)
    return (0 if same else 1, -capacity.on_card[choice.parent.card], -capacity.on_parent[choice.parent.address])


def _spread_rank(capacity: Capacity, choice: Choice) -> tuple[int, ...]:
    parent = choice.parent
    return (capacity.on_card[parent.card], capacity.on_node[parent.numa_node], capacity.on_parent[parent.address])


def _pack_reason(capacity: Capacity, choice: Choice) -> str:
    same = "holds this type" if capacity.has_type_on_card(choice.parent, choice.type) else "no card with room holds it"
    return f"fullest card with room: {choice.parent.card} with {_devices(capacity, choice)}, {same}"


def _spread_reason(capacity: Capacity, choice: Choice) -> str:
    return f"card with the fewest devices: {choice.parent.card} with {_devices(capacity, choice)}"


def _devices(capacity: Capacity, choice: Choice) -> str:
    count = capacity.on_card[choice.parent.card]
    return f"{count} device" if count == 1 else f"{count} devices"


# Not for users: cards are filled one after the other, each with one size as long as there are enough.
_PACK_BY_SIZE = "pack by size"

_POLICIES = {
    FIRST: _Policy(
        _first_rank,
        lambda _capacity, _choice: "first with room in address order",
        "comes after the chosen parent in address order",
    ),
    PACK: _Policy(
        _pack_rank, _pack_reason, "is on a card that is less full, or comes later in address order", tries_first=True
    ),
    _PACK_BY_SIZE: _Policy(_pack_rank, _pack_reason, "is on a card that is less full, or comes later in address order"),
    SPREAD: _Policy(
        _spread_rank, _spread_reason, "is on a card or NUMA node with more devices, or comes later in address order"
    ),
}


def place_all(requests: Sequence[PlacementRequest], capacity: Capacity) -> Placements:
    """A parent for each device.

    If one order leaves devices without a parent, or puts them where the driver may refuse them, the next order is
    tried. The first order that leaves the fewest wins.
    """
    attempts = (_place(order(requests), capacity.copy()) for order in _ORDERS)
    best: Optional[Placements] = None
    for placements in attempts:
        if best is None or _shortfall(placements) < _shortfall(best):
            best = placements
        if _shortfall(best) == (0, 0):
            break
    return best if best is not None else Placements({}, ())


def _shortfall(placements: Placements) -> tuple[int, int]:
    return len(placements.missing), placements.doubtful


_OrderKey = tuple[int, int, float, AddressKey, str]


def _by_choice(request: PlacementRequest) -> _OrderKey:
    """The fewest candidates first, then the first devices of each entry, so that no entry takes all the best places."""
    return (len(request.types), request.index, _size(request), address_key(request.label), request.key)


def _by_size(request: PlacementRequest) -> _OrderKey:
    """The fewest candidates first, then the biggest devices: small devices fill the remaining places."""
    key = _by_choice(request)
    return (key[0], 0, key[2], key[3], key[4])


def _size(request: PlacementRequest) -> float:
    """A type is smaller the more devices of it are possible."""
    return max((mdev_type.available_instances or 0 for mdev_type in request.types.values()), default=0)


_ORDERS: tuple[Callable[[Sequence[PlacementRequest]], Iterable[PlacementRequest]], ...] = (
    lambda requests: sorted(requests, key=_by_choice),
    lambda requests: sorted(requests, key=_by_size),
    # Some cards take one size of type at a time. Filling one card after the other leaves cards for more types.
    lambda requests: [replace(request, policy=_PACK_BY_SIZE) for request in sorted(requests, key=_by_size)],
)


def _place(requests: Iterable[PlacementRequest], capacity: Capacity) -> Placements:
    placed: dict[str, Placement] = {}
    missing: list[Unplaced] = []
    doubtful = 0
    for request in requests:
        refused, open_choices = _split_candidates(request, capacity)
        if not open_choices:
            missing.append(Unplaced(request, refused))
            continue
        policy = _POLICIES[request.policy]
        ranked = sorted(open_choices, key=lambda choice: _rank(request, policy, choice, capacity))
        best = ranked[0]
        doubtful += not policy.tries_first and _is_doubtful(request, best, capacity)
        later = tuple(_rejection(choice.parent, policy.later) for choice in open_choices if choice is not best)
        placed[request.key] = Placement(tuple(ranked), policy.chosen(capacity, best), _in_order(refused + later))
        capacity.take(best.parent, best.type, request.is_active)
    return Placements(placed, tuple(missing), doubtful)


def _rejection(parent: Parent, reason: str) -> Rejection:
    return Rejection(parent.address, reason, parent.physical_function)


def _rank(request: PlacementRequest, policy: _Policy, choice: Choice, capacity: Capacity) -> tuple[int, ...]:
    is_other = choice.parent.address != request.preferred
    is_last = not policy.tries_first and _is_doubtful(request, choice, capacity)
    return (int(is_other), int(is_last), *policy.rank(capacity, choice))


def _is_doubtful(request: PlacementRequest, choice: Choice, capacity: Capacity) -> bool:
    return request.is_active and bool(capacity.doubt(choice.parent, choice.type))


def _split_candidates(request: PlacementRequest, capacity: Capacity) -> tuple[tuple[Rejection, ...], list[Choice]]:
    """The candidates that can't take the device, and those that can, in address order."""
    refused: list[Rejection] = []
    open_choices: list[Choice] = []
    for parent in request.parents:
        mdev_type = request.types.get(parent.address)
        reason = _why_not(request, parent, mdev_type, capacity)
        if mdev_type is None or reason:
            refused.append(_rejection(parent, reason))
        else:
            open_choices.append(Choice(parent, mdev_type))
    return tuple(refused), open_choices


def _why_not(request: PlacementRequest, parent: Parent, mdev_type: Optional[Type], capacity: Capacity) -> str:
    if mdev_type is None:
        return f"does not offer type '{request.requested_type}'"
    is_free = request.numa_node is None or parent.address == request.preferred
    if not is_free and parent.numa_node != request.numa_node:
        place = "an unknown NUMA node" if parent.numa_node is None else f"NUMA node {parent.numa_node}"
        is_nowhere = all(candidate.numa_node != request.numa_node for candidate in request.parents)
        return f"is on {place}, not {request.numa_node}{', which no candidate is on' if is_nowhere else ''}"
    return capacity.why_not(parent, mdev_type) if request.is_active else ""


def _in_order(rejections: tuple[Rejection, ...]) -> tuple[Rejection, ...]:
    return tuple(sorted(rejections, key=lambda rejection: address_key(rejection.parent)))


def no_capacity_for(missing: Sequence[Unplaced], active_count: int) -> NoRoom:
    """One error for all devices that no candidate has room for. active_count: how many devices should be active."""
    if active_count == 1:
        return no_room(missing[0].request.requested_type, missing[0].rejected)
    short: dict[tuple[str, str], list[Unplaced]] = {}
    for device in sorted(missing, key=lambda unplaced: (address_key(unplaced.request.label), unplaced.request.index)):
        short.setdefault((device.request.label, device.request.requested_type), []).append(device)
    lines = [
        f"{label}: {len(devices)} of type '{mdev_type}' do not fit" for (label, mdev_type), devices in short.items()
    ]
    rejected = distinct([rejection for device in missing for rejection in device.rejected])
    return NoRoom(
        f"no room for {len(missing)} of the {active_count} devices that should be active. {'; '.join(lines)}. "
        f"{_rejections_text(rejected)}. Nothing was changed",
        short=[
            {
                "entry": label,
                "type": mdev_type,
                "missing": len(devices),
                "uuids": [device.request.key for device in devices],
            }
            for (label, mdev_type), devices in short.items()
        ],
        rejected_parents=rejection_facts(rejected),
    )


def no_room(requested_type: str, rejected: tuple[Rejection, ...]) -> NoRoom:
    """The error for one device that no candidate has room for, with the reason of each."""
    return NoRoom(
        f"no room for a device of type '{requested_type}'. {_rejections_text(rejected)}",
        type=requested_type,
        rejected_parents=rejection_facts(rejected),
    )


def _rejections_text(rejected: Iterable[Rejection]) -> str:
    """Each reason once, with the parents that it is about. A reason that names its card needs no parents."""
    about: dict[str, list[Rejection]] = {}
    for rejection in rejected:
        about.setdefault(rejection.reason, []).append(rejection)
    return "; ".join(
        reason if reason.startswith("card ") else f"{_parents_text(alike)}: {reason}" for reason, alike in about.items()
    )


def _parents_text(alike: Sequence[Rejection]) -> str:
    """The parents by address, the functions of one card together."""
    functions: dict[str, list[str]] = {}
    for rejection in alike:
        functions.setdefault(rejection.card or rejection.parent, []).append(rejection.parent)
    return ", ".join(
        f"each of {len(parents)} functions of card {card}" if len(parents) > 1 else parents[0]
        for card, parents in functions.items()
    )


def distinct(rejections: Iterable[Rejection]) -> tuple[Rejection, ...]:
    """Each parent with each of its reasons once, in address order."""
    return _in_order(tuple(dict.fromkeys(rejections)))


def rejected_in_the_end(
    planned: tuple[Rejection, ...], full: tuple[Rejection, ...], chosen: frozenset[str]
) -> tuple[Rejection, ...]:
    """The parents that were passed over, once the devices are created.

    full:   parents that turned out to be full: this reason replaces the planned one
    chosen: parents that got a device that was planned for another parent
    """
    known = {rejection.parent for rejection in full} | chosen
    return _in_order(tuple(rejection for rejection in planned if rejection.parent not in known) + full)


def rejection_facts(rejected: tuple[Rejection, ...]) -> list[dict[str, object]]:
    """The passed-over parents as results show them."""
    return [{"parent": rejection.parent, "reason": rejection.reason} for rejection in rejected]
