# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from builders import device, inventory, kind, parent
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Inventory, Parent, Type
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import PLACEMENTS
from ansible_collections.vfio.mdev.plugins.module_utils._planning import placement as _placement
from ansible_collections.vfio.mdev.plugins.module_utils._planning.capacity import Rooms
from ansible_collections.vfio.mdev.plugins.module_utils._planning.matching import candidates, types_meant
from ansible_collections.vfio.mdev.plugins.module_utils._planning.placement import Placements, Request

CARD_1, CARD_2 = "0000:41:00.0", "0000:c1:00.0"


def requests(host: Inventory, *asked: tuple[str, int], label: str = "", **more: Any) -> list[Request]:
    """Devices of types, as (type, count)."""
    parents = candidates((), host)
    return [
        Request(
            f"{type_id}/{label}{index}",
            type_id,
            parents,
            types_meant(type_id, parents),
            label=label or type_id,
            index=index,
            **more,
        )
        for type_id, count in asked
        for index in range(count)
    ]


def where(found: Placements) -> dict[str, str]:
    return {uuid: one.choices[0].parent.address for uuid, one in found.placed.items()}


def functions(card: str, node: int, *types: Type, count: int = 4, driver: str = "nvidia") -> tuple[Parent, ...]:
    """The virtual functions of a card."""
    return tuple(
        parent(f"{card[:-1]}{n}", *types, physical_function=card, numa_node=node, driver=driver)
        for n in range(1, count + 1)
    )


def test_the_first_with_room_is_taken_and_each_other_has_a_reason() -> None:
    host = inventory(
        parent("0000:09:00.0", kind("t-2", 3)),
        parent("0000:0a:00.0", kind("t-1", 0), kind("t-2", 0)),
        parent("0000:0b:00.0", kind("t-1", 0), kind("t-2", 2)),
        parent("0000:0c:00.0", kind("t-1", None)),
        parent("0000:10:00.0", kind("t-1", 1)),
        parent("0000:11:00.0", kind("t-1", 5)),
    )
    [placed] = _placement.place_all(requests(host, ("t-1", 1)), Rooms(host)).placed.values()
    assert [one.parent.address for one in placed.choices] == ["0000:10:00.0", "0000:11:00.0"]
    assert {one.parent: one.reason for one in placed.rejected} == {
        "0000:09:00.0": "does not offer type 't-1'",
        "0000:0a:00.0": "has 0 of t-1 left and nothing of any other type",
        "0000:0b:00.0": "has 0 of t-1 left (but 2 of t-2)",
        "0000:0c:00.0": "available_instances of t-1 could not be read",
        "0000:11:00.0": "comes after the chosen parent in address order",
    }


# What a sample driver offers: one budget, in megabytes or ports.
MBOCHS = parent("mbochs", kind("small", 64), kind("medium", 16), kind("large", 4))
MTTY = parent("mtty", kind("mtty-1", 24), kind("mtty-2", 12))
MDPY = parent("mdpy", kind("vga", 4), kind("hd", 4))
# The same driver when it is nearly full: five units are left, of which a medium one takes four.
RESTED = parent("mbochs", kind("small", 5), kind("medium", 1), kind("large", 0))


@pytest.mark.parametrize(
    ("on", "asked", "missing"),
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
        (RESTED, [("medium", 1), ("small", 1)], 0),
        (RESTED, [("medium", 1), ("small", 3)], 1),
        (RESTED, [("large", 1)], 1),
    ],
)
def test_types_share_what_a_parent_has(on: Parent, asked: list[tuple[str, int]], missing: int) -> None:
    host = inventory(on)
    assert len(_placement.place_all(requests(host, *asked), Rooms(host)).missing) == missing


def test_a_device_that_goes_leaves_room() -> None:
    full = inventory(
        parent("mtty", kind("mtty-1", 0), kind("mtty-2", 0)), devices=(device("u", on="mtty", type_id="mtty-1"),)
    )
    rooms = Rooms(full)
    assert _placement.place_all(requests(full, ("mtty-1", 1)), rooms).missing
    rooms.free(full.devices[0])
    assert not _placement.place_all(requests(full, ("mtty-1", 1)), rooms).missing
    assert len(_placement.place_all(requests(full, ("mtty-1", 2)), rooms).missing) == 1


A_TYPE = replace(kind("A", 1, name="NVIDIA A100-8C"), description="num_heads=1, max_instance=3")
B_TYPE = replace(kind("B", 1, name="NVIDIA A100-4C"), description="num_heads=1, max_instance=10")
SAME_SIZE = tuple(
    replace(kind(one, 1, name=f"GRID T4-4{one}"), description="framebuffer=4096M, max_instance=3") for one in "AB"
)
MIG_TYPES = (kind("A", 1, name="NVIDIA A100-1-5C"), kind("B", 1, name="NVIDIA A100-3-20C"))
ONE_CARD = functions(CARD_1, 0, A_TYPE, B_TYPE)
TWO_CARDS = ONE_CARD + functions(CARD_2, 1, A_TYPE, B_TYPE)


