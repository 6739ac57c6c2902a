# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of devices: counts, absent entries and purge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import GUEST, OTHER, define, device, inventory, mdev_type, parent
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import FileError, InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.identity import UuidNamespace
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Hidden, Inventory
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest
from ansible_collections.vfio.mdev.plugins.module_utils._planning.device_set import (
    SetEntry,
    SetRequest,
    expand_set,
)

NAMESPACE = UuidNamespace("0123456789abcdef0123456789abcdef", "tenant-a")
KEY = ("name", "web")
ON = "mtty"


def uuid(number: int, key: tuple[str, ...] = KEY) -> str:
    return NAMESPACE.uuid(key, number)


def web(count: int, **more: Any) -> SetEntry:
    return SetEntry(DeviceRequest(name="web", type="mtty-1", label="devices[0] (web)", **more), count)


def with_uuid(uuid: str = OTHER, label: str = "devices[1]") -> SetEntry:
    return SetEntry(DeviceRequest(uuid, type="mtty-1", label=label))


def host(*active: str, busy: tuple[str, ...] = (), defined: tuple[str, ...] = ()) -> Inventory:
    devices = tuple(device(uuid, ON, "mtty-1", users=(GUEST,) if uuid in busy else ()) for uuid in active)
    definitions = tuple(define(uuid, ON, "mtty-1", autostart=False) for uuid in defined)
    return inventory(parent(ON, mdev_type("mtty-1", 24)), devices=devices, definitions=definitions)


def outcome(request: SetRequest, inventory: Inventory) -> tuple[list[str], list[str]]:
    """The UUIDs of the devices that should exist, and of those that should be removed."""
    requests = expand_set(request, inventory)
    return [device.key for device in requests if device.present], [
        device.key for device in requests if not device.present
    ]


