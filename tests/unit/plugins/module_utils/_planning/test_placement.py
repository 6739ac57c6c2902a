# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Placement of devices on parents."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from builders import device, inventory, mdev_type, parent
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Inventory, Parent, Type
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import PLACEMENTS
from ansible_collections.vfio.mdev.plugins.module_utils._planning import placement
from ansible_collections.vfio.mdev.plugins.module_utils._planning.capacity import Capacity
from ansible_collections.vfio.mdev.plugins.module_utils._planning.matching import candidates, types_on
from ansible_collections.vfio.mdev.plugins.module_utils._planning.placement import PlacementRequest, Placements

CARD_1, CARD_2 = "0000:41:00.0", "0000:c1:00.0"


def requests(host: Inventory, *counts: tuple[str, int], label: str = "", **more: Any) -> list[PlacementRequest]:
    """Requests for devices, as (type, count)."""
    parents = candidates((), host)
    return [
        PlacementRequest(
            f"{type_id}/{label}{index}",
            type_id,
            parents,
            types_on(type_id, parents),
            label=label or type_id,
            index=index,
            **more,
        )
        for type_id, count in counts
        for index in range(count)
    ]


def addresses(placements: Placements) -> dict[str, str]:
    return {key: placed.choices[0].parent.address for key, placed in placements.placed.items()}


def functions(card: str, node: int, *types: Type, count: int = 4, driver: str = "nvidia") -> tuple[Parent, ...]:
    """The virtual functions of a card."""
    return tuple(
        parent(f"{card[:-1]}{n}", *types, physical_function=card, numa_node=node, driver=driver)
        for n in range(1, count + 1)
    )


def test_the_first_parent_with_capacity_is_chosen_and_the_others_have_a_reason() -> None:
    host = inventory(
        parent("0000:09:00.0", mdev_type("t-2", 3)),
        parent("0000:0a:00.0", mdev_type("t-1", 0), mdev_type("t-2", 0)),
        parent("0000:0b:00.0", mdev_type("t-1", 0), mdev_type("t-2", 2)),
        parent("0000:0c:00.0", mdev_type("t-1", None)),
        parent("0000:10:00.0", mdev_type("t-1", 1)),
        parent("0000:11:00.0", mdev_type("t-1", 5)),
    )
    [placed] = placement.place_all(requests(host, ("t-1", 1)), Capacity(host)).placed.values()
    assert [choice.parent.address for choice in placed.choices] == ["0000:10:00.0", "0000:11:00.0"]
    assert {rejection.parent: rejection.reason for rejection in placed.rejected} == {
        "0000:09:00.0": "does not offer type 't-1'",
        "0000:0a:00.0": "has 0 of t-1 left and nothing of any other type",
        "0000:0b:00.0": "has 0 of t-1 left (but 2 of t-2)",
        "0000:0c:00.0": "available_instances of t-1 could not be read",
        "0000:11:00.0": "comes after the chosen parent in address order",
    }


# The types of the sample drivers, which share one budget of megabytes or ports.
MBOCHS = parent("mbochs", mdev_type("small", 64), mdev_type("medium", 16), mdev_type("large", 4))
MTTY = parent("mtty", mdev_type("mtty-1", 24), mdev_type("mtty-2", 12))
MDPY = parent("mdpy", mdev_type("vga", 4), mdev_type("hd", 4))
# The same driver when it is nearly full: five units are left, and a medium device takes four.
NEARLY_FULL = parent("mbochs", mdev_type("small", 5), mdev_type("medium", 1), mdev_type("large", 0))


@pytest.mark.parametrize(
    ("on", "counts", "missing"),
    [
        (MBOCHS, [("large", 4)], 0),
        (MBOCHS, [("large", 5)], 1),
        (MBOCHS, [("large", 3), ("medium", 2), ("small", 8)], 0),
        (MBOCHS, [("medium", 15), ("small", 4)], 0),
        (MBOCHS, [("medium", 15), ("small", 5)], 1),
        (MTTY, [("mtty-1", 22), ("mtty-2", 1)], 0),
        (MTTY, [("mtty-1", 23), ("mtty-2", 1)], 1),
        (MDPY, [("vga", 2), ("hd", 2)], 0),
        (MDPY, [("vga", 3), ("hd", 2)], 1),
        (NEARLY_FULL, [("medium", 1), ("small", 1)], 0),
        (NEARLY_FULL, [("medium", 1), ("small", 3)], 1),
        (NEARLY_FULL, [("large", 1)], 1),
    ],
)
def test_types_share_the_budget_of_a_parent(on: Parent, counts: list[tuple[str, int]], missing: int) -> None:
    host = inventory(on)
    assert len(placement.place_all(requests(host, *counts), Capacity(host)).missing) == missing


