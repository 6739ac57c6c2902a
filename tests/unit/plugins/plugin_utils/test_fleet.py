# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the report: counts, cards, problems."""

from __future__ import annotations

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
    return {"id": type_id, "name": name, "device_api": "vfio-pci", "room": room, "limited": True, **more}


def card(address: str, *types: dict[str, Any], functions: int = 0, **more: Any) -> dict[str, Any]:
    """A card whose types are still rows. With functions, these are its parents."""
    facts = {"driver": "nvidia", "numa_node": 0, "framework": "mdev", "functions": None, **more}
    return {"address": address, "offers": types, "parents": functions or 1, **facts}


def parents_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    address = row["address"]
    if row["parents"] == 1:
        return [{"address": address, "physical_function": None}]
    return [{"address": f"{address}-{number}", "physical_function": address} for number in range(row["parents"])]


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


def answer(*cards: dict[str, Any], devices: Any = (), types: Any = (), **more: Any) -> dict[str, Any]:
    facts = {"framework": "mdev", "hints": [], "broken_definitions": [], "unread": [], **more}
    rows = [
        {
            **row,
            "types": {} if row["parents"] > 1 else None,
            "room": {offer["id"]: offer["room"] for offer in row["offers"] if offer["room"] != 0},
        }
        for row in cards
    ]
    offered = {offer["id"]: offer for row in cards for offer in row["offers"]}
    parents = [parent for row in cards for parent in parents_of(row)]
    lists = {"parents": parents, "devices": list(devices), "types": list(types) or list(offered.values())}
    return {"cards": rows, **lists, **facts}


def host_of(host_answer: dict[str, Any]) -> HostRow:
    [host] = fleet_of({"gpu-1": host_answer}).hosts
    return host


def notes_of(fleet: Fleet) -> list[tuple[tuple[str, ...], str, str, bool]]:
    return [(note.hosts, note.category, note.text, note.problem) for note in fleet.notes]


def usage(in_use: int, unknown: int, idle: int, room: Optional[int], *shares: float) -> Usage:
    return Usage(in_use, unknown, idle, room, False, *(shares or (0.0, 0.0, 0.0)))


@pytest.mark.parametrize(
    ("devices", "rooms", "expected"),
    [
        ([], [3], usage(0, 0, 0, 3)),
        ([device("p", "t-1", GUEST)], [3], usage(1, 0, 0, 3, 25.0, 0.0, 0.0)),
        ([device("p", "t-1", GUEST), device("p")], [1], usage(1, 0, 1, 1, 33.33, 0.0, 33.33)),
        ([device("p", "t-1", GUEST)], [0], usage(1, 0, 0, 0, 100.0, 0.0, 0.0)),
        ([], [0], usage(0, 0, 0, 0)),
        # Defined only: it is not in the kernel and takes nothing.
        ([device("p", active=False, defined=True)], [1], usage(0, 0, 0, 1)),
        # Half removed: it takes its instance as before.
        ([device("p", None, GUEST, active=False, removing=True)], [1], usage(1, 0, 0, 1, 50.0, 0.0, 0.0)),
        # Unknown use is neither idle nor in use.
        ([device("p", in_use=None)], [1], usage(0, 1, 0, 1, 0.0, 50.0, 0.0)),
        # Types share the remaining room: the room of a card is that of the type that fits most often.
        ([], [24, 12], usage(0, 0, 0, 24)),
        ([], [None, 12], usage(0, 0, 0, 12)),
        ([device("p")], [None], usage(0, 0, 1, None, 0.0, 0.0, 100.0)),
    ],
)
def test_usage_of_a_card(devices: list[Any], rooms: list[Optional[int]], expected: Usage) -> None:
    offers = [mdev_type(f"t-{number}", room) for number, room in enumerate(rooms, 1)]
    host = host_of(answer(card("p", *offers), devices=devices))
    assert host.cards[0].usage == expected
    assert host.usage == expected


def test_functions_of_a_card_are_one_row() -> None:
    devices = [device("c-0", "t-1", GUEST), device("c-1", "t-1"), device("d", "t-1", GUEST)]
    host = host_of(
        answer(card("c", mdev_type("t-1", 3), functions=16), card("d", mdev_type("t-1", 0)), devices=devices)
    )
    assert [(row.address, row.functions, row.parents, row.usage) for row in host.cards] == [
        ("c", "16", 16, usage(1, 0, 1, 3, 20.0, 0.0, 20.0)),
        ("d", None, 1, usage(1, 0, 0, 0, 100.0, 0.0, 0.0)),
    ]