@pytest.mark.parametrize(
    ("existing", "busy", "count", "stay", "removed"),
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
def test_sets_grow_into_free_indexes_and_shrink_unused_devices_first(
    existing: list[int], busy: list[int], count: int, stay: list[int], removed: list[int]
) -> None:
    inventory = host(*(uuid(number) for number in existing), busy=tuple(uuid(number) for number in busy))
    assert outcome(SetRequest(NAMESPACE, (web(count),)), inventory) == (
        [uuid(number) for number in stay],
        [uuid(number) for number in removed],
    )


def test_an_absent_entry_removes_all_its_devices_and_no_others() -> None:
    inventory = host(uuid(0), OTHER, defined=(uuid(3), uuid(0, ("name", "db"))))
    absent = web(2, active=False)
    assert outcome(SetRequest(NAMESPACE, (absent,)), inventory) == ([], [uuid(0), uuid(3)])


FOREIGN = "22222222-2222-3333-4444-555555555555"
SINGLE = UuidNamespace(NAMESPACE.host).uuid(("name", "web"))
NEIGHBOUR = UuidNamespace(NAMESPACE.host, "tenant-b").uuid(KEY)
ELSEWHERE = UuidNamespace("fedcba9876543210fedcba9876543210", "tenant-a").uuid(KEY)


DB = ("name", "db")
OWNED = [uuid(0), uuid(7)]


@pytest.mark.parametrize(
    ("purge", "removed"),
    [("none", []), ("owned", OWNED), ("all", [*OWNED, FOREIGN, SINGLE, NEIGHBOUR, ELSEWHERE])],
)
def test_purge(purge: str, removed: list[str]) -> None:
    inventory = host(uuid(0), FOREIGN, SINGLE, OTHER, uuid(0, DB), defined=(uuid(7), NEIGHBOUR, ELSEWHERE))
    stay, purged = outcome(
        SetRequest(NAMESPACE, (with_uuid(), SetEntry(replace(web(1).pattern, name="db"))), purge), inventory
    )
    assert (stay, purged) == ([OTHER, uuid(0, DB)], sorted(removed))


def test_devices_of_an_open_migration_are_neither_purged_nor_surplus() -> None:
    inventory = host(uuid(0), uuid(1), uuid(2), FOREIGN)
    request = SetRequest(NAMESPACE, (web(1),), "all", protected=frozenset({uuid(2), FOREIGN}))
    assert outcome(request, inventory) == ([uuid(0)], [uuid(1)])


def test_a_removed_member_may_have_another_type_than_its_entry_by_now() -> None:
    """Its UUID shows that it belongs to the set. An absent entry still names what it removes."""
    inventory = host(uuid(0), uuid(1))
    shrunk = expand_set(SetRequest(NAMESPACE, (web(1, recreate=True),)), inventory)
    assert [(request.present, request.type, request.parents) for request in shrunk] == [
        (True, "mtty-1", ()),
        (False, None, ()),
    ]
    absent = expand_set(SetRequest(NAMESPACE, (web(1, active=False),)), inventory)
    assert [(request.present, request.type) for request in absent] == [(False, "mtty-1")] * 2


def test_unknown_use_does_not_make_a_device_the_first_to_go() -> None:
    unknown = device(uuid(1), ON, "mtty-1", users=None)
    inventory = replace(host(uuid(0)), devices=(*host(uuid(0)).devices, unknown))
    assert outcome(SetRequest(NAMESPACE, (web(1),)), inventory) == ([uuid(1)], [uuid(0)])


def test_devices_in_use_may_stay_if_requested() -> None:
    inventory = host(uuid(0), uuid(1), OTHER)
    request = SetRequest(NAMESPACE, (web(1),), "all", skip_in_use=True)
    assert {device.key for device in expand_set(request, inventory) if device.skip_in_use} == {uuid(1), OTHER}
    absent = replace(with_uuid(), pattern=replace(with_uuid().pattern, active=False))
    [kept] = expand_set(SetRequest(NAMESPACE, (absent,), skip_in_use=True), inventory)
    assert kept.skip_in_use and not kept.present


@pytest.mark.parametrize(
    "entries",
    [
        (web(1), replace(web(2), pattern=replace(web(2).pattern, label="devices[1] (web)"))),
        (with_uuid(label="devices[0] (web)"), with_uuid(label="devices[1] (web)")),
    ],
)
def test_two_entries_of_the_same_devices_are_refused(entries: tuple[SetEntry, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"devices\[0\] \(web\) and devices\[1\] \(web\) stand for the same devices"):
        expand_set(SetRequest(NAMESPACE, entries), host())


@pytest.mark.parametrize(("purge", "entries"), [("owned", ()), ("all", (with_uuid(),)), ("none", (web(1),))])
def test_a_folder_that_cannot_be_read_may_hide_devices_of_the_set(purge: str, entries: tuple[SetEntry, ...]) -> None:
    hidden = Hidden("/etc/mdevctl.d/other", "EIO (Input/output error)", "other")
    inventory = replace(host(uuid(0)), hidden=(hidden,))
    with pytest.raises(FileError, match=r"/etc/mdevctl.d/other can't be read: EIO .* Nothing was changed"):
        expand_set(SetRequest(NAMESPACE, entries, purge), inventory)
    assert outcome(SetRequest(NAMESPACE, (with_uuid(),)), inventory) == ([OTHER], [])


NUMBERS = st.frozensets(st.integers(0, 12), max_size=8)


@given(NUMBERS, NUMBERS, st.integers(0, 12), NUMBERS)
def test_a_second_run_changes_nothing(
    existing: frozenset[int], busy: frozenset[int], count: int, foreign: frozenset[int]
) -> None:
    others = tuple(NAMESPACE.uuid(("name", "db"), number) for number in foreign)
    used = tuple(uuid(number) for number in busy & existing)
    inventory = host(*(uuid(number) for number in existing), *others, busy=used)
    request = SetRequest(NAMESPACE, (web(count),))
    stay, removed = outcome(request, inventory)
    assert len(stay) == count
    assert set(stay) | set(removed) >= {uuid(number) for number in existing}
    # Devices in use are removed only if there are no unused ones left.
    assert not set(removed) & set(used) or set(stay) <= set(used)
    assert outcome(request, host(*stay, *others, busy=tuple(set(used) & set(stay)))) == (stay, [])
