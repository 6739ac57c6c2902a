# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets that change: another type, count or card for an entry, cards that move, two sizes on a card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from drivers.kit.isolated_host import Boot
from drivers.nvidia import VgpuParent, t4
from drivers.nvidia_card import VgpuType, function
from drivers.nvidia_sriov import Card
from drivers.nvidia_vendor_vfio import Card as VendorCard

C8, C10, C40 = "NVIDIA A100-8C", "NVIDIA A100-10C", "NVIDIA A100-40C"
Q2, Q4 = "GRID T4-2Q", "GRID T4-4Q"
FIRST, SECOND = "0000:3b:00.0", "0000:86:00.0"
A100 = Card("0000:41:00", 5)

Entry = dict[str, Any]

RECUTS: dict[str, tuple[Sequence[Any], Entry, Entry]] = {
    "another type, fewer": ((A100,), {"name": "v", "type": C10, "count": 4}, {"name": "v", "type": C40}),
    "another type, as many": (
        (A100,),
        {"name": "v", "type": C10, "count": 4},
        {"name": "v", "type": C8, "count": 4},
    ),
    "another type, more": ((A100,), {"name": "v", "type": C10, "count": 4}, {"name": "v", "type": C8, "count": 5}),
    "another type, unnamed": ((A100,), {"type": C10, "count": 4}, {"type": C40}),
    "without SR-IOV": ((t4(),), {"name": "v", "type": Q2, "count": 8}, {"name": "v", "type": Q4, "count": 4}),
    "another card, fewer": (
        (t4(FIRST), t4(SECOND)),
        {"name": "v", "type": Q2, "count": 2, "parent": FIRST},
        {"name": "v", "type": Q2, "parent": SECOND},
    ),
    "an excluded card, fewer": (
        (t4(FIRST), t4(SECOND)),
        {"name": "v", "type": Q2, "count": 2},
        {"name": "v", "type": Q2, "exclude_parents": [FIRST]},
    ),
}


@pytest.mark.parametrize(("cards", "before", "after"), RECUTS.values(), ids=RECUTS)
def test_an_entry_is_cut_another_way(boot: Boot, cards: Sequence[Any], before: Entry, after: Entry) -> None:
    host = boot(*cards)
    settings: dict[str, Any] = {"persistent": True, "purge": "owned", "recreate": True}
    assert host.set(devices=[before], **settings)["changed"]
    planned = host.set(devices=[after], check=True, **settings)
    done = host.set(devices=[after], **settings)
    assert len(done["devices"]) == len(planned["devices"]) == after.get("count", 1)
    assert {device["type_name"] for device in done["devices"]} == {after["type"]}
    assert not host.set(devices=[after], **settings)["changed"]
    assert sorted(device["uuid"] for device in host.info()["devices"]) == sorted(done["entries"][0]["uuids"])


def test_a_full_vendor_vfio_card_says_that_its_driver_hides_types(boot: Boot) -> None:
    host = boot(VendorCard("0000:41:00", 4))
    entry = {"name": "v", "type": "NVIDIA L40S-2Q", "count": 4}
    assert host.set(devices=[entry])["changed"]
    refused = host.set(devices=[{**entry, "type": "NVIDIA L40S-24Q", "count": 2}], recreate=True)
    assert "driver hides the types" in refused["msg"]
    assert len(host.info()["devices"]) == 4


@pytest.mark.parametrize("recreate", [False, True])
def test_a_set_without_parents_finds_its_card_at_another_address(boot: Boot, recreate: bool) -> None:
    wanted: dict[str, Any] = {
        "devices": [{"name": "a", "type": Q2, "count": 2}],
        "persistent": True,
        "purge": "owned",
        "recreate": recreate,
    }
    host = boot(t4("0000:3b:00.0"))
    made = host.set(**wanted)
    host = boot(t4("0000:3c:00.0"))
    planned, moved, again = host.set(check=True, **wanted), host.set(**wanted), host.set(**wanted)
    assert [planned["changed"], moved["changed"], again["changed"]] == [True, True, False]
    assert planned["actions"] == moved["actions"]
    assert moved["entries"] == [{**made["entries"][0], "nodedevs": moved["entries"][0]["nodedevs"]}]
    assert {(device["parent"], device["active"], device["defined"]) for device in host.info()["devices"]} == {
        ("0000:3c:00.0", True, True)
    }
    assert {"field": "parent", "wanted": "0000:3c:00.0", "actual": "0000:3b:00.0"} in moved["devices"][0]["drift"]


def test_a_set_that_names_its_parent_does_not_move(boot: Boot) -> None:
    wanted: dict[str, Any] = {
        "devices": [{"name": "a", "type": Q2, "parent": "0000:3b:00.0"}],
        "persistent": True,
    }
    boot(t4("0000:3b:00.0")).set(**wanted)
    refused = boot(t4("0000:3c:00.0")).set(**wanted)
    assert refused["error"]["kind"] == "not_found"
    assert "0000:3b:00.0" in refused["msg"]


class MixedCard(VgpuParent):
    """A card in mixed-size mode: sizes share the memory."""

    def left(self, type_id: str) -> int:
        wanted = self._types[type_id].framebuffer
        return max(0, (16384 - sum(vgpu_type.framebuffer for vgpu_type in self.on_card())) // wanted)


T10 = (VgpuType(1256, "GRID T10-1Q", 1024, 16), VgpuType(1258, "GRID T10-4Q", 4096, 4))
TWO_SIZES = [{"name": "small", "type": "GRID T10-1Q", "count": 4}, {"name": "big", "type": "GRID T10-4Q"}]


def test_two_sizes_are_tried_and_the_driver_decides(boot: Boot) -> None:
    host = boot(MixedCard(function("0000:2b:00.0", "0x1e37", 0), T10))
    made = host.set(devices=TWO_SIZES)
    assert len(made["devices"]) == 5
    host = boot(VgpuParent(function("0000:2b:00.0", "0x1e37", 0), T10))
    refused = host.set(devices=TWO_SIZES)
    assert (refused["error"]["kind"], refused["error"]["rolled_back"]) == ("no_room", True)
    assert host.info()["devices"] == []


def test_pack_fills_a_card_with_both_sizes(boot: Boot) -> None:
    cards = [MixedCard(function(address, "0x1e37", 0), T10) for address in ("0000:2b:00.0", "0000:3b:00.0")]
    made = boot(*cards).set(devices=TWO_SIZES, placement="pack")
    assert {device["parent"] for device in made["devices"]} == {"0000:2b:00.0"}