def test_a_card_shows_its_number_of_virtual_functions() -> None:
    [row] = host_of(answer(card("c", mdev_type("t-1", 1)) | {"functions": {"enabled": 4, "total": 16}})).cards
    assert row.functions == "4 of 16"


def test_a_card_shows_types_with_devices_or_room() -> None:
    types = [mdev_type("used", 0), mdev_type("free", 1), mdev_type("gone", 0), mdev_type("stored", 0)]
    types += [mdev_type("unknown", None)]
    devices = [device("p", "used"), device("p", "stored", active=False, defined=True)]
    [row] = host_of(answer(card("p", *types), devices=devices)).cards
    assert [offer.id for offer in row.types] == ["used", "free", "stored", "unknown"]


def test_a_number_that_is_not_limited_is_no_room() -> None:
    host = host_of(answer(card("matrix", mdev_type("vfio_ap-passthrough", 65534, limited=False))))
    assert (host.usage.room, host.usage.unlimited) == (None, True)
    assert (host.cards[0].types[0].usage.room, host.types[0].usage.unlimited) == (None, True)


def test_types_across_the_fleet() -> None:
    answers = {
        "gpu-2": answer(types=[mdev_type("t-10", 5, "Ten"), mdev_type("t-9", None, "Nine")]),
        "gpu-1": answer(types=[mdev_type("t-10", 3, "Ten")], devices=[device("a", "t-10", GUEST), device("b")]),
        "gpu-3": answer(types=[mdev_type("t-10", 7, "Ten of another driver"), mdev_type("t-1", 0, "Full")]),
        "gpu-4": answer(types=[mdev_type("t-10", 0, "Ten")]),
    }
    types = fleet_of(answers).types
    assert [(row.id, row.name, row.usage) for row in types] == [
        ("t-9", "Nine", usage(0, 0, 0, None)),
        ("t-10", "Ten", usage(1, 0, 0, 8, 11.11, 0.0, 0.0)),
        ("t-10", "Ten of another driver", usage(0, 0, 0, 7)),
        ("t-1", "Full", usage(0, 0, 0, 0)),
    ]
    assert [row.host for row in types[1].hosts] == ["gpu-1", "gpu-2"]
    assert [row.full_hosts for row in types] == [0, 1, 0, 1]


def test_totals() -> None:
    drift = [{"field": "active", "wanted": "true", "actual": "false"}]
    inactive = device("p", active=False, defined=True, autostart=True, drift=drift)
    unread = [{"path": path, "error": "EIO"} for path in ("/sys/a", "/sys/b")]
    devices = [device("p", "t-1", GUEST), device("p"), device("p", in_use=None), inactive]
    fleet = fleet_of(
        {
            "gpu-1": answer(card("p", mdev_type("t-1", 0)), devices=devices),
            "gpu-2": answer(
                card("p", mdev_type("t-1", 2), functions=3), card("q", mdev_type("t-1", None)), unread=unread
            ),
            "gpu-3": {"unreachable": True, "msg": "no route"},
        }
    )
    totals = fleet.totals
    assert (totals.hosts, totals.answered, totals.problems) == (3, 2, 3)
    assert (totals.cards, totals.cards_with_room, totals.functions) == (3, 1, 3)
    assert (totals.active, totals.in_use, totals.unknown, totals.idle) == (3, 1, 1, 1)
    assert (totals.defined, totals.autostart, totals.drifted, totals.orphaned) == (1, 1, 1, 1)
    [row] = fleet.drift
    assert (row.host, row.device, row.field, row.wanted, row.actual) == ("gpu-1", UUID, "active", "true", "false")


def test_hosts_that_need_attention_come_first() -> None:
    unread = [{"path": "/sys/a", "error": "EIO"}]
    answers = {"gpu-1": answer(), "gpu-2": answer(unread=unread), "gpu-10": answer(), "gpu-9": answer(unread=unread)}
    assert [host.name for host in fleet_of(answers).hosts] == ["gpu-2", "gpu-9", "gpu-1", "gpu-10"]


