# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest
from ansible_collections.vfio.mdev.plugins.module_utils._errors import InUse, MdevError, Mismatch, NoRoom, Removing
from ansible_collections.vfio.mdev.plugins.module_utils._model import Attribute, Device, LiveAttribute
from ansible_collections.vfio.mdev.plugins.module_utils._plan import (
    CreateDevice,
    Plan,
    RemoveDevice,
    WriteAttribute,
    plan_device,
)
from ansible_collections.vfio.mdev.plugins.module_utils._wanted import Wanted
from builders import GUEST, OTHER, UUID, device, inventory, kind, parent

A, B = "0000:41:00.4", "0000:41:00.5"
MINE = device(UUID, A, "t-1")
BUSY = replace(MINE, users=(GUEST,))
HALF = replace(BUSY, type_id=None, removing=True)
ON = Attribute("power/control", "on")


def host(*devices: Device, left: int = 1) -> Any:
    return inventory(parent(A, kind("t-1", left), kind("t-2", left)), parent(B, kind("t-1", 1)), devices=devices)


def wanted(**more: Any) -> Wanted:
    facts: dict[str, Any] = {"uuid": UUID, "type": "t-1"}
    facts.update(more)
    return Wanted(**facts)


def shape(plan: Plan) -> list[str]:
    """The plan's steps in short."""
    words = []
    for step in plan.steps:
        if isinstance(step, CreateDevice):
            words.append(f"create {step.choices[0].type.id} on {step.choices[0].parent.address}")
        elif isinstance(step, RemoveDevice):
            words.append(f"remove {step.device.type_id} on {step.device.parent}")
        else:
            words.append(f"write {step.attribute.name}={step.attribute.value}")
    return words


@pytest.mark.parametrize(
    ("there", "asked", "steps"),
    [
        ((), wanted(), [f"create t-1 on {A}"]),
        ((), wanted(parents=(B,)), [f"create t-1 on {B}"]),
        ((), wanted(type="Name of t-2"), [f"create t-2 on {A}"]),
        ((MINE,), wanted(), []),
        ((MINE,), wanted(type="Name of t-1"), []),
        ((MINE,), wanted(parents=(A, B)), []),
        ((BUSY,), wanted(), []),
        ((MINE,), wanted(recreate=True), []),
        ((MINE,), wanted(type="t-2", recreate=True), [f"remove t-1 on {A}", f"create t-2 on {A}"]),
        ((MINE,), wanted(parents=(B,), recreate=True), [f"remove t-1 on {A}", f"create t-1 on {B}"]),
        ((), wanted(present=False), []),
        ((), wanted(present=False, type=None, parents=("0000:99:00.0",)), []),
        ((device(OTHER, A),), wanted(present=False), []),
        ((MINE,), wanted(present=False), [f"remove t-1 on {A}"]),
        ((MINE,), wanted(present=False, type=None), [f"remove t-1 on {A}"]),
        ((MINE,), wanted(present=False, type="Name of t-1", parents=(A,)), [f"remove t-1 on {A}"]),
    ],
)
def test_steps(there: tuple[Device, ...], asked: Wanted, steps: list[str]) -> None:
    assert shape(plan_device(asked, host(*there))) == steps


@pytest.mark.parametrize(
    ("there", "asked", "error", "message"),
    [
        ((MINE,), wanted(type="t-2"), Mismatch, f"exists as type t-1 .* on parent {A}, but type t-2 on any parent"),
        ((MINE,), wanted(parents=(B,)), Mismatch, f"on parent {A}, but type t-1 on {B} was asked for"),
        ((BUSY,), wanted(type="t-2", recreate=True), InUse, r"qemu-system-x86_64 \(pid 4711\), guest 'web-1'"),
        ((BUSY,), wanted(present=False), InUse, r"guest 'web-1'.*Nothing was changed"),
        ((MINE,), wanted(present=False, type="t-2"), Mismatch, "Nothing was removed"),
        ((MINE,), wanted(present=False, parents=(B,)), Mismatch, "Nothing was removed"),
        ((HALF,), wanted(), Removing, "half removed.*guest 'web-1'"),
        ((HALF,), wanted(present=False), Removing, "half removed"),
        ((HALF,), wanted(recreate=True, type="t-2"), Removing, "half removed"),
    ],
)
def test_refusals(there: tuple[Device, ...], asked: Wanted, error: type[MdevError], message: str) -> None:
    with pytest.raises(error, match=message):
        plan_device(asked, host(*there))


