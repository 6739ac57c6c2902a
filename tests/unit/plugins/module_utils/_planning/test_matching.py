# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching of requested parents and types with those of the host."""

from __future__ import annotations

import pytest
from builders import inventory, mdev_type, parent

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import Ambiguous, NotFound
from ansible_collections.vfio.mdev.plugins.module_utils._planning import matching

CARD = "0000:41:00.0"
VFS = tuple(parent(f"0000:41:00.{n}", mdev_type("t-1", left=1), physical_function=CARD) for n in (4, 5, 6))
MTTY = parent("mtty", mdev_type("mtty-1", 24), subsystem="mtty")
HOST = inventory(*VFS, MTTY)


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ((), ["0000:41:00.4", "0000:41:00.5", "0000:41:00.6", "mtty"]),
        (("0000:41:00.5",), ["0000:41:00.5"]),
        ((CARD,), ["0000:41:00.4", "0000:41:00.5", "0000:41:00.6"]),
        (("mtty", "0000:41:00.6", "0000:41:00.4"), ["0000:41:00.4", "0000:41:00.6", "mtty"]),
        (("mtty_mtty",), ["mtty"]),
        ((CARD, "0000:41:00.5"), ["0000:41:00.4", "0000:41:00.5", "0000:41:00.6"]),
    ],
)
def test_candidates(requested: tuple[str, ...], expected: list[str]) -> None:
    assert [parent.address for parent in matching.candidates(requested, HOST)] == expected


def test_a_card_that_is_a_parent_matches_itself() -> None:
    card = parent(CARD, mdev_type("t-1"))
    assert matching.candidates((CARD,), inventory(card, *VFS)) == (card,)


def test_an_unknown_candidate_is_an_error_even_beside_a_known_one() -> None:
    with pytest.raises(NotFound, match=r"no mdev parent '0000:99:00.0'. Parents here: 0000:41:00.4, "):
        matching.candidates(("mtty", "0000:99:00.0"), HOST)


def test_excluded_parents_are_no_candidates() -> None:
    remaining = matching.candidates((), HOST, ("0000:41:00.5", "mtty_mtty"))
    assert [parent.address for parent in remaining] == ["0000:41:00.4", "0000:41:00.6"]
    assert [parent.address for parent in matching.candidates((), HOST, (CARD,))] == ["mtty"]


@pytest.mark.parametrize(
    ("requested", "excluded", "message"),
    [
        (("mtty",), ("mtty",), r"exclude_parents excludes every requested parent \(mtty\)"),
        ((), ("0000:99:00.0",), "no mdev parent '0000:99:00.0'"),
    ],
)
def test_wrong_exclusions(requested: tuple[str, ...], excluded: tuple[str, ...], message: str) -> None:
    with pytest.raises(NotFound, match=message):
        matching.candidates(requested, HOST, excluded)


def test_a_host_without_parents_points_to_the_hints() -> None:
    for requested in ((), ("mtty",)):
        with pytest.raises(NotFound, match="mdev_info explain why"):
            matching.candidates(requested, inventory())


def test_a_type_by_its_exact_name() -> None:
    parents = (
        parent("a", mdev_type("x-1", name="Small")),
        parent("b", mdev_type("x-1", name="Small"), mdev_type("x-2", name="Small 2")),
    )
    assert {address: mdev_type.id for address, mdev_type in matching.types_on("Small", parents).items()} == {
        "a": "x-1",
        "b": "x-1",
    }


@pytest.mark.parametrize("near", ["small", "Small ", "x", "X-1", "GRID Small"])
def test_only_the_exact_name_matches(near: str) -> None:
    with pytest.raises(NotFound, match=r"Types there: x-1 \('Small'\)"):
        matching.types_on(near, (parent("a", mdev_type("x-1", name="Small")),))


def test_a_name_of_two_types_is_an_error_that_lists_both() -> None:
    parents = (parent("a", mdev_type("x-1", name="Small")), parent("b", mdev_type("y-1", name="Small")))
    with pytest.raises(Ambiguous, match="x-1 on a; y-1 on b"):
        matching.types_on("Small", parents)


def test_an_id_wins_over_the_same_text_as_a_name() -> None:
    both = parent("a", mdev_type("x-1", name="x-2"), mdev_type("x-2", name="other"))
    assert matching.types_on("x-2", (both,))["a"].id == "x-2"


@pytest.mark.parametrize(
    ("requested", "meant"),
    [
        ("nvidia a100-8c", "NVIDIA A100-8C"),
        ("A100-8C", "NVIDIA A100-8C"),
        ("nvidia471", "nvidia-471"),
    ],
)
def test_the_type_that_was_meant(requested: str, meant: str) -> None:
    offering = (parent("a", mdev_type("nvidia-471", name="NVIDIA A100-8C")),)
    with pytest.raises(NotFound, match=f"Did you mean '{meant}'"):
        matching.types_on(requested, offering)


def test_the_parent_that_was_meant() -> None:
    with pytest.raises(NotFound, match=r"no mdev parent '0000:42:00.4'. Did you mean '0000:41:00.4'"):
        matching.candidates(("0000:42:00.4",), HOST)