def test_equal_notes_of_hosts_are_one() -> None:
    unknown = answer(devices=[device("p", in_use=None), device("p", in_use=None)])
    fleet = fleet_of({"gpu-1": unknown, "gpu-2": unknown, "gpu-3": answer(devices=[device("p", in_use=None)])})
    text = "it is unknown whether {} in use, because not all processes could be examined. Run the playbook as root "
    assert notes_of(fleet) == [
        (("gpu-1", "gpu-2"), "use unknown", text.format("2 devices are") + "(--become)", True),
        (("gpu-3",), "use unknown", text.format("1 device is") + "(--become)", True),
    ]


@pytest.mark.parametrize(
    ("facts", "waits_for"),
    [
        ({"used_by": [GUEST], "in_use": True}, "web-1"),
        ({"used_by": [PROCESS], "in_use": True}, "vfio-test (77)"),
        ({"in_use": None}, "an unknown process (use unknown)"),
        ({"in_use": False}, "a process that has just ended"),
    ],
)
def test_a_half_removed_device_names_what_it_waits_for(facts: dict[str, Any], waits_for: str) -> None:
    devices = [{**device("p", None, active=False, removing=True), **facts}]
    assert f"{UUID} on p waits for {waits_for}" in [
        note[2] for note in notes_of(fleet_of({"a": answer(devices=devices)}))
    ]


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
        (("away",), "unreachable", "ssh: no route to host", True),
        (("old",), "failed", "Module failed\npython: not found", True),
    ]


def test_problems_and_hints_are_listed_once() -> None:
    path = "/etc/mdevctl.d/mtty/README"
    host_answer = answer(
        card("p", mdev_type("t-1", 0)),
        devices=[device("p", None, GUEST, active=False, removing=True)],
        broken_definitions=[{"path": path, "problem": "no UUID"}],
        unread=[{"path": "/proc/*/fd", "error": "EACCES"}],
        hints=[f"Device {UUID} on p is half removed.", f"{path} is no definition.", "No parent has room."],
    )
    fleet = fleet_of({"gpu-1": host_answer})
    assert notes_of(fleet) == [
        (("gpu-1",), "broken definition", f"{path}: no UUID", True),
        (("gpu-1",), "unread", "/proc/*/fd: EACCES", True),
        (("gpu-1",), "half removed", f"{UUID} on p waits for web-1", True),
        (("gpu-1",), "hint", "No parent has room.", False),
    ]
    assert fleet.hosts[0].problems == 3


def test_users_of_devices() -> None:
    devices = [device("p", "t-1", PROCESS), *[device("q", "t-1", GUEST, type_name="Type one")] * 2]
    users = fleet_of({"gpu-1": answer(devices=devices)}).users
    assert [(user.guest, user.process, user.devices) for user in users] == [
        ("web-1", "qemu-system-x86_64 (4711)", ("2 \N{MULTIPLICATION SIGN} Type one",)),
        (None, "vfio-test (77)", ("t-1",)),
    ]


def test_a_device_without_a_uuid_is_named_after_its_parent() -> None:
    fleet = fleet_of({"gpu-1": answer(devices=[device("0000:41:00.4", "nvidia-1", GUEST, uuid=None)])})
    assert [row.name for row in fleet.hosts[0].devices] == ["0000:41:00.4"]


def test_the_filter_returns_plain_dictionaries() -> None:
    report = fleet_report.FilterModule().filters()["fleet_report"]({"gpu-1": answer(card("p", mdev_type("t-1", 4)))})
    assert report["hosts"][0]["cards"][0]["usage"]["room"] == 4


def test_the_filter_requires_a_dictionary() -> None:
    with pytest.raises(AnsibleFilterError, match=r"fleet_report: expected a dictionary .*, got list"):
        fleet_report.FilterModule().filters()["fleet_report"]([])


@pytest.mark.parametrize(
    "odd", [{"types": [None]}, {"devices": [{}]}, {"parents": "x"}, {"hints": 3}, {"unread": 7}, {"cards": None}]
)
def test_an_answer_that_cannot_be_read_costs_only_its_host(odd: dict[str, Any]) -> None:
    good = answer(card("a", mdev_type("t-1", 2)))
    fleet = fleet_of({"gpu-1": good, "gpu-2": {**good, **odd}})
    assert [(host.name, host.state) for host in fleet.hosts] == [("gpu-2", "failed"), ("gpu-1", "answered")]
    [note] = notes_of(fleet)
    assert (note[0], "can't be read" in note[2]) == (("gpu-2",), True)
