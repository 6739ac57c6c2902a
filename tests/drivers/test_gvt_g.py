# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on Intel's GVT-g."""

from __future__ import annotations

import pytest

from drivers.gvt_g import ADDRESS, Gpu
from drivers.kit.changes import Change, Refusal, show, show_refusal, thrice
from drivers.kit.machine import Boot, Machine

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
    "away": Change({"uuid": UUID, "state": "absent"}, [f"remove {V4} on {ADDRESS}"], None, before=(ACTIVE,)),
}

REFUSALS = {
    "the largest beside another": Refusal(
        {"uuid": OTHER, "type": V1, "parent": ADDRESS},
        "no_room",
        [f"has 0 of {V1} left (but 1 of {V2}, 3 of {V4}, 4 of {V8})"],
        before=({**ACTIVE, "type": V2},),
    ),
    "a name, of types that have none": Refusal({"uuid": UUID, "type": "GVTg_V5_4"}, "not_found", ["'GVTg_V5_4'", V4]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes(boot: Boot, change: Change) -> None:
    show(boot(Gpu()), change)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refusals(boot: Boot, refusal: Refusal) -> None:
    show_refusal(boot(Gpu()), refusal)


def left(machine: Machine) -> dict[str, int]:
    return {one["id"]: one["available_instances"] for one in machine.info()["types"]}


def test_types_share_three_budgets(boot: Boot) -> None:
    """The aperture would take seven and a half of V5_4, the hidden memory five, the fences seven."""
    machine = boot(Gpu())
    assert left(machine) == {V1: 1, V2: 2, V4: 5, V8: 7}
    machine.device(uuid=UUID, type=V1)
    assert left(machine) == {V1: 0, V2: 0, V4: 1, V8: 1}
    machine.device(uuid=OTHER, type=V4)
    assert left(machine) == {V1: 0, V2: 0, V4: 0, V8: 0}
    assert "No parent has room" in machine.info()["hints"][0]


def test_a_set_fills_the_gpu(boot: Boot) -> None:
    machine = boot(Gpu())
    thrice(machine, machine.set, devices=[{"type": V4, "count": 5}])
    assert left(machine) == {V1: 0, V2: 0, V4: 0, V8: 0}


def test_what_does_not_fit_in_the_end_is_taken_back(boot: Boot) -> None:
    """No one can tell beforehand what two types leave of three budgets: the driver has the last word."""
    machine = boot(Gpu())
    refused = machine.set(devices=[{"type": V2}, {"type": V4, "count": 4}])
    assert (refused["error"]["kind"], refused["error"]["taken_back"]) == ("no_room", True)
    assert f"has 0 of {V4} left by now" in refused["msg"]
    assert machine.host.devices() == {}


@pytest.mark.parametrize(("named", "name"), [(False, None), (True, "GVTg_V5_4")])
def test_what_is_shown(boot: Boot, named: bool, name: str | None) -> None:
    shown = boot(Gpu(named)).info()
    assert shown["unread"] == []
    [kind] = [one for one in shown["parents"][0]["types"] if one["id"] == V4]
    assert kind["name"] == name
    assert kind["description"].splitlines()[:2] == ["low_gm_size: 128MB", "high_gm_size: 512MB"]


def test_a_kernel_with_names_knows_the_type_by_its_name_too(boot: Boot) -> None:
    machine = boot(Gpu(named=True))
    assert thrice(machine, machine.device, uuid=UUID, type="GVTg_V5_4")["device"]["type"] == V4
