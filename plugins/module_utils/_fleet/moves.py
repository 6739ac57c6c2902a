# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chooses a host for each guest that should move. Pure: the same guests and hosts give the same answer, in any order.

Each host has answered for each guest by itself. Whether several guests fit on a host together is decided by the planner
that will prepare them there, on the host's own inventory, and only what is certain is planned (see certainty.py), so
that no card is ever filled beyond its capacity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Callable, Optional

from .._model.addresses import AddressKey, address_key
from .._model.errors import MdevError
from .._model.inventory import Inventory
from .._model.request import FIRST, PACK, SPREAD, DeviceRequest
from .._planning.planner import plan_devices
from .certainty import uncertainty


@dataclass(frozen=True)
class MovingGuest:
    """A guest that should move. is_migrating: whether libvirt migrates it already."""

    uuid: str
    name: str
    is_migrating: bool = False

    @property
    def order(self) -> tuple[AddressKey, str]:
        """Guests are named in this order."""
        return (address_key(self.name), self.uuid)


@dataclass(frozen=True)
class Offer:
    """A host's answer for one guest.

    requests:    the devices that need a place there
    refused:     why the host can't take the guest, as text; empty if it can
    is_prepared: whether the guest is prepared there already: it may be on its way, so it goes to no other host
    """

    requests: tuple[DeviceRequest, ...] = ()
    refused: tuple[str, ...] = ()
    is_prepared: bool = False


@dataclass(frozen=True)
class CandidateHost:
    """A host that could take guests.

    devices:   how many it has
    inventory: returns its inventory. Only called for hosts that are about to get a guest with devices
    offers:    its answers, by the guests' UUIDs
    refused:   why it takes no guests at all; empty if it does
    """

    name: str
    devices: int
    inventory: Callable[[], Inventory]
    offers: Mapping[str, Offer] = field(default_factory=dict)
    refused: str = ""

    def offer(self, guest: MovingGuest) -> Offer:
        """The answer for a guest."""
        return self.offers.get(guest.uuid) or Offer(refused=("it did not answer for this guest",))


@dataclass(frozen=True)
class Move:
    """A guest with its destination, and why that was chosen, as text. offer: the destination's answer."""

    guest: MovingGuest
    destination: str
    reason: str
    offer: Offer = Offer()


@dataclass(frozen=True)
class Refusal:
    """A host that can't take a guest, and why, as text."""

    host: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Unplaced:
    """A guest that no host can take. Without refusals, it migrates already to a host that did not answer."""

    guest: MovingGuest
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True)
class MovePlan:
    """The plan, in the order of the guests' names."""

    moves: tuple[Move, ...]
    unplaced: tuple[Unplaced, ...]


@dataclass(frozen=True)
class RankedHost:
    """A host, and whether it could take all guests together. reasons: why not."""

    name: str
    fits: bool
    reasons: tuple[str, ...]


class _Host:
    """A host while a plan is made: planned guests take some of its capacity."""

    def __init__(self, candidate: CandidateHost) -> None:
        self.candidate = candidate
        self.devices = candidate.devices
        self.guests = 0
        self._requests: list[DeviceRequest] = []
        self._refused: dict[tuple[DeviceRequest, ...], str] = {}
        self._refused_alone: dict[tuple[DeviceRequest, ...], str] = {}
        self._inventory: Optional[Inventory] = None

    def emptied(self) -> _Host:
        """The host without planned guests, for another attempt."""
        host = _Host(self.candidate)
        host._inventory, host._refused_alone = self._inventory, self._refused_alone
        host._refused = dict(self._refused_alone)
        return host

    @property
    def order(self) -> AddressKey:
        """Hosts are named in this order."""
        return address_key(self.candidate.name)

    def why_not(self, requests: Sequence[DeviceRequest]) -> str:
        """Why the devices do not fit beside those that are planned; empty if they fit.

        What did not fit once does not fit later, as guests only take capacity.
        """
        if not requests:
            return ""
        shape = self._shape(requests)
        if shape not in self._refused:
            problem = _problem([*self._requests, *requests], self.inventory)
            if not problem:
                return ""
            self._refused[shape] = problem
            if not self._requests:
                self._refused_alone[shape] = problem
        return self._refused[shape]

    def take(self, requests: Sequence[DeviceRequest]) -> None:
        """Plans a guest with these devices on the host."""
        self._requests.extend(requests)
        self.devices += len(requests)
        self.guests += 1

    @property
    def inventory(self) -> Inventory:
        """The host's inventory, read once."""
        if self._inventory is None:
            self._inventory = self.candidate.inventory()
        return self._inventory

    def _shape(self, requests: Sequence[DeviceRequest]) -> tuple[DeviceRequest, ...]:
        """The requests without what capacity does not depend on. A device that exists keeps its key."""
        keys = self.inventory.keys
        return tuple(
            replace(request, key=request.key if request.key in keys else "", label="", name=None)
            for request in requests
        )


@dataclass(frozen=True)
class _Policy:
    """How hosts are ranked: the lowest rank comes first, then the name. reason: why the first was chosen."""

    rank: Callable[[_Host], tuple[int, ...]]
    reason: Callable[[_Host], str]


def _problem(requests: Sequence[DeviceRequest], inventory: Inventory) -> str:
    """Why the devices do not certainly fit together; empty if they do."""
    try:
        return uncertainty(plan_devices(requests, inventory).steps, inventory)
    except MdevError as error:
        return error.message


