# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests with vGPUs on virtual functions: functions are mapped like UUIDs."""

from __future__ import annotations

from typing import Any

import pytest
from builders import GUEST, device, inventory, mdev_type, parent
from test_assess import Case, refused, warned

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._migration.assess import GuestDevice, restored
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Device, Inventory
from ansible_collections.vfio.mdev.plugins.module_utils._planning.planner import plan_devices
from ansible_collections.vfio.mdev.plugins.module_utils._planning.steps import CreateDevice, RemoveDevice

VF4, VF5, VF6 = (f"0000:41:00.{number}" for number in "456")
VGPU = GuestDevice(VF4, "1147", "NVIDIA L40S-8Q", "vfio-pci", "nvidia")


def host(*vgpus: Device) -> Inventory:
    """A card with three functions and these vGPUs on them."""
    taken = {vgpu.parent for vgpu in vgpus}
    functions = (
        parent(
            address,
            mdev_type("1147", 0 if address in taken else 1, "NVIDIA L40S-8Q"),
            physical_function="0000:41:00.0",
            driver="nvidia",
            framework=VENDOR_VFIO,
        )
        for address in (VF4, VF5, VF6)
    )
    return inventory(*functions, devices=vgpus)


def vgpu(uuid: str, on: str, type_id: str = "1147", users: tuple[object, ...] = ()) -> Device:
    return device(uuid, on, type_id, framework=VENDOR_VFIO, users=users)


FUNCTIONS: dict[str, tuple[dict[str, Any], Inventory, str]] = {
    "the same function": ({"uuid_policy": "same"}, host(), VF4),
    "another function": ({"uuid_map": {VF4: VF6}}, host(), VF6),
    "in any spelling": ({"uuid_map": {"41:00.4": "pci_0000_41_00_6"}}, host(), VF6),
    "the first free function": ({"uuid_policy": "new"}, host(vgpu("x", VF4)), VF5),
}


@pytest.mark.parametrize(("options", "destination", "function"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_function_of_the_vgpu(options: dict[str, Any], destination: Inventory, function: str) -> None:
    assessment = Case((VGPU,), **options, inventory=destination).assess()
    assert warned(assessment) == []
    [step] = plan_devices(assessment.requests, destination).steps
    assert isinstance(step, CreateDevice)
    assert step.choices[0].parent.address == function
    [record] = assessment.records
    assert record.targets({step.key: function}) == {VF4: function}


def test_a_second_run_changes_nothing_and_rollback_clears_the_vgpu() -> None:
    first = Case((VGPU,), inventory=host()).assess()
    prepared = host(vgpu(first.requests[0].key, VF4))
    case = Case((VGPU,), inventory=prepared, record=first.records[0])
    assessment = case.assess()
    assert (plan_devices(assessment.requests, prepared).steps, assessment.records) == ((), first.records)
    rollback = plan_devices(list(restored(first.records[0], prepared, was_attempted=True)), prepared)
    assert [type(step) for step in rollback.steps] == [RemoveDevice]


def test_an_existing_vgpu_is_recreated_and_restored_by_rollback() -> None:
    """It may be stale, like a mediated device of the same UUID."""
    existing = host(vgpu("theirs", VF4))
    assessment = Case((VGPU,), inventory=existing).assess()
    assert [type(step) for step in plan_devices(assessment.requests, existing).steps] == [RemoveDevice, CreateDevice]
    assert warned(assessment) == ["stale"]
    [request] = restored(assessment.records[0], existing, was_attempted=False)
    assert (request.active, request.parents) == (True, (VF4,))


REFUSED = {
    "in use": (Case((VGPU,), inventory=host(vgpu("theirs", VF4, users=(GUEST,)))), "function 0000:41:00.4 is in use"),
    "another type": (Case((VGPU,), inventory=host(vgpu("theirs", VF4, "1148"))), "vGPU exists as type 1148"),
    "no such function": (
        Case((VGPU,), uuid_map={VF4: "0000:99:00.4"}, inventory=host()),
        "no mdev parent '0000:99:00.4'",
    ),
    "mediated devices here": (
        Case((VGPU,), inventory=inventory(parent(VF4, mdev_type("1147", 1)))),
        "the guest's XML has the device as <hostdev type='pci'>",
    ),
    "none left": (
        Case((VGPU,), uuid_policy="new", inventory=host(*(vgpu(address, address) for address in (VF4, VF5, VF6)))),
        "no room for a device of type",
    ),
}


@pytest.mark.parametrize(("case", "words"), REFUSED.values(), ids=REFUSED)
def test_refusals(case: Case, words: str) -> None:
    assert [words in str(check["detail"]) for check in refused(case)] == [True]


def test_a_function_without_an_entry_in_the_map() -> None:
    with pytest.raises(InvalidInput, match=f"no entry for {VF4}"):
        Case((VGPU,), uuid_map={VF5: VF6}, inventory=host()).assess()
