# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mdev_set on hosts with stand-in drivers."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from drivers.hostile import MisleadingDriver
from drivers.kit.nodes import refuse
from drivers.kit.stand_in_host import MakeHost
from drivers.nvidia_sriov import Card
from drivers.samples import mtty

GIVEN = "11111111-2222-3333-4444-555555555555"


def test_check_mode_real_run_and_repeat(make_host: MakeHost) -> None:
    host = make_host(mtty())
    devices = [{"type": "mtty-2", "count": 3}, {"uuid": GIVEN, "type": "Single port serial"}]
    checked = host.set(devices=devices, check=True)
    assert host.files.writes == []
    done = host.set(devices=devices)
    again = host.set(devices=devices)
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert (checked["actions"], checked["entries"]) == (done["actions"], done["entries"])
    assert host.files.devices() == {device["uuid"]: device["type"] for device in done["devices"]}
    assert {device["uuid"] for device in host.info()["devices"]} == set(host.files.devices())


def test_the_next_parent_is_used_if_one_is_full_despite_its_numbers(make_host: MakeHost) -> None:
    full = MisleadingDriver("0000:41:00.4", 1, promise=3)
    free = MisleadingDriver("0000:41:00.5", 2)
    done = make_host(full, free).set(devices=[{"type": "nvidia-471", "count": 3}])
    assert [placement["parent"] for placement in done["placements"]] == ["0000:41:00.4", "0000:41:00.5", "0000:41:00.5"]
    [rejected] = done["rejected_parents"]
    assert (rejected["parent"], "ENOSPC" in rejected["reason"]) == ("0000:41:00.4", True)


def test_everything_is_rolled_back_if_no_parent_has_room(make_host: MakeHost) -> None:
    drivers = [MisleadingDriver(f"0000:41:00.{number}", 1, promise=4) for number in (4, 5)]
    host = make_host(*drivers, mtty())
    host.set(name="tenant-b", devices=[{"type": "mtty-1"}])
    before = host.files.devices()
    refused = host.set(
        devices=[{"name": "ports", "type": "mtty-2", "count": 2}, {"type": "nvidia-471", "count": 4}], purge="all"
    )
    assert refused["error"]["kind"] == "no_room"
    assert refused["msg"].startswith("devices[1]: no room for a device of type 'nvidia-471'")
    assert "Rolled back by removing 4 new devices, then creating the old device" in refused["msg"]
    assert host.files.devices() == before


def test_one_type_per_card_is_checked_before_anything_is_written(make_host: MakeHost) -> None:
    host = make_host(Card("0000:41:00", 3), Card("0000:c1:00", 3))
    done = host.set(devices=[{"type": "nvidia-471", "count": 2}, {"type": "nvidia-472", "count": 3}])
    cards: dict[str, set[str]] = {}
    for device in done["devices"]:
        cards.setdefault(device["parent"][:10], set()).add(device["type"])
    assert sorted(map(sorted, cards.values())) == [["nvidia-471"], ["nvidia-472"]]
    written = len(host.files.writes)
    refused = host.set(name="other", devices=[{"name": name, "type": "nvidia-471"} for name in ("a", "b")])
    assert refused["error"]["kind"] == "no_room"
    assert [entry["entry"] for entry in refused["error"]["short"]] == ["devices[1] (b)"]
    assert len(host.files.writes) == written


def test_a_busy_device_stays_and_is_reported(make_host: MakeHost) -> None:
    host = make_host(mtty())
    first, second = host.set(devices=[{"type": "mtty-1", "count": 2}])["entries"][0]["uuids"]
    host.files.kernel.held.add(first)
    assert host.set(devices=[], purge="owned")["error"]["kind"] == "in_use"
    assert set(host.files.devices()) == {first, second}
    purged = host.set(devices=[], purge="owned", on_in_use="skip")
    assert [device["uuid"] for device in purged["kept"]] == [first]
    assert set(host.files.devices()) == {first}


def test_a_failed_attribute_rolls_the_whole_set_back(make_host: MakeHost) -> None:
    def limit(value: str) -> None:
        if value == "7":
            refuse(errno.EINVAL)

    host = make_host(mtty(settings={"limit": limit}))
    devices: list[dict[str, Any]] = [
        {"name": f"web-{index}", "type": "mtty-1", "attributes": [{"name": "limit", "value": value}]}
        for index, value in enumerate(("5", "7"))
    ]
    refused = host.set(devices=devices)
    assert (refused["error"]["kind"], refused["error"]["attribute"]) == ("kernel_refused", "limit")
    assert refused["msg"].startswith("devices[1] (web-1): ")
    assert host.files.devices() == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": " ", "devices": []}, "the set's name is empty"),
        ({"devices": [{"count": 1}]}, "devices[0]: there is no type"),
        ({"devices": [{"type": "mtty-1", "count": -1}]}, "devices[0]: count is -1, and must be from 0 to 1024"),
        ({"devices": [{"type": "mtty-1"}, {"type": "mtty-1"}]}, "devices[0] and devices[1] stand for the same devices"),
        ({"devices": [{"uuid": "no", "type": "mtty-1"}, {"name": "", "type": "x"}]}, "2 problems, nothing was changed"),
        ({"devices": [{"uuid": GIVEN, "name": "a", "type": "mtty-1"}]}, "mutually exclusive"),
    ],
)
def test_arguments_that_are_wrong_on_any_host(make_host: MakeHost, arguments: dict[str, Any], words: str) -> None:
    host = make_host(mtty())
    assert words in host.set(**arguments)["msg"]
    assert host.files.writes == []