def test_a_removed_device_frees_capacity() -> None:
    full = inventory(
        parent("mtty", mdev_type("mtty-1", 0), mdev_type("mtty-2", 0)),
        devices=(device("u", on="mtty", type_id="mtty-1"),),
    )
    capacity = Capacity(full)
    assert placement.place_all(requests(full, ("mtty-1", 1)), capacity).missing
    capacity.free(full.devices[0])
    assert not placement.place_all(requests(full, ("mtty-1", 1)), capacity).missing
    assert len(placement.place_all(requests(full, ("mtty-1", 2)), capacity).missing) == 1


A_TYPE = replace(mdev_type("A", 1, name="NVIDIA A100-8C"), description="num_heads=1, max_instance=3")
B_TYPE = replace(mdev_type("B", 1, name="NVIDIA A100-4C"), description="num_heads=1, max_instance=10")
SAME_SIZE = tuple(
    replace(mdev_type(type_id, 1, name=f"GRID T4-4{type_id}"), description="framebuffer=4096M, max_instance=3")
    for type_id in "AB"
)
MIG_TYPES = (mdev_type("A", 1, name="NVIDIA A100-1-5C"), mdev_type("B", 1, name="NVIDIA A100-3-20C"))
ONE_CARD = functions(CARD_1, 0, A_TYPE, B_TYPE)
TWO_CARDS = ONE_CARD + functions(CARD_2, 1, A_TYPE, B_TYPE)


@pytest.mark.parametrize(
    ("parents", "counts", "missing", "doubtful"),
    [
        (ONE_CARD, [("B", 4)], 0, 0),
        # A virtual function holds one device.
        (ONE_CARD, [("B", 5)], 1, 0),
        # Each function reports one, but the card holds three.
        (ONE_CARD, [("A", 4)], 1, 0),
        # One size per card, unless the card is in another mode, which only its driver knows.
        (ONE_CARD, [("A", 1), ("B", 1)], 0, 1),
        # Types of one size may be mixed, and share the maximum.
        (functions(CARD_1, 0, *SAME_SIZE), [("A", 1), ("B", 2)], 0, 0),
        (functions(CARD_1, 0, *SAME_SIZE), [("A", 2), ("B", 2)], 1, 0),
        (functions(CARD_1, 0, A_TYPE, B_TYPE, driver="other"), [("A", 1), ("B", 1)], 0, 0),
        (functions(CARD_1, 0, *MIG_TYPES), [("A", 1), ("B", 2)], 0, 0),
        (TWO_CARDS, [("A", 3), ("B", 4)], 0, 0),
        (TWO_CARDS, [("A", 4), ("B", 1)], 0, 1),
    ],
)
@pytest.mark.parametrize("policy", PLACEMENTS)
def test_nvidia_cards(
    parents: tuple[Parent, ...], counts: list[tuple[str, int]], missing: int, doubtful: int, policy: str
) -> None:
    host = inventory(*parents)
    placements = placement.place_all(requests(host, *counts, policy=policy), Capacity(host))
    assert len(placements.missing) == missing
    # pack fills the fullest card, if its driver lets it.
    assert policy == "pack" or placements.doubtful == doubtful


@pytest.mark.parametrize("policy", ["first", "spread"])
def test_sizes_are_kept_apart_as_long_as_there_are_cards(policy: str) -> None:
    host = inventory(*TWO_CARDS)
    placements = placement.place_all(requests(host, ("A", 2), ("B", 2), policy=policy), Capacity(host))
    cards = {key[0]: {choice.choices[0].parent.card} for key, choice in placements.placed.items()}
    assert (placements.missing, placements.doubtful, cards["A"] & cards["B"]) == ((), 0, set())
    alternatives = placements.placed["B/0"].choices
    assert len({choice.parent.card for choice in alternatives}) == 2


def test_a_defined_device_stays_on_its_parent_if_it_can() -> None:
    host = inventory(*TWO_CARDS)
    [request] = requests(host, ("A", 1), numa_node=0)
    kept = placement.place_all([replace(request, preferred=f"{CARD_2[:-1]}2")], Capacity(host)).placed["A/0"]
    assert kept.choices[0].parent.address == f"{CARD_2[:-1]}2"
    moved = placement.place_all([replace(request, preferred="0000:99:00.0")], Capacity(host)).placed["A/0"]
    assert moved.choices[0].parent.address == f"{CARD_1[:-1]}1"


def test_a_card_that_offers_a_type_beside_another_holds_both() -> None:
    host = inventory(*ONE_CARD[1:], devices=(device("u", on=ONE_CARD[1].address, type_id="A"),))
    assert not placement.place_all(requests(host, ("B", 1), ("A", 1)), Capacity(host)).missing