@pytest.mark.parametrize(
    ("parents", "asked", "missing"),
    [
        (ONE_CARD, [("B", 4)], 0),
        # A virtual function holds one device.
        (ONE_CARD, [("B", 5)], 1),
        # Each of the functions promises one, the card has three.
        (ONE_CARD, [("A", 4)], 1),
        # One size a card.
        (ONE_CARD, [("A", 1), ("B", 1)], 1),
        # Types of one size may be mixed, and share the maximum.
        (functions(CARD_1, 0, *SAME_SIZE), [("A", 1), ("B", 2)], 0),
        (functions(CARD_1, 0, *SAME_SIZE), [("A", 2), ("B", 2)], 1),
        (functions(CARD_1, 0, A_TYPE, B_TYPE, driver="other"), [("A", 1), ("B", 1)], 0),
        (functions(CARD_1, 0, *MIG_TYPES), [("A", 1), ("B", 2)], 0),
        (TWO_CARDS, [("A", 3), ("B", 4)], 0),
        (TWO_CARDS, [("A", 4), ("B", 1)], 1),
    ],
)
@pytest.mark.parametrize("policy", PLACEMENTS)
def test_cards_of_nvidia(parents: tuple[Parent, ...], asked: list[tuple[str, int]], missing: int, policy: str) -> None:
    host = inventory(*parents)
    assert len(_placement.place_all(requests(host, *asked, policy=policy), Rooms(host)).missing) == missing


def test_a_card_that_offers_a_type_beside_another_takes_several() -> None:
    host = inventory(*ONE_CARD[1:], devices=(device("u", on=ONE_CARD[1].address, type_id="A"),))
    assert not _placement.place_all(requests(host, ("B", 1), ("A", 1)), Rooms(host)).missing


def test_the_whole_card_is_free_again_where_its_only_device_goes() -> None:
    full = replace(B_TYPE, available_instances=0)
    there = device("u", on="0000:41:00.1", type_id="A")
    host = inventory(*functions(CARD_1, 0, replace(A_TYPE, available_instances=0), full), devices=(there,))
    rooms = Rooms(host)
    rooms.free(there)
    assert not _placement.place_all(requests(host, ("B", 4)), rooms).missing
    assert _placement.place_all(requests(host, ("B", 3), ("A", 1)), rooms).missing


@pytest.mark.parametrize(
    ("policy", "there", "count", "cards"),
    [
        ("first", [], 3, {CARD_1: 3}),
        ("spread", [], 4, {CARD_1: 2, CARD_2: 2}),
        ("pack", [], 3, {CARD_1: 3}),
        ("spread", ["0000:41:00.1"], 2, {CARD_1: 1, CARD_2: 1}),
        ("spread", ["0000:41:00.1", "0000:41:00.2"], 2, {CARD_2: 2}),
        ("pack", ["0000:c1:00.1"], 2, {CARD_2: 2}),
    ],
)
def test_policies(policy: str, there: list[str], count: int, cards: dict[str, int]) -> None:
    taken = replace(B_TYPE, available_instances=0)
    parents = tuple(
        replace(one, types=(taken,)) if one.address in there else replace(one, types=(B_TYPE,)) for one in TWO_CARDS
    )
    host = inventory(*parents, devices=tuple(device(f"u{n}", on=one, type_id="B") for n, one in enumerate(there)))
    found = _placement.place_all(requests(host, ("B", count), policy=policy), Rooms(host))
    assert Counter(one.choices[0].parent.physical_function for one in found.placed.values()) == cards
    assert not set(where(found).values()) & set(there)


def test_spread_goes_to_another_numa_node_where_cards_are_equal() -> None:
    host = inventory(
        parent("0000:01:00.0", kind("t", 4), numa_node=0),
        parent("0000:02:00.0", kind("t", 4), numa_node=0),
        parent("0000:81:00.0", kind("t", 4), numa_node=1),
    )
    found = _placement.place_all(requests(host, ("t", 3), policy="spread"), Rooms(host))
    assert [found.placed[f"t/{n}"].choices[0].parent.address for n in range(3)] == [
        "0000:01:00.0",
        "0000:81:00.0",
        "0000:02:00.0",
    ]
    assert found.placed["t/1"].reason == "card with the fewest devices: 0000:81:00.0 with 0 devices"


