# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from builders import inventory, kind, parent

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import Ambiguous, NotFound
from ansible_collections.vfio.mdev.plugins.module_utils._planning import matching as _candidates

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
    assert [one.address for one in _candidates.candidates(asked, HOST)] == meant


def test_a_card_that_is_a_parent_itself_means_itself() -> None:
    card = parent(CARD, kind("t-1"))
    assert _candidates.candidates((CARD,), inventory(card, *VFS)) == (card,)


def test_an_unknown_candidate_is_an_error_even_beside_a_known_one() -> None:
    with pytest.raises(NotFound, match=r"no mdev parent '0000:99:00.0'. Parents here: 0000:41:00.4, "):
        _candidates.candidates(("mtty", "0000:99:00.0"), HOST)


def test_excluded_parents_are_no_candidates() -> None:
    left = _candidates.candidates((), HOST, ("0000:41:00.5", "mtty_mtty"))
    assert [one.address for one in left] == ["0000:41:00.4", "0000:41:00.6"]
    assert [one.address for one in _candidates.candidates((), HOST, (CARD,))] == ["mtty"]


@pytest.mark.parametrize(
    ("asked", "excluded", "message"),
    [
        (("mtty",), ("mtty",), r"all that were asked for \(mtty\) are excluded"),
        ((), ("0000:99:00.0",), "no mdev parent '0000:99:00.0'"),
    ],
)
def test_exclusions_that_cannot_be_meant(asked: tuple[str, ...], excluded: tuple[str, ...], message: str) -> None:
    with pytest.raises(NotFound, match=message):
        _candidates.candidates(asked, HOST, excluded)


def test_a_host_without_parents_points_to_the_hints() -> None:
    for asked in ((), ("mtty",)):
        with pytest.raises(NotFound, match="mdev_info says why"):
            _candidates.candidates(asked, inventory())


def test_a_type_by_its_exact_name() -> None:
    parents = (
        parent("a", kind("x-1", name="Small")),
        parent("b", kind("x-1", name="Small"), kind("x-2", name="Small 2")),
    )
    assert {address: one.id for address, one in _candidates.types_meant("Small", parents).items()} == {
        "a": "x-1",
        "b": "x-1",
    }


@pytest.mark.parametrize("near", ["small", "Small ", "x", "X-1", "GRID Small"])
def test_nothing_but_the_exact_name_counts(near: str) -> None:
    with pytest.raises(NotFound, match=r"Types there: x-1 \('Small'\)"):
        _candidates.types_meant(near, (parent("a", kind("x-1", name="Small")),))


def test_a_name_for_two_types_is_an_error_with_both() -> None:
    parents = (parent("a", kind("x-1", name="Small")), parent("b", kind("y-1", name="Small")))
    with pytest.raises(Ambiguous, match="x-1 on a; y-1 on b"):
        _candidates.types_meant("Small", parents)


def test_an_id_goes_before_the_same_text_as_a_name() -> None:
    one = parent("a", kind("x-1", name="x-2"), kind("x-2", name="other"))
    assert _candidates.types_meant("x-2", (one,))["a"].id == "x-2"
