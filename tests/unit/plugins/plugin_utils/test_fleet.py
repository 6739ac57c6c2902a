# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the report: counts, parents that share a row, problems."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.filter import fleet_report
from ansible_collections.vfio.mdev.plugins.plugin_utils._fleet import Fleet, HostRow, Usage
from ansible_collections.vfio.mdev.plugins.plugin_utils._fleet_reading import fleet_of

UUID = "11111111-2222-3333-4444-555555555555"
GUEST = {"pid": 4711, "command": "qemu-system-x86_64", "guest": "web-1"}
PROCESS = {"pid": 77, "command": "vfio-test", "guest": None}


def mdev_type(type_id: str, room: Optional[int], name: Optional[str] = None, **more: Any) -> dict[str, Any]:
    return {
        "id": type_id,
        "name": name,
        "device_api": "vfio-pci",
        "parents": 1,
        "available_instances": room,
        "room": room,
        "active": 0,
        "defined": 0,
        **more,
    }


def parent(address: str, *types: dict[str, Any], card: Optional[str] = None, **more: Any) -> dict[str, Any]:
    """A parent whose types are still rows. answer() makes the rows of the host and of the cards of them."""
    facts = {"driver": "nvidia", "numa_node": 0, "vfs": None, "framework": "mdev", "devices": [], "xml": None, **more}
    return {"address": address, "types": list(types), "physical_function": card, **facts}


