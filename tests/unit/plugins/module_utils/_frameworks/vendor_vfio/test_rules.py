# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's vendor VFIO framework: parsing its files, and matching requests with existing vGPUs."""

from __future__ import annotations

import pytest
from builders import UUID, define, device, inventory, mdev_type, parent

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.rules import (
    Function,
    key_of,
    parse_types,
    remembered_names,
    types_of,
    with_type_name,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Definition,
    Inventory,
    PciIds,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest
from ansible_collections.vfio.mdev.plugins.module_utils._planning.matching import match_existing

L40S, L4 = PciIds("0x10de", "0x26b9"), PciIds("0x10de", "0x27b8")
EIGHT, TWELVE = {"1147": "NVIDIA L40S-8Q"}, {"1148": "NVIDIA L40S-12Q"}
FREE = Function("0000:41:00.4", L40S, "0", {**EIGHT, **TWELVE})
SET = Function("0000:41:00.5", L40S, "1147", {})
FULL = Function("0000:41:00.6", L40S, "0", {})
OTHER_CARD = Function("0000:c1:00.4", L4, "0", {"1": "NVIDIA L4-1Q"})


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("", {}),
        ("ID    : vGPU Name\n", {}),
        (
            "1428 : NVIDIA H200X-141C\n1414 : NVIDIA H200X-1-18C\n",
            {"1428": "NVIDIA H200X-141C", "1414": "NVIDIA H200X-1-18C"},
        ),
        ("ID    : vGPU Name\n  7: A : B  \nnothing\n 8 :\n", {"7": "A : B"}),
    ],
)
def test_the_list_of_types(text: str, types: dict[str, str]) -> None:
    assert parse_types(text) == types


@pytest.mark.parametrize(
    ("function", "functions", "remembered", "types"),
    [
        (FREE, [FREE], {}, [("1147", "NVIDIA L40S-8Q", 1), ("1148", "NVIDIA L40S-12Q", 1)]),
        # Types that the driver hides are known from other functions of the same model.
        (SET, [FREE, SET, OTHER_CARD], {}, [("1147", "NVIDIA L40S-8Q", 0), ("1148", "NVIDIA L40S-12Q", 0)]),
        (FULL, [FULL, SET], {"1147": "as noted"}, [("1147", "as noted", 0)]),
        (FULL, [FULL, SET], {}, [("1147", None, 0)]),
        (FULL, [FULL], {"1147": "as noted"}, []),
    ],
)
def test_types_of_a_function(
    function: Function, functions: list[Function], remembered: dict[str, str], types: list[tuple[str, str, int]]
) -> None:
    mdev_types = types_of(function, functions, remembered)
    assert [(mdev_type.id, mdev_type.name, mdev_type.available_instances) for mdev_type in mdev_types] == types


def vgpu(address: str, type_id: str, uuid: str = UUID) -> Definition:
    return define(uuid, address, type_id, framework=VENDOR_VFIO)


def test_a_vgpu_is_recognized_by_its_note() -> None:
    foreign = key_of(SET, [])
    assert key_of(SET, [vgpu("0000:41:00.4", "1147"), vgpu(SET.address, "1147")]) == UUID
    # Another program set a different type later, or set it first.
    assert key_of(SET, [vgpu(SET.address, "1148")]) == foreign
    assert key_of(Function("0000:41:00.6", L40S, "1147", {}), []) != foreign


def test_names_are_remembered() -> None:
    known = [with_type_name(vgpu("a", "1147"), "NVIDIA L40S-8Q"), with_type_name(vgpu("b", "1148"), None)]
    assert remembered_names(known) == EIGHT


PLACE_KEY = key_of(Function("0000:41:00.5", None, "1147", {}), [])
HOST = inventory(
    parent("0000:41:00.4", mdev_type("1147"), framework=VENDOR_VFIO),
    parent("0000:41:00.5", mdev_type("1147"), framework=VENDOR_VFIO),
    parent("mtty", mdev_type("mtty-1"), subsystem="mtty"),
    devices=(device("theirs", "0000:41:00.4", "1147", framework=VENDOR_VFIO),),
    definitions=(vgpu("0000:99:00.4", "1147", "stored"),),
)


@pytest.mark.parametrize(
    ("wanted", "host", "uuid"),
    [
        (DeviceRequest("mine", parents=("0000:41:00.4",)), HOST, "theirs"),
        (DeviceRequest("mine", parents=("pci_0000_41_00_4",)), HOST, "theirs"),
        (DeviceRequest("", parents=("0000:41:00.4",)), HOST, "theirs"),
        # Its function may be disabled at the moment.
        (DeviceRequest("mine", parents=("0000:99:00.4",)), HOST, "stored"),
        (DeviceRequest("mine", parents=("0000:41:00.5",)), HOST, "mine"),
        # Nothing is there: a key of the function finds nothing.
        (DeviceRequest("", parents=("0000:41:00.5",)), HOST, PLACE_KEY),
        (DeviceRequest("mine", parents=("0000:41:00.4", "0000:41:00.5")), HOST, "mine"),
        (DeviceRequest("mine"), HOST, "mine"),
        # A vGPU that is known by its own UUID matches whatever parent is requested.
        (DeviceRequest("stored", parents=("0000:41:00.4",)), HOST, "stored"),
        (DeviceRequest("mine", parents=("mtty",)), HOST, "mine"),
        (DeviceRequest("mine", parents=("0000:41:00.4",)), Inventory(), "mine"),
    ],
)
def test_which_vgpu_a_request_matches(wanted: DeviceRequest, host: Inventory, uuid: str) -> None:
    assert [request.key for request in match_existing([wanted], host)] == [uuid]


@pytest.mark.parametrize("name", ["mtty", "0000:41:00.9"])
def test_a_parent_alone_does_not_identify_a_mediated_device(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"the request does not identify a device on '{name}'"):
        match_existing([DeviceRequest("", parents=(name,))], HOST)