def test_the_whole_card_is_free_after_its_only_device_is_removed() -> None:
    full = replace(B_TYPE, available_instances=0)
    existing = device("u", on="0000:41:00.1", type_id="A")
    host = inventory(*functions(CARD_1, 0, replace(A_TYPE, available_instances=0), full), devices=(existing,))
    capacity = Capacity(host)
    capacity.free(existing)
    assert not placement.place_all(requests(host, ("B", 4)), capacity).missing
    assert placement.place_all(requests(host, ("B", 3), ("A", 1)), capacity).doubtful == 3


@pytest.mark.parametrize(
    ("policy", "occupied", "count", "cards"),
    [
        ("first", [], 3, {CARD_1: 3}),
        ("spread", [], 4, {CARD_1: 2, CARD_2: 2}),
        ("pack", [], 3, {CARD_1: 3}),
        ("spread", ["0000:41:00.1"], 2, {CARD_1: 1, CARD_2: 1}),
        ("spread", ["0000:41:00.1", "0000:41:00.2"], 2, {CARD_2: 2}),
        ("pack", ["0000:c1:00.1"], 2, {CARD_2: 2}),
    ],
)
def test_policies(policy: str, occupied: list[str], count: int, cards: dict[str, int]) -> None:
    taken = replace(B_TYPE, available_instances=0)
    parents = tuple(
        replace(function, types=(taken if function.address in occupied else B_TYPE,)) for function in TWO_CARDS
    )
    host = inventory(
        *parents, devices=tuple(device(f"u{index}", on=address, type_id="B") for index, address in enumerate(occupied))
    )
    placements = placement.place_all(requests(host, ("B", count), policy=policy), Capacity(host))
    assert Counter(placed.choices[0].parent.physical_function for placed in placements.placed.values()) == cards
    assert not set(addresses(placements).values()) & set(occupied)


def test_spread_prefers_another_numa_node_if_cards_are_equal() -> None:
    host = inventory(
        parent("0000:01:00.0", mdev_type("t", 4), numa_node=0),
        parent("0000:02:00.0", mdev_type("t", 4), numa_node=0),
        parent("0000:81:00.0", mdev_type("t", 4), numa_node=1),
    )
    placements = placement.place_all(requests(host, ("t", 3), policy="spread"), Capacity(host))
    assert [placements.placed[f"t/{n}"].choices[0].parent.address for n in range(3)] == [
        "0000:01:00.0",
        "0000:81:00.0",
        "0000:02:00.0",
    ]
    assert placements.placed["t/1"].reason == "card with the fewest devices: 0000:81:00.0 with 0 devices"


def test_pack_prefers_the_card_that_holds_the_type() -> None:
    host = inventory(
        parent("0000:01:00.0", mdev_type("t", 4), mdev_type("s", 4)),
        parent("0000:02:00.0", mdev_type("t", 4), mdev_type("s", 4)),
        devices=(
            *(device(f"s{n}", on="0000:01:00.0", type_id="s") for n in range(3)),
            device("t", on="0000:02:00.0", type_id="t"),
        ),
    )
    placements = placement.place_all(requests(host, ("t", 1), ("s", 1), policy="pack"), Capacity(host))
    assert addresses(placements) == {"t/0": "0000:02:00.0", "s/0": "0000:01:00.0"}


def test_a_requested_numa_node_is_obeyed() -> None:
    host = inventory(*TWO_CARDS)
    placements = placement.place_all(requests(host, ("B", 1), numa_node=1), Capacity(host))
    assert addresses(placements) == {"B/0": "0000:c1:00.1"}
    assert "is on NUMA node 0, not 1" in {rejection.reason for rejection in placements.placed["B/0"].rejected}
    assert placement.place_all(requests(host, ("B", 1), numa_node=2), Capacity(host)).missing


def test_a_request_with_a_single_candidate_gets_it() -> None:
    host = inventory(parent("a", mdev_type("t", 1)), parent("b", mdev_type("t", 1)))
    free, pinned = requests(host, ("t", 1), label="free")[0], requests(host, ("t", 1), label="pinned")[0]
    only = (host.parents[0],)
    pinned = replace(pinned, parents=only, types={"a": only[0].types[0]})
    assert addresses(placement.place_all([free, pinned], Capacity(host))) == {"t/free0": "b", "t/pinned0": "a"}


