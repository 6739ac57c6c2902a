# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on NVIDIA's cards without SR-IOV."""

from __future__ import annotations

from collections import Counter

import pytest

from drivers.kit.changes import Change, Refusal, apply_and_repeat, check_change, check_refusal
from drivers.kit.isolated_host import Boot, IsolatedHost
from drivers.nvidia import t4

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"
CARD, SECOND = "0000:3b:00.0", "0000:af:00.0"
Q2, Q4, A4 = "nvidia-231", "nvidia-232", "nvidia-227"

ACTIVE = {"uuid": UUID, "type": Q4, "parent": CARD}
DEFINED = {
    **ACTIVE,
    "persistent": True,
    "attributes": [{"name": "nvidia/vgpu_params", "value": "disable_vnc=1,frame_rate_limiter=0"}],
}

CHANGES = {
    "by its name": Change(
        {"uuid": UUID, "type": "GRID T4-4Q"},
        [f"create {Q4} on {CARD}"],
        {"type": Q4, "nodedev": "mdev_11111111_2222_3333_4444_555555555555_0000_3b_00_0", "numa_node": 0},
    ),
    "beside a device of the same type": Change(
        {"uuid": OTHER, "type": Q4}, [f"create {Q4} on {CARD}"], {"parent": CARD}, before=(ACTIVE,)
    ),
    "beside a device of the same size": Change(
        {"uuid": OTHER, "type": A4}, [f"create {A4} on {CARD}"], {"parent": CARD}, before=(ACTIVE,)
    ),
    "another size, on the other card": Change(
        {"uuid": OTHER, "type": Q2}, [f"create {Q2} on {SECOND}"], {"parent": SECOND}, before=(ACTIVE,)
    ),
    "with parameters, and at the next boot": Change(
        DEFINED,
        [
            f"create {Q4} on {CARD}",
            "write disable_vnc=1,frame_rate_limiter=0 to nvidia/vgpu_params",
            f"define {Q4} on {CARD}",
        ],
        {"active": True, "defined": True, "attributes": DEFINED["attributes"]},
    ),
    "stopped": Change(
        {**DEFINED, "active": False}, [f"remove {Q4} on {CARD}"], {"active": False, "defined": True}, before=(DEFINED,)
    ),
    "removed": Change(
        {"uuid": UUID, "type": Q4, "state": "absent"}, [f"remove {Q4} on {CARD}"], None, before=(ACTIVE,)
    ),
}

REFUSALS = {
    "another size on the same card": Refusal(
        {"uuid": OTHER, "type": Q2, "parent": CARD},
        "no_room",
        [f"has 0 of {Q2} left (but 3 of {A4}, 3 of {Q4})"],
        before=(ACTIVE,),
    ),
    "a part of a name": Refusal({"uuid": UUID, "type": "T4-4Q"}, "not_found", ["'T4-4Q'", "GRID T4-4Q"]),
    "a card that does not exist": Refusal({"uuid": UUID, "type": Q4, "parent": "0000:d8:00.0"}, "not_found", ["d8:00"]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes(boot: Boot, change: Change) -> None:
    check_change(boot(t4(), t4(SECOND, numa_node=1)), change)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refusals(boot: Boot, refusal: Refusal) -> None:
    check_refusal(boot(t4(), t4(SECOND, numa_node=1)), refusal)


def left(host: IsolatedHost) -> dict[str, int]:
    return {mdev_type["id"]: mdev_type["available_instances"] for mdev_type in host.info()["types"]}


def test_a_card_holds_one_size(boot: Boot) -> None:
    host = boot(t4())
    assert left(host) == {A4: 4, Q2: 8, Q4: 4}
    host.device(uuid=UUID, type=Q4)
    assert left(host) == {A4: 3, Q2: 0, Q4: 3}
    host.device(uuid=OTHER, type=A4)
    assert left(host) == {A4: 2, Q2: 0, Q4: 2}
    host.set(devices=[], purge="all")
    assert left(host) == {A4: 4, Q2: 8, Q4: 4}


def test_a_set_of_two_sizes_takes_two_cards(boot: Boot) -> None:
    host = boot(t4(), t4(SECOND))
    done = apply_and_repeat(host, host.set, devices=[{"type": Q4, "count": 4}, {"type": Q2, "count": 8}])
    assert Counter((device["parent"], device["type"]) for device in done["devices"]) == {(CARD, Q4): 4, (SECOND, Q2): 8}
    assert left(host) == {A4: 0, Q2: 0, Q4: 0}


def test_a_set_of_two_types_of_one_size_takes_one_card(boot: Boot) -> None:
    host = boot(t4(), t4(SECOND))
    done = apply_and_repeat(host, host.set, devices=[{"type": Q4, "count": 2}, {"type": A4, "count": 2}])
    assert Counter((device["parent"], device["type"]) for device in done["devices"]) == {(CARD, Q4): 2, (CARD, A4): 2}
