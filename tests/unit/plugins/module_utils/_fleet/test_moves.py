# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests and hosts become moves: never more than a card takes, the same in any order, each refusal with its reason."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest
from builders import device, inventory, mdev_type, parent
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._fleet.moves import (
    CandidateHost,
    MovePlan,
    MovingGuest,
    Offer,
    plan_moves,
    rank_hosts,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Inventory, Parent, Type
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import (
    FIRST,
    PACK,
    PLACEMENTS,
    SPREAD,
    DeviceRequest,
)
from ansible_collections.vfio.mdev.plugins.module_utils._planning.planner import plan_devices
from ansible_collections.vfio.mdev.plugins.module_utils._planning.steps import CreateDevice


def key(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def guest(number: int) -> MovingGuest:
    return MovingGuest(key(number), f"web-{number}")


def needs(number: int, *types: str) -> tuple[DeviceRequest, ...]:
    """The devices that a guest needs."""
    return tuple(
        DeviceRequest(key(1000 * number + index + 1), type=type_id, label=f"guest web-{number}, device {index}")
        for index, type_id in enumerate(types)
    )


def host(
    name: str, here: Inventory, guests: dict[int, Sequence[str]], refused: str = "", prepared: Iterable[int] = ()
) -> CandidateHost:
    """A host that could take each of these guests by itself, as far as others do not matter."""
    offers = {key(n): Offer(needs(n, *types), is_prepared=n in prepared) for n, types in guests.items()}
    return CandidateHost(name, len(here.devices), lambda: here, offers, refused)


def mtty(left: int = 24, devices: int = 0) -> Inventory:
    """One parent whose types share its ports."""
    types = (mdev_type("mtty-1", left), mdev_type("mtty-2", left // 2))
    existing = [device(key(9000 + n), "mtty", "mtty-1") for n in range(devices)]
    return inventory(parent("mtty", *types), devices=existing)


def destinations(plan: MovePlan) -> dict[str, str]:
    return {move.guest.name: move.destination for move in plan.moves}


ONE = {1: ["mtty-1"], 2: ["mtty-1"], 3: ["mtty-1"]}


@pytest.mark.parametrize(
    ("placement", "chosen"),
    [
        (FIRST, ["gpu-2", "gpu-2", "gpu-9"]),
        (PACK, ["gpu-10", "gpu-9", "gpu-9"]),
        (SPREAD, ["gpu-2", "gpu-2", "gpu-9"]),
    ],
)
def test_hosts_are_chosen_by_the_placement(placement: str, chosen: list[str]) -> None:
    """gpu-2 has room for two guests, gpu-9 for many, gpu-10 for one. Numbers in names are numbers."""
    hosts = [
        host("gpu-10", mtty(1, devices=5), ONE),
        host("gpu-9", mtty(24, devices=2), ONE),
        host("gpu-2", mtty(2), ONE),
    ]
    plan = plan_moves([guest(n) for n in ONE], hosts, placement)
    assert [destinations(plan)[f"web-{n}"] for n in ONE] == chosen
    assert not plan.unplaced


def test_every_refusal_has_its_reason() -> None:
    small, big = guest(1), guest(2)
    refusing = CandidateHost("gpu-3", 0, Inventory, {key(1): Offer(refused=("cpu: no avx",))})
    hosts = [
        host("gpu-1", mtty(1), {1: ["mtty-1"], 2: ["mtty-1", "mtty-2"]}),
        host("gpu-2", mtty(), {1: ["mtty-1"], 2: ["mtty-1"]}, refused="it is cordoned"),
        refusing,
    ]
    plan = plan_moves([big, small], hosts, SPREAD)
    assert destinations(plan) == {"web-1": "gpu-1"}
    [left] = plan.unplaced
    reasons = {refusal.host: refusal.reasons for refusal in left.refusals}
    assert "no room for" in reasons["gpu-1"][0]
    assert (reasons["gpu-2"], reasons["gpu-3"]) == (("it is cordoned",), ("it did not answer for this guest",))


def test_a_prepared_guest_goes_where_it_is_prepared() -> None:
    """Whatever the host answers: the guest may be running there already."""
    there = CandidateHost("gpu-9", 5, lambda: mtty(0), {key(1): Offer(refused=("guest: runs here",), is_prepared=True)})
    plan = plan_moves([guest(1)], [host("gpu-1", mtty(), {1: ["mtty-1"]}), there], SPREAD)
    assert destinations(plan) == {"web-1": "gpu-9"}


def test_a_guest_that_migrates_elsewhere_gets_no_destination() -> None:
    moving = MovingGuest(key(1), "web-1", is_migrating=True)
    plan = plan_moves([moving], [host("gpu-1", mtty(), {1: ["mtty-1"]})], SPREAD)
    assert (plan.moves, plan.unplaced[0].refusals) == ((), ())


def test_an_order_that_places_all_is_found() -> None:
    """By itself, the policy would put the guest with one port beside nothing, and leave no room for the other."""
    hosts = [host("gpu-1", mtty(2), {1: ["mtty-1"], 2: ["mtty-1", "mtty-1"]}), host("gpu-2", mtty(1), {1: ["mtty-1"]})]
    assert destinations(plan_moves([guest(1), guest(2)], hosts, FIRST)) == {"web-1": "gpu-2", "web-2": "gpu-1"}


def test_sizes_that_a_card_may_not_mix_are_not_mixed() -> None:
    """Whether an empty NVIDIA card mixes sizes is not visible, and a refusal would concern all guests."""
    types = [Type(f"nvidia-{n}", f"A100-{n}C", f"framebuffer={n}M, max_instance=5", "vfio-pci", 1) for n in (8, 10)]
    functions = [
        parent(f"0000:41:00.{n}", *types, driver="nvidia", physical_function="0000:41:00.0") for n in range(4, 8)
    ]
    wanted = {1: ["nvidia-8"], 2: ["nvidia-8"], 3: ["nvidia-10"]}
    hosts = [host("gpu-1", inventory(*functions), wanted)]
    plan = plan_moves([guest(n) for n in wanted], hosts, FIRST)
    assert len(plan.moves) == 2
    [left] = plan.unplaced
    assert "takes types of one size at a time" in left.refusals[0].reasons[0]


def test_hosts_are_ranked_for_all_guests_together() -> None:
    both = {1: ["mtty-2"], 2: ["mtty-2"]}
    hosts = [
        host("gpu-10", mtty(4), both),
        host("gpu-3", mtty(24, devices=3), both),
        host("gpu-2", mtty(2), both),
        host("gpu-1", mtty(), both, refused="it is unreachable"),
    ]
    guests = [guest(1), guest(2)]
    ranked = {placement: [row.name for row in rank_hosts(guests, hosts, placement)] for placement in PLACEMENTS}
    assert ranked[FIRST] == ["gpu-3", "gpu-10", "gpu-1", "gpu-2"]
    assert ranked[PACK] == ["gpu-3", "gpu-10", "gpu-1", "gpu-2"]
    assert ranked[SPREAD] == ["gpu-10", "gpu-3", "gpu-1", "gpu-2"]
    rows = {row.name: row for row in rank_hosts(guests, hosts, FIRST)}
    assert (rows["gpu-3"].fits, rows["gpu-3"].reasons) == (True, ())
    assert (rows["gpu-1"].fits, rows["gpu-1"].reasons) == (False, ("it is unreachable",))
    assert "no room for 1 of the 2 devices" in rows["gpu-2"].reasons[0]


# A driver that knows the true capacity of its cards, which the planner only sees through available_instances.


@dataclass(frozen=True)
class Card:
    """A card with a budget of units that all its functions share, and the devices on it, by size in units.

    functions: how many; 0 if the card itself takes several devices
    mixes:     whether a card with functions takes several sizes at a time
    """

    budget: int
    functions: int
    used: tuple[int, ...]
    mixes: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        return (1, 2, 4)

    def left(self, size: int) -> int:
        """How many more devices of this size fit. NVIDIA cards take one size at a time, or mix them."""
        free = self.budget - sum(self.used)
        if self.functions and not self.mixes and any(other != size for other in self.used):
            return 0
        return free // size

    def parents(self, number: int) -> list[Parent]:
        address = f"0000:{number + 1:02x}:00.0"
        if not self.functions:
            return [parent(address, *(mdev_type(f"t-{size}", self.left(size)) for size in self.sizes))]
        taken = len(self.used)
        return [
            parent(
                f"0000:{number + 1:02x}:{(index + 4) // 8:02x}.{(index + 4) % 8}",
                *(
                    Type(
                        f"t-{size}",
                        f"NVIDIA X-{size}C",
                        f"framebuffer={size}M, max_instance={self.budget // size}",
                        "vfio-pci",
                        min(1, self.left(size)) if index >= taken else 0,
                    )
                    for size in self.sizes
                ),
                driver="nvidia",
                physical_function=address,
            )
            for index in range(self.functions)
        ]

    def fits(self, sizes: Sequence[int]) -> bool:
        """Whether the driver creates devices of these sizes, in some order."""
        total = [*self.used, *sizes]
        if self.functions and (len(total) > self.functions or (len(set(total)) > 1 and not self.mixes)):
            return False
        return sum(total) <= self.budget


def card_strategy() -> st.SearchStrategy[Card]:
    plain = st.builds(Card, st.integers(1, 16), st.just(0), st.just(()))
    functions = st.builds(
        lambda budget, functions, used, size: Card(budget, functions, (size,) * min(used, functions, budget // size)),
        st.sampled_from([4, 8, 16]),
        st.integers(2, 8),
        st.integers(0, 3),
        st.sampled_from([1, 2, 4]),
    )
    mixed = st.builds(
        lambda functions, used: Card(16, functions, tuple(used[:functions]), mixes=True),
        st.integers(2, 8),
        st.lists(st.sampled_from([1, 2, 4]), max_size=4),
    )
    return st.one_of(plain, functions, mixed)


FLEETS = st.lists(st.lists(card_strategy(), min_size=1, max_size=3), min_size=1, max_size=4)
GUESTS = st.lists(st.lists(st.sampled_from([1, 2, 4]), max_size=3), min_size=1, max_size=8)


def fleet_host(number: int, cards: Sequence[Card], guests: dict[int, Sequence[str]]) -> CandidateHost:
    """The host, which refuses the guests that it can't take alone, as hosts do."""
    parents = [offering for index, card in enumerate(cards) for offering in card.parents(index)]
    existing = [
        device(key(5000 + 100 * number + 10 * index + n), card.parents(index)[n].address, f"t-{size}")
        for index, card in enumerate(cards)
        for n, size in enumerate(card.used)
    ]
    here = inventory(*parents, devices=existing)
    return host(f"gpu-{number}", here, guests)


def created(candidate: CandidateHost, guests: Iterable[MovingGuest]) -> dict[str, list[int]]:
    """The sizes of the devices that preparing the guests would create, by card."""
    requests = [request for moving in guests for request in candidate.offers[moving.uuid].requests]
    sizes: dict[str, list[int]] = {}
    for step in plan_devices(requests, candidate.inventory()).steps:
        assert isinstance(step, CreateDevice)
        sizes.setdefault(step.choices[0].parent.card, []).append(int(step.choices[0].type.id[2:]))
    return sizes


@settings(max_examples=150)
@given(FLEETS, GUESTS, st.sampled_from(PLACEMENTS), st.randoms(use_true_random=False))
def test_a_driver_accepts_every_plan_and_order_does_not_matter(
    fleet: list[list[Card]], wanted: list[list[int]], placement: str, shuffle: random.Random
) -> None:
    guests = {n: [f"t-{size}" for size in sizes] for n, sizes in enumerate(wanted, start=1)}
    hosts = [fleet_host(number, cards, guests) for number, cards in enumerate(fleet)]
    moving = [guest(n) for n in guests]
    plan = plan_moves(moving, hosts, placement)
    assert len(plan.moves) + len(plan.unplaced) == len(moving)
    for number, (candidate, cards) in enumerate(zip(hosts, fleet)):
        here = [move.guest for move in plan.moves if move.destination == candidate.name]
        for address, sizes in created(candidate, here).items():
            card = cards[int(address[5:7], 16) - 1]
            assert card.fits(sizes), (number, address, card, sizes)
    for left in plan.unplaced:
        assert {refusal.host for refusal in left.refusals} == {candidate.name for candidate in hosts}
        assert all(refusal.reasons for refusal in left.refusals)
    shuffle.shuffle(hosts)
    shuffle.shuffle(moving)
    assert plan_moves(moving, hosts, placement) == plan


@settings(max_examples=100)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(1, 6), st.sampled_from(PLACEMENTS))
def test_guests_with_one_device_are_placed_while_there_is_room(rooms: list[int], count: int, placement: str) -> None:
    """With devices of one size, no order leaves room unused."""
    guests = {n: ["mtty-1"] for n in range(1, count + 1)}
    hosts = [host(f"gpu-{number}", mtty(room), guests) for number, room in enumerate(rooms)]
    plan = plan_moves([guest(n) for n in guests], hosts, placement)
    assert len(plan.moves) == min(count, sum(rooms))
    counts = Counter(destinations(plan).values())
    assert all(counts[f"gpu-{number}"] <= room for number, room in enumerate(rooms))