def test_the_instance_that_is_freed_first_counts_as_room() -> None:
    full = inventory(parent(A, kind("t-1", 0), kind("t-2", 0)), devices=(MINE,))
    assert shape(plan_device(wanted(type="t-2", recreate=True), full)) == [f"remove t-1 on {A}", f"create t-2 on {A}"]


def test_no_room() -> None:
    with pytest.raises(NoRoom):
        plan_device(wanted(parents=(A,)), host(left=0))


@pytest.mark.parametrize(
    ("parents", "rejected"),
    [((), [B]), ((A,), []), ((A, B), [B])],
)
def test_others_have_a_reason_only_where_the_parent_was_chosen(parents: tuple[str, ...], rejected: list[str]) -> None:
    assert [one.parent for one in plan_device(wanted(parents=parents), host()).rejected] == rejected


def test_attributes_go_with_the_creation_in_order() -> None:
    attributes = (Attribute("b", "1"), Attribute("a", "2"))
    step = plan_device(wanted(attributes=attributes), host()).steps[0]
    assert isinstance(step, CreateDevice)
    assert step.attributes == attributes


@pytest.mark.parametrize(
    ("now", "steps"),
    [
        (LiveAttribute("power/control", True, True, True, "auto"), ["write power/control=on"]),
        (LiveAttribute("power/control", True, True, True, "on"), []),
        (LiveAttribute("power/control", True, True, True, None), ["write power/control=on"]),
        (LiveAttribute("power/control", True, True, False, "on"), []),
        # Write-only: set when the device was made, and nobody can tell.
        (LiveAttribute("power/control", True, False, True), []),
    ],
)
def test_attributes_of_a_device_that_is_there(now: LiveAttribute, steps: list[str]) -> None:
    plan = plan_device(wanted(attributes=(ON,)), host(MINE), (now,))
    assert shape(plan) == steps
    assert [one.field for one in plan.drift] == ["attribute power/control"] * len(steps)
    for step in plan.steps:
        assert isinstance(step, WriteAttribute)
        assert step.before == (now.value or "")


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (LiveAttribute("power/control", True, True, False, "auto"), "reads 'auto' and is read-only"),
        (LiveAttribute("power/control", False), "the driver has no such attribute"),
    ],
)
def test_attributes_that_cannot_become_so(now: LiveAttribute, message: str) -> None:
    with pytest.raises(Mismatch, match=message):
        plan_device(wanted(attributes=(ON,)), host(MINE), (now,))


@pytest.mark.parametrize(
    ("there", "asked", "before", "after"),
    [
        (None, wanted(), None, ("t-1", A)),
        (MINE, wanted(), ("t-1", A), ("t-1", A)),
        (MINE, wanted(present=False), ("t-1", A), None),
        (MINE, wanted(type="t-2", recreate=True), ("t-1", A), ("t-2", A)),
        (None, wanted(present=False), None, None),
    ],
)
def test_before_and_after(
    there: Optional[Device],
    asked: Wanted,
    before: Optional[tuple[str, str]],
    after: Optional[tuple[str, str]],
) -> None:
    plan = plan_device(asked, host(*([there] if there else [])))
    assert (plan.before and (plan.before.type_id, plan.before.parent)) == before
    assert (plan.after and (plan.after.type_id, plan.after.parent)) == after