def cards_of(parents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    rooms: dict[str, dict[str, Optional[int]]] = {}
    for row in parents:
        room = rooms.setdefault(row["physical_function"] or row["address"], {})
        for offer in row["types"]:
            left = offer["room"]
            room[offer["id"]] = left if left is None else (room.get(offer["id"]) or 0) + left
    return [
        {
            "address": address,
            "types": None,
            "room": {type_id: left for type_id, left in room.items() if left != 0},
        }
        for address, room in rooms.items()
    ]


def device(parent_address: str, type_id: Optional[str] = "t-1", *users: dict[str, Any], **more: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "uuid": UUID,
        "type_name": None,
        "active": True,
        "defined": False,
        "autostart": False,
        "removing": False,
        "attributes": [],
        "in_use": bool(users),
        "drift": [],
    }
    return {"parent": parent_address, "type": type_id, "used_by": list(users), **facts, **more}


def answer(*parents: dict[str, Any], devices: Any = (), types: Any = (), **more: Any) -> dict[str, Any]:
    facts = {"framework": "mdev", "hints": [], "broken_definitions": [], "unread": [], **more}
    offered = {offer["id"]: offer for row in parents for offer in row["types"]}
    lean = [
        {**row, "types": {offer["id"]: offer["room"] for offer in row["types"] if offer["room"] != 0}}
        for row in parents
    ]
    rows = list(types) or list(offered.values())
    return {"parents": lean, "cards": cards_of(parents), "devices": list(devices), "types": rows, **facts}


def host_of(host_answer: dict[str, Any]) -> HostRow:
    [host] = fleet_of({"gpu-1": host_answer}).hosts
    return host


def notes_of(fleet: Fleet) -> list[tuple[str, str, str, bool]]:
    return [(note.host, note.category, note.text, note.problem) for note in fleet.notes]


@pytest.mark.parametrize(
    ("devices", "rooms", "usage"),
    [
        ([], [3], Usage(0, 0, 3, 0.0, 0.0)),
        ([device("p", "t-1", GUEST)], [3], Usage(1, 0, 3, 25.0, 0.0)),
        ([device("p", "t-1", GUEST), device("p")], [1], Usage(1, 1, 1, 33.33, 33.33)),
        ([device("p", "t-1", GUEST)], [0], Usage(1, 0, 0, 100.0, 0.0)),
        ([], [0], Usage(0, 0, 0, 0.0, 0.0)),
        # Defined only: it is not in the kernel and takes nothing.
        ([device("p", active=False, defined=True)], [1], Usage(0, 0, 1, 0.0, 0.0)),
        # Half removed: it takes its instance as before.
        ([device("p", None, GUEST, active=False, removing=True)], [1], Usage(1, 0, 1, 50.0, 0.0)),
        # If its users are unknown it counts as idle, and the host lists what was unread.
        ([device("p", in_use=None)], [1], Usage(0, 1, 1, 0.0, 50.0)),
        # Types share the remaining room: the room of a parent is that of the type that fits most often.
        ([], [24, 12], Usage(0, 0, 24, 0.0, 0.0)),
        ([], [None, 12], Usage(0, 0, 12, 0.0, 0.0)),
        ([device("p")], [None], Usage(0, 1, None, 0.0, 100.0)),
        ([device("p")], [], Usage(0, 1, 0, 0.0, 100.0)),
    ],
)
def test_usage_of_a_parent(devices: list[Any], rooms: list[Optional[int]], usage: Usage) -> None:
    host = host_of(
        answer(parent("p", *(mdev_type(f"t-{n}", room) for n, room in enumerate(rooms, 1))), devices=devices)
    )
    assert host.parents[0].usage == usage
    assert host.usage == usage


def test_identical_functions_of_a_card_are_one_row() -> None:
    free, full = mdev_type("t-1", 1), mdev_type("t-1", 0)
    parents = [
        parent("0000:41:00.4", full, card="0000:41:00.0"),
        parent("0000:41:00.5", full, card="0000:41:00.0"),
        parent("0000:41:00.6", free, card="0000:41:00.0"),
        parent("0000:41:00.7", free, card="0000:41:00.0"),
        parent("0000:c1:00.4", free, card="0000:c1:00.0"),
    ]
    devices = [device("0000:41:00.4", "t-1", GUEST), device("0000:41:00.5", "t-1", PROCESS)]
    rows = host_of(answer(*parents, devices=devices)).parents
    assert [(row.addresses[0], len(row.addresses), row.usage) for row in rows] == [
        ("0000:41:00.4", 2, Usage(2, 0, 0, 100.0, 0.0)),
        ("0000:41:00.6", 2, Usage(0, 0, 2, 0.0, 0.0)),
        ("0000:c1:00.4", 1, Usage(0, 0, 1, 0.0, 0.0)),
    ]


@pytest.mark.parametrize("differing", [{"in_use": True}, {"defined": True}, {"type": "t-2"}])
def test_functions_with_different_devices_are_separate_rows(differing: dict[str, Any]) -> None:
    functions = ("0000:41:00.4", "0000:41:00.5")
    parents = [parent(address, mdev_type("t-1", 0), mdev_type("t-2", 0), card="c") for address in functions]
    devices = [device("0000:41:00.4"), {**device("0000:41:00.5"), **differing}]
    assert len(host_of(answer(*parents, devices=devices)).parents) == 2


def test_a_card_shows_its_number_of_virtual_functions() -> None:
    [row] = host_of(answer(parent("0000:41:00.0", mdev_type("t-1", 1), vfs={"enabled": 4, "total": 16}))).parents
    assert row.vfs == "4 of 16"


def test_parents_without_a_card_never_share_a_row() -> None:
    assert len(host_of(answer(parent("a", mdev_type("t-1", 1)), parent("b", mdev_type("t-1", 1)))).parents) == 2


def test_types_without_room_or_devices_are_only_counted() -> None:
    types = [
        mdev_type("used", 0),
        mdev_type("free", 1),
        mdev_type("gone", 0),
        mdev_type("stored", 0),
        mdev_type("unknown", None),
    ]
    devices = [device("p", "used"), device("p", "stored", active=False, defined=True)]
    [row] = host_of(answer(parent("p", *types), devices=devices)).parents
    assert [offer.id for offer in row.types] == ["used", "free", "stored"]
    assert row.types_without_room == 2


def test_types_across_the_fleet() -> None:
    offer = {"parents": 2, "defined": 1}
    answers = {
        "gpu-2": answer(types=[mdev_type("t-10", 5, "Ten", **offer), mdev_type("t-9", None, "Nine", **offer)]),
        "gpu-1": answer(
            types=[mdev_type("t-10", 3, "Ten", **offer)], devices=[device("a", "t-10", GUEST), device("b")]
        ),
        "gpu-3": answer(types=[mdev_type("t-10", 7, "Ten of another driver", **offer)]),
    }
    types = fleet_of(answers).types
    assert [(row.id, row.name, row.parents, row.defined, row.usage) for row in types] == [
        ("t-9", "Nine", 2, 1, Usage(0, 0, None, 0.0, 0.0)),
        ("t-10", "Ten", 4, 2, Usage(1, 0, 8, 11.11, 0.0)),
        ("t-10", "Ten of another driver", 2, 1, Usage(0, 0, 7, 0.0, 0.0)),
    ]
    assert [row.host for row in types[1].hosts] == ["gpu-1", "gpu-2"]


def test_totals() -> None:
    drift = [{"field": "active", "wanted": "true", "actual": "false"}]
    inactive = device("p", active=False, defined=True, autostart=True, drift=drift)
    unread = [{"path": path, "error": "EIO"} for path in ("/sys/a", "/sys/b")]
    fleet = fleet_of(
        {
            "gpu-1": answer(
                parent("p", mdev_type("t-1", 0)), devices=[device("p", "t-1", GUEST), device("p"), inactive]
            ),
            "gpu-2": answer(parent("p", mdev_type("t-1", 2)), parent("q", mdev_type("t-1", None)), unread=unread),
            "gpu-3": {"unreachable": True, "msg": "no route"},
        }
    )
    totals = fleet.totals
    assert (totals.hosts, totals.answered, totals.problems) == (3, 2, 2)
    assert (totals.parents, totals.parents_with_room) == (3, 1)
    assert (totals.active, totals.in_use, totals.defined, totals.autostart, totals.drifted) == (2, 1, 1, 1, 1)
    [row] = fleet.drift
    assert (row.host, row.device, row.field, row.wanted, row.actual) == ("gpu-1", UUID, "active", "true", "false")


def test_hosts_are_sorted_by_number_regardless_of_the_order_of_answers() -> None:
    answers = {name: answer() for name in ("gpu-10", "gpu-9", "cpu-1")}
    assert [host.name for host in fleet_of(answers).hosts] == ["cpu-1", "gpu-9", "gpu-10"]
    assert fleet_of(answers) == fleet_of(dict(reversed(answers.items())))


def test_hosts_without_an_answer_show_the_reason() -> None:
    fleet = fleet_of(
        {
            "away": {"unreachable": True, "msg": "ssh: no route to host"},
            "old": {"failed": False, "msg": "Module failed", "module_stderr": "python: not found\n", "rc": 127},
        }
    )
    assert [(host.state, host.framework, host.problems) for host in fleet.hosts] == [
        ("unreachable", None, 1),
        ("failed", None, 1),
    ]
    assert notes_of(fleet) == [
        ("away", "unreachable", "ssh: no route to host", True),
        ("old", "failed", "Module failed\npython: not found", True),
    ]


def test_problems_and_hints_are_listed_once() -> None:
    path = "/etc/mdevctl.d/mtty/README"
    host_answer = answer(
        parent("p", mdev_type("t-1", 0)),
        devices=[device("p", None, GUEST, active=False, removing=True)],
        broken_definitions=[{"path": path, "problem": "no UUID"}],
        unread=[{"path": "/proc/*/fd", "error": "EACCES"}],
        hints=[f"Device {UUID} on p is half removed.", f"{path} is no definition.", "No parent has room."],
    )
    fleet = fleet_of({"gpu-1": host_answer})
    assert notes_of(fleet) == [
        ("gpu-1", "broken definition", f"{path}: no UUID", True),
        ("gpu-1", "unread", "/proc/*/fd: EACCES", True),
        ("gpu-1", "half removed", f"{UUID} on p waits for web-1", True),
        ("gpu-1", "hint", "No parent has room.", False),
    ]
    assert fleet.hosts[0].problems == 3


def test_users_of_devices() -> None:
    devices = [device("p", "t-1", PROCESS), device("q", "t-1", GUEST, type_name="Type one")]
    users = fleet_of({"gpu-1": answer(devices=devices)}).users
    assert [(user.guest, user.process, user.type, user.parent) for user in users] == [
        ("web-1", "qemu-system-x86_64 (4711)", "Type one", "q"),
        (None, "vfio-test (77)", "t-1", "p"),
    ]


def test_a_device_without_a_uuid_is_named_after_its_parent() -> None:
    fleet = fleet_of({"gpu-1": answer(devices=[device("0000:41:00.4", "nvidia-1", GUEST, uuid=None)])})
    assert [user.device for user in fleet.users] == ["0000:41:00.4"]
    assert [row.name for row in fleet.hosts[0].devices] == ["0000:41:00.4"]


def test_the_filter_returns_plain_dictionaries() -> None:
    report = fleet_report.FilterModule().filters()["fleet_report"]({"gpu-1": answer(parent("p", mdev_type("t-1", 4)))})
    assert report["hosts"][0]["parents"][0]["usage"]["room"] == 4


def test_the_filter_requires_a_dictionary() -> None:
    with pytest.raises(AnsibleFilterError, match=r"fleet_report: expected a dictionary .*, got list"):
        fleet_report.FilterModule().filters()["fleet_report"]([])


@pytest.mark.parametrize("odd", [{"types": [None]}, {"devices": [{}]}, {"parents": "x"}, {"hints": 3}, {"unread": 7}])
def test_an_answer_that_cannot_be_read_costs_only_its_host(odd: dict[str, Any]) -> None:
    good = answer(parent("a", mdev_type("t-1", 2)))
    fleet = fleet_of({"gpu-1": good, "gpu-2": {**good, **odd}})
    assert [(host.name, host.state) for host in fleet.hosts] == [("gpu-1", "answered"), ("gpu-2", "failed")]
    [note] = notes_of(fleet)
    assert (note[0], "can't be read" in note[2]) == ("gpu-2", True)
