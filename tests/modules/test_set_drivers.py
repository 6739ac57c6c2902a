# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mdev_set on hosts whose drivers answer as cards do."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from drivers.hostile import Liar
from drivers.kit.asked import Build
from drivers.kit.nodes import refuse
from drivers.nvidia_sriov import Card
from drivers.samples import mtty

GIVEN = "11111111-2222-3333-4444-555555555555"


def test_check_mode_the_real_run_and_again(on_host: Build) -> None:
    ask = on_host(mtty())
    devices = [{"type": "mtty-2", "count": 3}, {"uuid": GIVEN, "type": "Single port serial"}]
    checked = ask.set(devices=devices, check=True)
    assert ask.host.writes == []
    done = ask.set(devices=devices)
    again = ask.set(devices=devices)
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert (checked["actions"], checked["entries"]) == (done["actions"], done["entries"])
    assert ask.host.devices() == {one["uuid"]: one["type"] for one in done["devices"]}
    assert {one["uuid"] for one in ask.info()["devices"]} == set(ask.host.devices())


def test_a_parent_that_is_full_though_it_promised_room_is_left_for_the_next(on_host: Build) -> None:
    liar = Liar("0000:41:00.4", 1, promise=3)
    honest = Liar("0000:41:00.5", 2)
    done = on_host(liar, honest).set(devices=[{"type": "nvidia-471", "count": 3}])
    assert [one["parent"] for one in done["placements"]] == ["0000:41:00.4", "0000:41:00.5", "0000:41:00.5"]
    [rejected] = done["rejected_parents"]
    assert (rejected["parent"], "ENOSPC" in rejected["reason"]) == ("0000:41:00.4", True)


def test_where_no_parent_is_left_all_is_taken_back(on_host: Build) -> None:
    liars = [Liar(f"0000:41:00.{number}", 1, promise=4) for number in (4, 5)]
    ask = on_host(*liars, mtty())
    ask.set(name="tenant-b", devices=[{"type": "mtty-1"}])
    before = ask.host.devices()
    refused = ask.set(
        devices=[{"name": "ports", "type": "mtty-2", "count": 2}, {"type": "nvidia-471", "count": 4}], purge="all"
    )
    assert refused["error"]["kind"] == "no_room"
    assert refused["msg"].startswith("devices[1]: no room for a device of type 'nvidia-471'")
    assert "Taken back by removing 4 new devices, then creating the old device" in refused["msg"]
    assert ask.host.devices() == before


def test_one_type_a_card_is_known_before_anything_is_written(on_host: Build) -> None:
    ask = on_host(Card("0000:41:00", 3), Card("0000:c1:00", 3))
    done = ask.set(devices=[{"type": "nvidia-471", "count": 2}, {"type": "nvidia-472", "count": 3}])
    cards: dict[str, set[str]] = {}
    for one in done["devices"]:
        cards.setdefault(one["parent"][:10], set()).add(one["type"])
    assert sorted(map(sorted, cards.values())) == [["nvidia-471"], ["nvidia-472"]]
    written = len(ask.host.writes)
    refused = ask.set(name="other", devices=[{"name": name, "type": "nvidia-471"} for name in ("a", "b")])
    assert refused["error"]["kind"] == "no_room"
    assert [one["entry"] for one in refused["error"]["short"]] == ["devices[1] (b)"]
    assert len(ask.host.writes) == written


def test_a_busy_device_stays_and_is_reported(on_host: Build) -> None:
    ask = on_host(mtty())
    first, second = ask.set(devices=[{"type": "mtty-1", "count": 2}])["entries"][0]["uuids"]
    ask.host.kernel.held.add(first)
    assert ask.set(devices=[], purge="owned")["error"]["kind"] == "in_use"
    assert set(ask.host.devices()) == {first, second}
    purged = ask.set(devices=[], purge="owned", on_in_use="skip")
    assert [one["uuid"] for one in purged["skipped"]] == [first]
    assert set(ask.host.devices()) == {first}


def test_an_attribute_that_fails_takes_the_whole_set_back(on_host: Build) -> None:
    def limit(value: str) -> None:
        if value == "7":
            refuse(errno.EINVAL)

    ask = on_host(mtty(settings={"limit": limit}))
    attributes: list[Any] = [[{"name": "limit", "value": value}] for value in ("5", "7")]
    devices = [{"name": f"web-{n}", "type": "mtty-1", "attributes": one} for n, one in enumerate(attributes)]
    refused = ask.set(devices=devices)
    assert (refused["error"]["kind"], refused["error"]["attribute"]) == ("kernel_refused", "limit")
    assert refused["msg"].startswith("devices[1] (web-1): ")
    assert ask.host.devices() == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": " ", "devices": []}, "the set's name is empty"),
        ({"devices": [{"count": 1}]}, "devices[0]: there is no type"),
        ({"devices": [{"type": "mtty-1", "count": -1}]}, "devices[0]: count is -1, and must be from 0 to 1024"),
        ({"devices": [{"type": "mtty-1"}, {"type": "mtty-1"}]}, "devices[0] and devices[1] mean the same devices"),
        ({"devices": [{"uuid": "no", "type": "mtty-1"}, {"name": "", "type": "x"}]}, "2 problems, nothing was changed"),
        ({"devices": [{"uuid": GIVEN, "name": "a", "type": "mtty-1"}]}, "mutually exclusive"),
    ],
)
def test_what_is_not_right_on_any_host(on_host: Build, arguments: dict[str, Any], words: str) -> None:
    ask = on_host(mtty())
    assert words in ask.set(**arguments)["msg"]
    assert ask.host.writes == []
