# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's own framework: what its files mean, and which vGPU a request means."""

from __future__ import annotations

import pytest
from builders import UUID, device, inventory, kind, parent

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.rules import (
    Function,
    identified,
    noted,
    parse_types,
    remembered_names,
    types_of,
    uuid_of,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    VENDOR_VFIO,
    Definition,
    Inventory,
    PciIds,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import Wanted

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
        # What the driver hides is known from others of the kind.
        (SET, [FREE, SET, OTHER_CARD], {}, [("1147", "NVIDIA L40S-8Q", 0), ("1148", "NVIDIA L40S-12Q", 0)]),
        (FULL, [FULL, SET], {"1147": "as noted"}, [("1147", "as noted", 0)]),
        (FULL, [FULL, SET], {}, [("1147", None, 0)]),
        (FULL, [FULL], {"1147": "as noted"}, []),
    ],
)
def test_types_of_a_function(
    function: Function, functions: list[Function], remembered: dict[str, str], types: list[tuple[str, str, int]]
) -> None:
    found = types_of(function, functions, remembered)
    assert [(one.id, one.name, one.available_instances) for one in found] == types


def vgpu(address: str, type_id: str, uuid: str = UUID) -> Definition:
    return Definition(uuid, address, type_id, framework=VENDOR_VFIO)


def test_a_vgpu_is_found_again_by_what_was_noted() -> None:
    others = uuid_of(SET, [])
    assert uuid_of(SET, [vgpu("0000:41:00.4", "1147"), vgpu(SET.address, "1147")]) == UUID
    # Somebody else set another type since, or set it first.
    assert uuid_of(SET, [vgpu(SET.address, "1148")]) == others
    assert uuid_of(Function("0000:41:00.6", L40S, "1147", {}), []) != others


def test_names_are_remembered() -> None:
    known = [noted(vgpu("a", "1147"), "NVIDIA L40S-8Q"), noted(vgpu("b", "1148"), None)]
    assert remembered_names(known) == EIGHT


HOST = inventory(
    parent("0000:41:00.4", kind("1147"), framework=VENDOR_VFIO),
    parent("0000:41:00.5", kind("1147"), framework=VENDOR_VFIO),
    parent("mtty", kind("mtty-1"), subsystem="mtty"),
    devices=(device("theirs", "0000:41:00.4", "1147", framework=VENDOR_VFIO),),
    definitions=(vgpu("0000:99:00.4", "1147", "stored"),),
)


@pytest.mark.parametrize(
    ("wanted", "host", "uuid"),
    [
        (Wanted("mine", parents=("0000:41:00.4",)), HOST, "theirs"),
        (Wanted("mine", parents=("pci_0000_41_00_4",)), HOST, "theirs"),
        (Wanted("", parents=("0000:41:00.4",)), HOST, "theirs"),
        # Its function may be off at the moment.
        (Wanted("mine", parents=("0000:99:00.4",)), HOST, "stored"),
        (Wanted("mine", parents=("0000:41:00.5",)), HOST, "mine"),
        (Wanted("", parents=("0000:41:00.5",)), HOST, ""),
        (Wanted("mine", parents=("0000:41:00.4", "0000:41:00.5")), HOST, "mine"),
        (Wanted("mine"), HOST, "mine"),
        # What is known by its own name stays what it is, wherever it is looked for.
        (Wanted("stored", parents=("0000:41:00.4",)), HOST, "stored"),
        (Wanted("mine", parents=("mtty",)), HOST, "mine"),
        (Wanted("mine", parents=("0000:41:00.4",)), Inventory(), "mine"),
    ],
)
def test_which_vgpu_a_request_means(wanted: Wanted, host: Inventory, uuid: str) -> None:
    assert [one.uuid for one in identified([wanted], host)] == [uuid]


@pytest.mark.parametrize("name", ["mtty", "0000:41:00.9"])
def test_a_parent_alone_means_no_mediated_device(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"nothing says which device on '{name}' is meant"):
        identified([Wanted("", parents=(name,))], HOST)
