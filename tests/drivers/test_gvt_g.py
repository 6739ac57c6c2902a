# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on Intel's GVT-g."""

from __future__ import annotations

import pytest

from drivers.gvt_g import ADDRESS, Gpu
from drivers.kit.changes import Change, Refusal, apply_and_repeat, check_change, check_refusal
from drivers.kit.isolated_host import Boot, IsolatedHost

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"
V1, V2, V4, V8 = (f"i915-GVTg_V5_{number}" for number in (1, 2, 4, 8))

ACTIVE = {"uuid": UUID, "type": V4}
DEFINED = {**ACTIVE, "persistent": True}

CHANGES = {
    "by its id": Change(
        {**ACTIVE, "parent": "00:02.0"},
        [f"create {V4} on {ADDRESS}"],
        {"type": V4, "type_name": None, "parent_nodedev": "pci_0000_00_02_0", "numa_node": None},
    ),
    "beside another type": Change(
        {"uuid": OTHER, "type": V8}, [f"create {V8} on {ADDRESS}"], {"type": V8}, before=(ACTIVE,)
    ),
    "at the next boot too": Change(
        DEFINED, [f"create {V4} on {ADDRESS}", f"define {V4} on {ADDRESS}"], {"active": True, "defined": True}
    ),
    "another type": Change(
        {**ACTIVE, "type": V2, "recreate": True},
        [f"remove {V4} on {ADDRESS}", f"create {V2} on {ADDRESS}"],
        {"type": V2},
        before=(ACTIVE,),
    ),
    "removed": Change({"uuid": UUID, "state": "absent"}, [f"remove {V4} on {ADDRESS}"], None, before=(ACTIVE,)),
}

REFUSALS = {
    "the largest beside another type": Refusal(
        {"uuid": OTHER, "type": V1, "parent": ADDRESS},
        "no_room",
        [f"has 0 of {V1} left (but 1 of {V2}, 3 of {V4}, 4 of {V8})"],
        before=({**ACTIVE, "type": V2},),
    ),
    "a name, for types without names": Refusal({"uuid": UUID, "type": "GVTg_V5_4"}, "not_found", ["'GVTg_V5_4'", V4]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes(boot: Boot, change: Change) -> None:
    check_change(boot(Gpu()), change)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refusals(boot: Boot, refusal: Refusal) -> None:
    check_refusal(boot(Gpu()), refusal)


def left(host: IsolatedHost) -> dict[str, int]:
    return {mdev_type["id"]: mdev_type["available_instances"] for mdev_type in host.info()["types"]}


def test_types_share_three_budgets(boot: Boot) -> None:
    """The aperture has space for seven and a half V5_4, the hidden memory for five, the fences for seven."""
    host = boot(Gpu())
    assert left(host) == {V1: 1, V2: 2, V4: 5, V8: 7}
    host.device(uuid=UUID, type=V1)
    assert left(host) == {V1: 0, V2: 0, V4: 1, V8: 1}
    host.device(uuid=OTHER, type=V4)
    assert left(host) == {V1: 0, V2: 0, V4: 0, V8: 0}
    assert "No parent has room" in host.info()["hints"][0]


def test_a_set_fills_the_gpu(boot: Boot) -> None:
    host = boot(Gpu())
    apply_and_repeat(host, host.set, devices=[{"type": V4, "count": 5}])
    assert left(host) == {V1: 0, V2: 0, V4: 0, V8: 0}


def test_devices_that_turn_out_not_to_fit_are_rolled_back(boot: Boot) -> None:
    """The remaining budgets of two types cannot be predicted: only the driver knows."""
    host = boot(Gpu())
    refused = host.set(devices=[{"type": V2}, {"type": V4, "count": 4}])
    assert (refused["error"]["kind"], refused["error"]["rolled_back"]) == ("no_room", True)
    assert f"has no instance of {V4} left: its capacity changed" in refused["msg"]
    assert host.files.devices() == {}


@pytest.mark.parametrize(("named", "name"), [(False, None), (True, "GVTg_V5_4")])
def test_name_and_description(boot: Boot, named: bool, name: str | None) -> None:
    shown = boot(Gpu(named)).info()
    assert shown["unread"] == []
    [v4_type] = [mdev_type for mdev_type in shown["types"] if mdev_type["id"] == V4]
    assert v4_type["name"] == name
    assert v4_type["description"].splitlines()[:2] == ["low_gm_size: 128MB", "high_gm_size: 512MB"]


def test_a_kernel_with_type_names_accepts_the_name(boot: Boot) -> None:
    host = boot(Gpu(named=True))
    assert apply_and_repeat(host, host.device, uuid=UUID, type="GVTg_V5_4")["device"]["type"] == V4
