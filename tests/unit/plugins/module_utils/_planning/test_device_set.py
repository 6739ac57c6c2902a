# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import GUEST, OTHER, device, inventory, kind, parent
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.identity import Owner
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Definition, Inventory
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import Wanted
from ansible_collections.vfio.mdev.plugins.module_utils._planning.device_set import (
    Entry,
    SetRequest,
    check_entries,
    members,
)

OWNER = Owner("0123456789abcdef0123456789abcdef", "tenant-a")
KEY = ("name", "web")
ON = "mtty"


def uuid(number: int, key: tuple[str, ...] = KEY) -> str:
    return OWNER.uuid(key, number)


def web(count: int, **more: Any) -> Entry:
    return Entry(Wanted("", type="mtty-1", label="devices[0] (web)", **more), "web", KEY, count)


def given_one(wanted: str = OTHER, label: str = "devices[1]") -> Entry:
    return Entry(Wanted(wanted, type="mtty-1", label=label))


def host(*there: str, busy: tuple[str, ...] = (), defined: tuple[str, ...] = ()) -> Inventory:
    devices = tuple(device(one, ON, "mtty-1", users=(GUEST,) if one in busy else ()) for one in there)
    definitions = tuple(Definition(one, ON, "mtty-1", autostart=False) for one in defined)
    return inventory(parent(ON, kind("mtty-1", 24)), devices=devices, definitions=definitions)


def outcome(request: SetRequest, there: Inventory) -> tuple[list[str], list[str]]:
    """The UUIDs that are to be there, and those that are to go."""
    found = members(request, there)
    return [one.uuid for one in found if one.present], [one.uuid for one in found if not one.present]


@pytest.mark.parametrize(
    ("there", "busy", "count", "stay", "go"),
    [
        ([], [], 3, [0, 1, 2], []),
        ([0, 1], [], 3, [0, 1, 2], []),
        ([0, 2], [], 3, [0, 1, 2], []),
        ([5], [], 2, [0, 5], []),
        ([0, 1, 2], [], 1, [0], [1, 2]),
        ([0, 1, 2], [2], 1, [2], [0, 1]),
        ([0, 1, 2], [0, 2], 1, [0], [1, 2]),
        ([0, 1, 2], [1], 2, [0, 1], [2]),
        ([0, 1, 2], [1], 0, [], [0, 1, 2]),
    ],
)
def test_counts_grow_into_free_numbers_and_shrink_from_the_end_unused_first(
    there: list[int], busy: list[int], count: int, stay: list[int], go: list[int]
) -> None:
    on = host(*(uuid(number) for number in there), busy=tuple(uuid(number) for number in busy))
    assert outcome(SetRequest(OWNER, (web(count),)), on) == (
        [uuid(number) for number in stay],
        [uuid(number) for number in go],
    )


def test_an_entry_that_is_to_be_absent_means_all_its_devices_and_no_others() -> None:
    on = host(uuid(0), OTHER, defined=(uuid(3), uuid(0, ("name", "db"))))
    absent = web(2, active=False)
    assert outcome(SetRequest(OWNER, (absent,)), on) == ([], [uuid(0), uuid(3)])


FOREIGN = "22222222-2222-3333-4444-555555555555"
SINGLE = Owner(OWNER.host).uuid(("name", "web"))
NEIGHBOUR = Owner(OWNER.host, "tenant-b").uuid(KEY)
ELSEWHERE = Owner("fedcba9876543210fedcba9876543210", "tenant-a").uuid(KEY)


DB = ("name", "db")
MINE = [uuid(0), uuid(7)]


@pytest.mark.parametrize(
    ("purge", "go"),
    [("none", []), ("owned", MINE), ("all", [*MINE, FOREIGN, SINGLE, NEIGHBOUR, ELSEWHERE])],
)
def test_what_purge_means(purge: str, go: list[str]) -> None:
    on = host(uuid(0), FOREIGN, SINGLE, OTHER, uuid(0, DB), defined=(uuid(7), NEIGHBOUR, ELSEWHERE))
    stay, gone = outcome(SetRequest(OWNER, (given_one(), replace(web(1), key=DB)), purge), on)
    assert (stay, gone) == ([OTHER, uuid(0, DB)], sorted(go))


def test_devices_in_use_may_stay_where_that_was_said() -> None:
    on = host(uuid(0), uuid(1), OTHER)
    request = SetRequest(OWNER, (web(1),), "all", skip_in_use=True)
    assert {one.uuid for one in members(request, on) if one.skip_in_use} == {uuid(1), OTHER}
    absent = replace(given_one(), pattern=replace(given_one().pattern, active=False))
    [kept] = members(SetRequest(OWNER, (absent,), skip_in_use=True), on)
    assert kept.skip_in_use and not kept.present


@pytest.mark.parametrize(
    "entries",
    [
        (web(1), replace(web(2), pattern=replace(web(2).pattern, label="devices[1] (web)"))),
        (given_one(label="devices[0] (web)"), given_one(label="devices[1] (web)")),
    ],
)
def test_two_entries_of_the_same_devices_are_refused(entries: tuple[Entry, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"devices\[0\] \(web\) and devices\[1\] \(web\) mean the same devices"):
        check_entries(SetRequest(OWNER, entries))


NUMBERS = st.frozensets(st.integers(0, 12), max_size=8)


@given(NUMBERS, NUMBERS, st.integers(0, 12), NUMBERS)
def test_a_second_run_finds_what_the_first_one_left(
    there: frozenset[int], busy: frozenset[int], count: int, foreign: frozenset[int]
) -> None:
    others = tuple(OWNER.uuid(("name", "db"), number) for number in foreign)
    used = tuple(uuid(number) for number in busy & there)
    on = host(*(uuid(number) for number in there), *others, busy=used)
    request = SetRequest(OWNER, (web(count),))
    stay, go = outcome(request, on)
    assert len(stay) == count
    assert set(stay) | set(go) >= {uuid(number) for number in there}
    # What is in use goes only where nothing unused is left to go.
    assert not set(go) & set(used) or set(stay) <= set(used)
    assert outcome(request, host(*stay, *others, busy=tuple(set(used) & set(stay)))) == (stay, [])
