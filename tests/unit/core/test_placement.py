# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random

import pytest
from builders import inventory, kind, parent
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils import _placement
from ansible_collections.vfio.mdev.plugins.module_utils._address import address_key
from ansible_collections.vfio.mdev.plugins.module_utils._errors import Ambiguous, NoRoom, NotFound
from ansible_collections.vfio.mdev.plugins.module_utils._model import Inventory

CARD = "0000:41:00.0"
VFS = tuple(parent(f"0000:41:00.{n}", kind("t-1", left=1), physical_function=CARD) for n in (4, 5, 6))
MTTY = parent("mtty", kind("mtty-1", 24), subsystem="mtty")
HOST = inventory(*VFS, MTTY)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ((), ["0000:41:00.4", "0000:41:00.5", "0000:41:00.6", "mtty"]),
        (("0000:41:00.5",), ["0000:41:00.5"]),
        ((CARD,), ["0000:41:00.4", "0000:41:00.5", "0000:41:00.6"]),
        (("mtty", "0000:41:00.6", "0000:41:00.4"), ["0000:41:00.4", "0000:41:00.6", "mtty"]),
        (("mtty_mtty",), ["mtty"]),
        ((CARD, "0000:41:00.5"), ["0000:41:00.4", "0000:41:00.5", "0000:41:00.6"]),
    ],
)
def test_candidates(asked: tuple[str, ...], meant: list[str]) -> None:
    assert [one.address for one in _placement.candidates(asked, HOST)] == meant


def test_a_card_that_is_a_parent_itself_means_itself() -> None:
    card = parent(CARD, kind("t-1"))
    assert _placement.candidates((CARD,), inventory(card, *VFS)) == (card,)


def test_an_unknown_candidate_is_an_error_even_beside_a_known_one() -> None:
    with pytest.raises(NotFound, match=r"no mdev parent '0000:99:00.0'. Parents here: 0000:41:00.4, "):
        _placement.candidates(("mtty", "0000:99:00.0"), HOST)


def test_a_host_without_parents_points_to_the_hints() -> None:
    for asked in ((), ("mtty",)):
        with pytest.raises(NotFound, match="mdev_info says why"):
            _placement.candidates(asked, inventory())


def test_the_first_with_room_is_taken_and_each_other_has_a_reason() -> None:
    parents = (
        parent("0000:09:00.0", kind("t-2", 3)),
        parent("0000:0a:00.0", kind("t-1", 0), kind("t-2", 0)),
        parent("0000:0b:00.0", kind("t-1", 0), kind("t-2", 2)),
        parent("0000:0c:00.0", kind("t-1", None)),
        parent("0000:10:00.0", kind("t-1", 1)),
        parent("0000:11:00.0", kind("t-1", 5)),
    )
    placed = _placement.place_first("t-1", parents)
    assert [one.parent.address for one in placed.choices] == ["0000:10:00.0", "0000:11:00.0"]
    assert {one.parent: one.reason for one in placed.rejected} == {
        "0000:09:00.0": "does not offer type 't-1'",
        "0000:0a:00.0": "has 0 of t-1 left and nothing of any other type",
        "0000:0b:00.0": "has 0 of t-1 left (but 2 of t-2)",
        "0000:0c:00.0": "available_instances of t-1 could not be read",
        "0000:11:00.0": "comes after the chosen parent in address order",
    }


def test_no_room_names_each_parent() -> None:
    full = (parent("0000:41:00.4", kind("t-1", 0)), parent("0000:41:00.5", kind("t-2", 1)))
    with pytest.raises(NoRoom) as caught:
        _placement.place_first("t-1", full)
    assert "0000:41:00.4: has 0 of t-1 left" in caught.value.message
    assert "0000:41:00.5: does not offer type 't-1'" in caught.value.message
    assert [one["parent"] for one in caught.value.facts["rejected_parents"]] == ["0000:41:00.4", "0000:41:00.5"]


def test_the_parent_that_a_device_is_taken_from_has_room() -> None:
    full = (parent("0000:41:00.4", kind("t-1", 0)),)
    assert _placement.place_first("t-1", full, freed="0000:41:00.4").choices[0].parent == full[0]


def test_a_type_by_its_exact_name() -> None:
    parents = (
        parent("a", kind("x-1", name="Small")),
        parent("b", kind("x-1", name="Small"), kind("x-2", name="Small 2")),
    )
    assert {address: one.id for address, one in _placement.types_meant("Small", parents).items()} == {
        "a": "x-1",
        "b": "x-1",
    }


@pytest.mark.parametrize("near", ["small", "Small ", "x", "X-1", "GRID Small"])
def test_nothing_but_the_exact_name_counts(near: str) -> None:
    with pytest.raises(NotFound, match=r"Types there: x-1 \('Small'\)"):
        _placement.types_meant(near, (parent("a", kind("x-1", name="Small")),))


def test_a_name_for_two_types_is_an_error_with_both() -> None:
    parents = (parent("a", kind("x-1", name="Small")), parent("b", kind("y-1", name="Small")))
    with pytest.raises(Ambiguous, match="x-1 on a; y-1 on b"):
        _placement.types_meant("Small", parents)


def test_an_id_goes_before_the_same_text_as_a_name() -> None:
    one = parent("a", kind("x-1", name="x-2"), kind("x-2", name="other"))
    assert _placement.types_meant("x-2", (one,))["a"].id == "x-2"


ROOMS = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 3)), min_size=1, max_size=12, unique_by=lambda pair: pair[0]
)


@given(ROOMS, st.randoms())
def test_placement_is_the_lowest_address_with_room_whatever_the_order(
    rooms: list[tuple[int, int]], shuffle: random.Random
) -> None:
    parents = [parent(f"0000:{bus:02x}:00.0", kind("t-1", left)) for bus, left in rooms]
    shuffle.shuffle(parents)
    host = Inventory(parents=tuple(sorted(parents, key=lambda one: address_key(one.address))))
    asked = tuple(one.address for one in parents)
    open_buses = sorted(bus for bus, left in rooms if left)
    if not open_buses:
        with pytest.raises(NoRoom):
            _placement.place_first("t-1", _placement.candidates(asked, host))
        return
    placed = _placement.place_first("t-1", _placement.candidates(asked, host))
    assert [one.parent.address for one in placed.choices] == [f"0000:{bus:02x}:00.0" for bus in open_buses]
    assert len({one.parent for one in placed.rejected}) == len(parents) - 1