def test_one_error_names_every_entry_without_capacity_and_the_state_of_each_parent() -> None:
    host = inventory(MBOCHS, MTTY)
    all_requests = requests(host, ("large", 6), label="displays") + requests(host, ("mtty-2", 13), label="ports")
    placements = placement.place_all(all_requests, Capacity(host))
    error = placement.no_capacity_for(placements.missing, len(all_requests))
    assert "no room for 3 of the 19 devices" in error.message
    assert "displays: 2 of type 'large' do not fit; ports: 1 of type 'mtty-2' do not fit" in error.message
    assert "mbochs: has 4 of large left, and this run puts 4 of large there" in error.message
    assert [(entry["entry"], entry["missing"]) for entry in error.details["short"]] == [("displays", 2), ("ports", 1)]


def test_the_error_for_a_single_device_names_each_parent() -> None:
    host = inventory(parent("0000:41:00.4", mdev_type("t-1", 0)), parent("0000:41:00.5", mdev_type("t-2", 1)))
    error = placement.no_capacity_for(placement.place_all(requests(host, ("t-1", 1)), Capacity(host)).missing, 1)
    assert "0000:41:00.4: has 0 of t-1 left" in error.message
    assert "0000:41:00.5: does not offer type 't-1'" in error.message
    assert [parent["parent"] for parent in error.details["rejected_parents"]] == ["0000:41:00.4", "0000:41:00.5"]


def test_a_reason_is_given_once_for_a_card() -> None:
    def functions(card: str, count: int, *types: Type) -> list[Parent]:
        return [
            parent(f"{card}.{number}", *types, physical_function=f"{card}.0", driver="nvidia", numa_node=1)
            for number in range(1, count + 1)
        ]

    full = Type("t-1", "A100-8C", "framebuffer=8192M, max_instance=2", "vfio-pci", 0)
    host = inventory(
        *functions("0000:41:00", 7, full),
        *functions("0000:c1:00", 7, mdev_type("t-1", 0)),
        devices=tuple(device(f"{number}", f"0000:41:00.{number}", "t-1") for number in (1, 2)),
    )
    unplaced = placement.place_all(requests(host, ("t-1", 1)), Capacity(host)).missing
    assert placement.no_capacity_for(unplaced, 1).message == (
        "no room for a device of type 't-1'. card 0000:41:00.0 holds at most 2 of A100-8C and has 2; "
        "each of 7 functions of card 0000:c1:00.0: has 0 of t-1 left and nothing of any other type"
    )
    elsewhere = [replace(request, numa_node=7) for request in requests(host, ("t-1", 1))]
    assert placement.no_capacity_for(placement.place_all(elsewhere, Capacity(host)).missing, 1).message == (
        "no room for a device of type 't-1'. each of 7 functions of card 0000:41:00.0, "
        "each of 7 functions of card 0000:c1:00.0: is on NUMA node 1, not 7, which no candidate is on"
    )


CARDS = st.lists(
    st.tuples(st.integers(0, 15), st.integers(0, 4), st.integers(0, 1)),
    min_size=1,
    max_size=6,
    unique_by=lambda card: card[0],
)


def host_of(cards: list[tuple[int, int, int]]) -> Inventory:
    """Cards as (bus, units, NUMA node). A device of type small takes one unit, one of type large takes two."""
    return inventory(
        *(
            parent(f"0000:{bus:02x}:00.0", mdev_type("small", units), mdev_type("large", units // 2), numa_node=node)
            for bus, units, node in sorted(cards)
        )
    )


@given(CARDS, st.integers(0, 8), st.integers(0, 4), st.sampled_from(PLACEMENTS), st.randoms())
def test_capacity_is_never_exceeded_and_the_order_does_not_matter(
    cards: list[tuple[int, int, int]], small: int, large: int, policy: str, shuffle: random.Random
) -> None:
    host = host_of(cards)
    all_requests = requests(host, ("small", small), ("large", large), policy=policy)
    placements = placement.place_all(all_requests, Capacity(host))
    cost = Counter({parent.address: 0 for parent in host.parents})
    for placed in placements.placed.values():
        cost[placed.choices[0].parent.address] += 2 if placed.choices[0].type.id == "large" else 1
    budgets = {f"0000:{bus:02x}:00.0": units for bus, units, _node in cards}
    assert all(cost[address] <= units for address, units in budgets.items())
    assert len(placements.placed) + len(placements.missing) == len(all_requests)
    shuffle.shuffle(all_requests)
    again = placement.place_all(all_requests, Capacity(host))
    assert addresses(again) == addresses(placements)


@given(CARDS, st.integers(1, 8), st.sampled_from(PLACEMENTS))
def test_everything_that_fits_is_placed(cards: list[tuple[int, int, int]], small: int, policy: str) -> None:
    host = host_of(cards)
    placements = placement.place_all(requests(host, ("small", small), policy=policy), Capacity(host))
    assert len(placements.placed) == min(small, sum(units for _bus, units, _node in cards))