def test_pack_prefers_the_card_that_holds_the_type() -> None:
    host = inventory(
        parent("0000:01:00.0", kind("t", 4), kind("s", 4)),
        parent("0000:02:00.0", kind("t", 4), kind("s", 4)),
        devices=(
            *(device(f"s{n}", on="0000:01:00.0", type_id="s") for n in range(3)),
            device("t", on="0000:02:00.0", type_id="t"),
        ),
    )
    found = _placement.place_all(requests(host, ("t", 1), ("s", 1), policy="pack"), Rooms(host))
    assert where(found) == {"t/0": "0000:02:00.0", "s/0": "0000:01:00.0"}


def test_a_numa_node_is_kept_to() -> None:
    host = inventory(*TWO_CARDS)
    found = _placement.place_all(requests(host, ("B", 1), numa_node=1), Rooms(host))
    assert where(found) == {"B/0": "0000:c1:00.1"}
    assert "is on NUMA node 0, not 1" in {one.reason for one in found.placed["B/0"].rejected}
    assert _placement.place_all(requests(host, ("B", 1), numa_node=2), Rooms(host)).missing


def test_who_has_one_candidate_only_gets_it() -> None:
    host = inventory(parent("a", kind("t", 1)), parent("b", kind("t", 1)))
    free, pinned = requests(host, ("t", 1), label="free")[0], requests(host, ("t", 1), label="pinned")[0]
    only = (host.parents[0],)
    pinned = replace(pinned, parents=only, kinds={"a": only[0].types[0]})
    assert where(_placement.place_all([free, pinned], Rooms(host))) == {"t/free0": "b", "t/pinned0": "a"}


def test_one_error_names_every_entry_short_of_room_and_what_each_parent_has() -> None:
    host = inventory(MBOCHS, MTTY)
    asked = requests(host, ("large", 6), label="displays") + requests(host, ("mtty-2", 13), label="ports")
    found = _placement.place_all(asked, Rooms(host))
    error = _placement.no_room_for(found.missing, len(asked))
    assert "no room for 3 of the 19 devices" in error.message
    assert "displays: 2 of type 'large' too many; ports: 1 of type 'mtty-2' too many" in error.message
    assert "mbochs: has 4 of large left, and this run puts 4 of large there" in error.message
    assert [(one["entry"], one["missing"]) for one in error.facts["short"]] == [("displays", 2), ("ports", 1)]


def test_no_room_for_a_single_device_names_each_parent() -> None:
    host = inventory(parent("0000:41:00.4", kind("t-1", 0)), parent("0000:41:00.5", kind("t-2", 1)))
    error = _placement.no_room_for(_placement.place_all(requests(host, ("t-1", 1)), Rooms(host)).missing, 1)
    assert "0000:41:00.4: has 0 of t-1 left" in error.message
    assert "0000:41:00.5: does not offer type 't-1'" in error.message
    assert [one["parent"] for one in error.facts["rejected_parents"]] == ["0000:41:00.4", "0000:41:00.5"]


CARDS = st.lists(
    st.tuples(st.integers(0, 15), st.integers(0, 4), st.integers(0, 1)),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one[0],
)


def host_of(cards: list[tuple[int, int, int]]) -> Inventory:
    """Cards with a budget of units: type small takes one of them, type large two. The last number is the NUMA node."""
    return inventory(
        *(
            parent(f"0000:{bus:02x}:00.0", kind("small", units), kind("large", units // 2), numa_node=node)
            for bus, units, node in sorted(cards)
        )
    )


@given(CARDS, st.integers(0, 8), st.integers(0, 4), st.sampled_from(PLACEMENTS), st.randoms())
def test_never_over_capacity_and_the_same_whatever_the_order(
    cards: list[tuple[int, int, int]], small: int, large: int, policy: str, shuffle: random.Random
) -> None:
    host = host_of(cards)
    asked = requests(host, ("small", small), ("large", large), policy=policy)
    found = _placement.place_all(asked, Rooms(host))
    cost = Counter({one.address: 0 for one in host.parents})
    for placed in found.placed.values():
        cost[placed.choices[0].parent.address] += 2 if placed.choices[0].type.id == "large" else 1
    budgets = {f"0000:{bus:02x}:00.0": units for bus, units, _node in cards}
    assert all(cost[address] <= units for address, units in budgets.items())
    assert len(found.placed) + len(found.missing) == len(asked)
    shuffle.shuffle(asked)
    again = _placement.place_all(asked, Rooms(host))
    assert where(again) == where(found)


@given(CARDS, st.integers(1, 8), st.sampled_from(PLACEMENTS))
def test_what_fits_is_placed(cards: list[tuple[int, int, int]], small: int, policy: str) -> None:
    host = host_of(cards)
    found = _placement.place_all(requests(host, ("small", small), policy=policy), Rooms(host))
    assert len(found.placed) == min(small, sum(units for _bus, units, _node in cards))