def _devices(host: _Host) -> str:
    return f"{host.devices} device" if host.devices == 1 else f"{host.devices} devices"


_POLICIES = {
    FIRST: _Policy(lambda _host: (), lambda _host: "first with room in the order of names"),
    PACK: _Policy(
        lambda host: (-host.devices, -host.guests), lambda host: f"fullest host with room, with {_devices(host)}"
    ),
    SPREAD: _Policy(
        lambda host: (host.devices, host.guests), lambda host: f"host with the fewest devices, with {_devices(host)}"
    ),
}


def plan_moves(guests: Iterable[MovingGuest], candidates: Iterable[CandidateHost], placement: str) -> MovePlan:
    """A host for each guest.

    If one order leaves guests without a host, the next order is tried. The first that leaves the fewest wins.
    """
    hosts = sorted((_Host(candidate) for candidate in candidates), key=lambda host: host.order)
    moving = sorted(guests, key=lambda guest: guest.order)
    choices = {guest.uuid: sum(not host.candidate.offer(guest).refused for host in hosts) for guest in moving}
    sizes = {guest.uuid: _size(guest, hosts) for guest in moving}
    attempts = (
        (placement, lambda guest: (choices[guest.uuid], -sizes[guest.uuid])),
        (placement, lambda guest: (-sizes[guest.uuid], choices[guest.uuid])),
        # Filling one host after the other leaves room for guests with many devices.
        (PACK, lambda guest: (-sizes[guest.uuid], choices[guest.uuid])),
        (PACK, lambda guest: (choices[guest.uuid], sizes[guest.uuid])),
    )
    best: Optional[MovePlan] = None
    for policy, hardness in attempts:
        hosts = [host.emptied() for host in hosts]
        attempt = _attempt(sorted(moving, key=hardness), hosts, _POLICIES[policy])
        if best is None or len(attempt.unplaced) < len(best.unplaced):
            best = attempt
        if not best.unplaced:
            break
    return best or MovePlan((), ())


def rank_hosts(
    guests: Iterable[MovingGuest], candidates: Iterable[CandidateHost], placement: str
) -> tuple[RankedHost, ...]:
    """All hosts: first those that could take all guests together, ranked by the placement, then the others by name."""
    moving = sorted(guests, key=lambda guest: guest.order)
    hosts = sorted((_Host(candidate) for candidate in candidates), key=lambda host: host.order)
    answers = {host.candidate.name: _why_not_all(host, moving) for host in hosts}
    rank = _POLICIES[placement].rank
    fitting = sorted((host for host in hosts if not answers[host.candidate.name]), key=rank)
    others = [host for host in hosts if answers[host.candidate.name]]
    return tuple(
        RankedHost(host.candidate.name, not answers[host.candidate.name], answers[host.candidate.name])
        for host in (*fitting, *others)
    )


def _size(guest: MovingGuest, hosts: Sequence[_Host]) -> int:
    """How many devices the guest needs at most."""
    return max((len(host.candidate.offer(guest).requests) for host in hosts), default=0)


def _why_not_all(host: _Host, guests: Sequence[MovingGuest]) -> tuple[str, ...]:
    """Why the host can't take all guests together; empty if it can."""
    if host.candidate.refused:
        return (host.candidate.refused,)
    offers = [host.candidate.offer(guest) for guest in guests]
    refused = tuple(dict.fromkeys(reason for offer in offers for reason in offer.refused))
    if refused:
        return refused
    problem = host.why_not([request for offer in offers for request in offer.requests])
    return (problem,) if problem else ()


def _attempt(guests: Sequence[MovingGuest], hosts: Sequence[_Host], policy: _Policy) -> MovePlan:
    moves: list[Move] = []
    unplaced: list[Unplaced] = []
    prepared = {guest.uuid: host for host in hosts for guest in guests if host.candidate.offer(guest).is_prepared}
    # Those that may be on their way come first, because nothing can be decided about them.
    for guest in sorted(guests, key=lambda guest: guest.uuid not in prepared):
        if guest.uuid in prepared:
            host = prepared[guest.uuid]
            offer = host.candidate.offer(guest)
            host.take(offer.requests)
            moves.append(Move(guest, host.candidate.name, "already prepared there", offer))
            continue
        chosen, refusals = _choose(guest, [] if guest.is_migrating else sorted(hosts, key=policy.rank))
        if chosen is None:
            in_order = sorted(refusals, key=lambda refusal: address_key(refusal.host))
            unplaced.append(Unplaced(guest, tuple(in_order)))
            continue
        offer = chosen.candidate.offer(guest)
        moves.append(Move(guest, chosen.candidate.name, policy.reason(chosen), offer))
        chosen.take(offer.requests)
    return MovePlan(
        tuple(sorted(moves, key=lambda move: move.guest.order)),
        tuple(sorted(unplaced, key=lambda left: left.guest.order)),
    )


def _choose(guest: MovingGuest, ranked: Sequence[_Host]) -> tuple[Optional[_Host], list[Refusal]]:
    """The first host that can take the guest, and why those before it can't."""
    refusals: list[Refusal] = []
    for host in ranked:
        reasons = _why_not_all(host, [guest])
        if not reasons:
            return host, refusals
        refusals.append(Refusal(host.candidate.name, reasons))
    return None, refusals
