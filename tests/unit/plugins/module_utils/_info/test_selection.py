# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selection of parents, types and devices by filters."""

from __future__ import annotations

from typing import Any

import pytest
from builders import OTHER, UUID, define, device, inventory, mdev_type, parent

from ansible_collections.vfio.mdev.plugins.module_utils._info.cards import cards_of
from ansible_collections.vfio.mdev.plugins.module_utils._info.results import type_results
from ansible_collections.vfio.mdev.plugins.module_utils._info.selection import Selection, select
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Hardware, Inventory

CARD = "0000:41:00.0"
A, B, C = "0000:41:00.4", "0000:41:00.5", "mtty"
HOST = inventory(
    parent(A, mdev_type("t-1", 1), mdev_type("t-2", 1), physical_function=CARD),
    parent(B, mdev_type("t-1", 1), physical_function=CARD),
    parent(C, mdev_type("m-1", 24, name="Serial"), subsystem="mtty"),
    devices=(device(UUID, A, "t-1"), device(OTHER, C, "m-1")),
)


@pytest.mark.parametrize(
    ("filters", "parents", "types", "devices"),
    [
        (((), (), ()), [A, B, C], ["m-1", "t-1", "t-2"], [UUID, OTHER]),
        (((B,), (), ()), [B], ["t-1"], []),
        (((CARD,), (), ()), [A, B], ["t-1", "t-2"], [UUID]),
        ((("mtty_mtty",), (), ()), [C], ["m-1"], [OTHER]),
        (((), ("t-1",), ()), [A, B], ["t-1"], [UUID]),
        (((), ("Serial",), ()), [C], ["m-1"], [OTHER]),
        (((), (), (OTHER,)), [C], ["m-1"], [OTHER]),
        (((A,), ("t-2",), ()), [A], ["t-2"], []),
        (((A,), (), (OTHER,)), [], [], []),
    ],
)
def test_filters(
    filters: tuple[tuple[str, ...], ...], parents: list[str], types: list[str], devices: list[str]
) -> None:
    chosen = select(HOST, *filters)
    assert [parent.address for parent in chosen.parents] == parents
    assert sorted({mdev_type.id for parent in chosen.parents for mdev_type in parent.types}) == types
    assert [state.uuid for state in chosen.states] == devices
    assert chosen.unmatched == ()


def test_filters_that_match_nothing_are_reported() -> None:
    nowhere = "77777777-2222-3333-4444-555555555555"
    chosen = select(HOST, ("0000:99:00.0",), ("t-9",), (nowhere,))
    assert chosen.unmatched == (
        "Nothing on this host matches parent '0000:99:00.0'.",
        "Nothing on this host matches type 't-9'.",
        f"Nothing on this host matches device '{nowhere}'.",
    )
    assert select(HOST, (), ("serial",), ()).unmatched == (
        "Nothing on this host matches type 'serial'. Did you mean 'Serial'?",
    )


def test_definitions_without_their_parent_are_selected() -> None:
    stored = define(UUID, "0000:99:00.0", "t-9")
    host = inventory(parent(C, mdev_type("m-1")), definitions=(stored,))
    for filters in (((), (), ()), (("0000:99:00.0",), (), ()), ((), ("t-9",), ()), ((), (), (UUID,))):
        chosen = select(host, *filters)
        assert [state.uuid for state in chosen.states] == [UUID]
        assert chosen.unmatched == ()


def types_of(host: Inventory, selection: Selection) -> list[dict[str, Any]]:
    return type_results(cards_of(host, Hardware(), selection.parents, selection.states), selection.counted)


def test_a_filter_on_devices_does_not_change_counts() -> None:
    two = inventory(parent(A, mdev_type("t-1", 3)), devices=(device(UUID, A, "t-1"), device(OTHER, A, "t-1")))
    assert types_of(two, select(two, (), (), (UUID,)))[0]["active"] == 2


def test_types_of_the_whole_host() -> None:
    [m1, t1, t2] = types_of(HOST, select(HOST, (), (), ()))
    assert (t1["id"], t1["parents"], t1["available_instances"], t1["active"]) == ("t-1", 2, 2, 1)
    assert (m1["name"], m1["available_instances"]) == ("Serial", 24)
    assert t2["active"] == 0
