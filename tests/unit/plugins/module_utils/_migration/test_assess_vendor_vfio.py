# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests whose devices are vGPUs on virtual functions: functions are mapped as UUIDs are."""

from __future__ import annotations

import pytest
from builders import GUEST, device, inventory, kind, parent
from test_assess import Case, refused, warned

from ansible_collections.vfio.mdev.plugins.module_utils._migration.assess import GuestDevice, restored
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import VENDOR_VFIO, Device, Inventory
from ansible_collections.vfio.mdev.plugins.module_utils._planning.planner import plan_devices
from ansible_collections.vfio.mdev.plugins.module_utils._planning.steps import CreateDevice, RemoveDevice

VF4, VF5, VF6 = (f"0000:41:00.{number}" for number in "456")
VGPU = GuestDevice(VF4, "1147", "NVIDIA L40S-8Q", "vfio-pci", "nvidia")


def host(*set_on: Device) -> Inventory:
    """A card with three functions, of which some have a vGPU."""
    taken = {one.parent for one in set_on}
    functions = (
        parent(
            one,
            kind("1147", 0 if one in taken else 1, "NVIDIA L40S-8Q"),
            physical_function="0000:41:00.0",
            driver="nvidia",
            framework=VENDOR_VFIO,
        )
        for one in (VF4, VF5, VF6)
    )
    return inventory(*functions, devices=set_on)


def vgpu(uuid: str, on: str, type_id: str = "1147", users: tuple[object, ...] = ()) -> Device:
    return device(uuid, on, type_id, framework=VENDOR_VFIO, users=users)


PLACES: dict[str, tuple[object, Inventory, str]] = {
    "the same function": ("same", host(), VF4),
    "another one": ({VF4: VF6}, host(), VF6),
    "in any way of writing": ({"41:00.4": "pci_0000_41_00_6"}, host(), VF6),
    "the first that is free": ("new", host(vgpu("x", VF4)), VF5),
}


@pytest.mark.parametrize(("uuids", "there", "function"), PLACES.values(), ids=PLACES)
def test_where_the_vgpu_goes(uuids: object, there: Inventory, function: str) -> None:
    found = Case((VGPU,), uuids=uuids, inventory=there).assess()
    assert warned(found) == []
    [step] = plan_devices(found.wanted, there).steps
    assert isinstance(step, CreateDevice)
    assert step.choices[0].parent.address == function
    [record] = found.records
    assert record.targets({step.uuid: function}) == {VF4: function}


def test_a_second_run_changes_nothing_and_the_way_back_clears_it() -> None:
    first = Case((VGPU,), inventory=host()).assess()
    prepared = host(vgpu(first.wanted[0].uuid, VF4))
    case = Case((VGPU,), inventory=prepared, record=first.records[0])
    found = case.assess()
    assert (plan_devices(found.wanted, prepared).steps, found.records) == ((), first.records)
    back = plan_devices(list(restored(first.records[0], prepared, attempted=True)), prepared)
    assert [type(one) for one in back.steps] == [RemoveDevice]


def test_what_others_have_set_there_is_set_anew_and_comes_back() -> None:
    """It may be stale, as a mediated device of the same UUID may."""
    there = host(vgpu("theirs", VF4))
    found = Case((VGPU,), inventory=there).assess()
    assert [type(one) for one in plan_devices(found.wanted, there).steps] == [RemoveDevice, CreateDevice]
    assert warned(found) == ["stale"]
    [wanted] = restored(found.records[0], there, attempted=False)
    assert (wanted.active, wanted.parents) == (True, (VF4,))


REFUSED = {
    "in use": (Case((VGPU,), inventory=host(vgpu("theirs", VF4, users=(GUEST,)))), "function 0000:41:00.4 is in use"),
    "another type": (Case((VGPU,), inventory=host(vgpu("theirs", VF4, "1148"))), "vGPU exists as type 1148"),
    "no such function": (Case((VGPU,), uuids={VF4: "0000:99:00.4"}, inventory=host()), "no mdev parent '0000:99:00.4'"),
    "mediated devices here": (
        Case((VGPU,), inventory=inventory(parent(VF4, kind("1147", 1)))),
        "of framework vendor_vfio on the source",
    ),
    "none left": (
        Case((VGPU,), uuids="new", inventory=host(*(vgpu(one, one) for one in (VF4, VF5, VF6)))),
        "no room for a device of type",
    ),
}


@pytest.mark.parametrize(("case", "words"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_prepared(case: Case, words: str) -> None:
    assert [words in str(one["detail"]) for one in refused(case)] == [True]


def test_a_function_without_an_entry_in_the_map() -> None:
    with pytest.raises(InvalidInput, match=f"none for {VF4}"):
        Case((VGPU,), uuids={VF5: VF6}, inventory=host()).assess()
