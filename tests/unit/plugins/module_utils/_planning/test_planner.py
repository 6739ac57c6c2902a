# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional

import pytest
from builders import GUEST, OTHER, UUID, device, inventory, kind, parent

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import (
    InUse,
    InvalidInput,
    MdevError,
    Mismatch,
    NoRoom,
    NotFound,
    Removing,
    Several,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Attribute,
    Definition,
    Device,
    LiveAttribute,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import Wanted
from ansible_collections.vfio.mdev.plugins.module_utils._planning.planner import Live, plan_devices
from ansible_collections.vfio.mdev.plugins.module_utils._planning.steps import (
    CreateDevice,
    Define,
    Plan,
    RemoveDevice,
    Step,
    Undefine,
    WriteAttribute,
)

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


GONE = {"active": False, "persistent": False}


@dataclass(frozen=True)
class One:
    """The plan for a single device."""

    plan: Plan

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.plan.steps

    @property
    def rejected(self) -> tuple[Any, ...]:
        return self.plan.rejected

    def __getattr__(self, name: str) -> Any:
        [device] = self.plan.devices
        return getattr(device, name)


def plan_device(asked: Wanted, there: Any, live: tuple[LiveAttribute, ...] = ()) -> One:
    lives: Live = {asked.uuid: live}
    return One(plan_devices((asked,), there, lives))


def shape(plan: Plan | One) -> list[str]:
    """The plan's steps in short."""
    words = []
    for step in plan.steps:
        if isinstance(step, CreateDevice):
            words.append(f"create {step.choices[0].type.id} on {step.choices[0].parent.address}")
        elif isinstance(step, RemoveDevice):
            words.append(f"remove {step.device.type_id} on {step.device.parent}")
        elif isinstance(step, WriteAttribute):
            words.append(f"write {step.change.write.name}={step.change.write.value}")
        elif isinstance(step, Define):
            start = "auto" if step.definition.autostart else "manual"
            words.append(f"define {step.definition.type_id} on {step.definition.parent} {start}")
        else:
            words.append(f"undefine {step.definition.type_id} on {step.definition.parent}")
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
        ((), wanted(**GONE), []),
        ((), wanted(**GONE, type=None, parents=("0000:99:00.0",)), []),
        ((device(OTHER, A),), wanted(**GONE), []),
        ((MINE,), wanted(**GONE), [f"remove t-1 on {A}"]),
        ((MINE,), wanted(**GONE, type=None), [f"remove t-1 on {A}"]),
        ((MINE,), wanted(**GONE, type="Name of t-1", parents=(A,)), [f"remove t-1 on {A}"]),
    ],
)
def test_steps(there: tuple[Device, ...], asked: Wanted, steps: list[str]) -> None:
    assert shape(plan_device(asked, host(*there))) == steps


@pytest.mark.parametrize(
    ("there", "asked", "error", "message"),
    [
        ((MINE,), wanted(type="t-2"), Mismatch, f"exists as type t-1 on parent {A}, but type t-2 on any parent"),
        ((MINE,), wanted(parents=(B,)), Mismatch, f"on parent {A}, but type t-1 on {B} was asked for"),
        ((BUSY,), wanted(type="t-2", recreate=True), InUse, r"qemu-system-x86_64 \(pid 4711\), guest 'web-1'"),
        ((BUSY,), wanted(**GONE), InUse, r"guest 'web-1'.*Nothing was changed"),
        ((MINE,), wanted(**GONE, type="t-2"), Mismatch, "Nothing was removed"),
        ((MINE,), wanted(**GONE, parents=(B,)), Mismatch, "Nothing was removed"),
        ((HALF,), wanted(), Removing, "half removed.*guest 'web-1'"),
        ((HALF,), wanted(**GONE), Removing, "half removed"),
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
        assert step.change.undo == Attribute("power/control", now.value or "")


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
        (MINE, wanted(**GONE), ("t-1", A), None),
        (MINE, wanted(type="t-2", recreate=True), ("t-1", A), ("t-2", A)),
        (None, wanted(**GONE), None, None),
    ],
)
def test_before_and_after(
    there: Optional[Device],
    asked: Wanted,
    before: Optional[tuple[str, str]],
    after: Optional[tuple[str, str]],
) -> None:
    plan = plan_device(asked, host(*([there] if there else [])))
    assert ((plan.before.type_id, plan.before.parent) if plan.before.exists else None) == before
    assert ((plan.after.type_id, plan.after.parent) if plan.after.exists else None) == after


# The six states that a device can be in: active, defined, autostart.
STATES = {
    "absent": (False, False, False),
    "active": (True, False, False),
    "manual": (False, True, False),
    "auto": (False, True, True),
    "active manual": (True, True, False),
    "active auto": (True, True, True),
}


def in_state(name: str) -> Any:
    active, defined, autostart = STATES[name]
    found = host(*([MINE] if active else []))
    return replace(found, definitions=(Definition(UUID, A, "t-1", autostart),) if defined else ())


def steps_between(old: str, new: str) -> set[str]:
    """What the difference of two states is made of, told from the two states alone."""
    (was_active, was_defined, was_auto), (active, defined, auto) = STATES[old], STATES[new]
    steps = set()
    if active != was_active:
        steps.add(f"create t-1 on {A}" if active else f"remove t-1 on {A}")
    if defined and (not was_defined or auto != was_auto):
        steps.add(f"define t-1 on {A} {'auto' if auto else 'manual'}")
    if was_defined and not defined:
        steps.add(f"undefine t-1 on {A}")
    return steps


@pytest.mark.parametrize("new", STATES)
@pytest.mark.parametrize("old", STATES)
def test_every_state_is_reached_from_every_other(old: str, new: str) -> None:
    active, persistent, autostart = STATES[new]
    asked = wanted(active=active, persistent=persistent, autostart=autostart)
    plan = plan_device(asked, in_state(old))
    assert set(shape(plan)) == steps_between(old, new)
    assert len(plan.steps) == len(set(shape(plan)))
    after = plan.after
    assert (after.device is not None, after.definition is not None) == (active, persistent)
    assert (after.definition is not None and after.definition.autostart) == autostart
    if old not in ("absent", new) and new != "absent":
        assert plan.drift


def test_what_is_to_stay_is_stored_before_the_device_is_stopped() -> None:
    plan = plan_device(wanted(active=False, persistent=True), in_state("active"))
    assert shape(plan) == [f"define t-1 on {A} manual", f"remove t-1 on {A}"]


def test_a_device_that_cannot_be_made_is_not_defined() -> None:
    plan = plan_device(wanted(persistent=True), in_state("absent"))
    assert shape(plan) == [f"create t-1 on {A}", f"define t-1 on {A} manual"]


def defined(definition: Definition, *devices: Device) -> Any:
    return replace(host(*devices), definitions=(definition,))


STORED = Definition(UUID, A, "t-1", True, (ON,), (("note", '"mine"'),))


@pytest.mark.parametrize(
    ("there", "asked", "steps"),
    [
        # Type, start and attributes of a definition are corrected.
        (
            defined(STORED),
            wanted(active=False, persistent=True, autostart=True, type="t-2"),
            [f"define t-2 on {A} auto"],
        ),
        (
            defined(STORED),
            wanted(active=False, persistent=True, autostart=True, attributes=()),
            [f"define t-1 on {A} auto"],
        ),
        (defined(STORED), wanted(active=False, persistent=True, autostart=True), []),
        (defined(STORED), wanted(active=False, persistent=True, autostart=True, attributes=(ON,)), []),
        # A definition of another type than the live device follows the live device, which is as asked.
        (
            defined(replace(STORED, type_id="t-2"), MINE),
            wanted(persistent=True, autostart=True),
            [f"define t-1 on {A} auto"],
        ),
        # A definition for a parent that is not there.
        (
            defined(replace(STORED, parent="0000:99:00.0")),
            wanted(active=False, persistent=True, parents=("0000:99:00.0",)),
            ["define t-1 on 0000:99:00.0 manual"],
        ),
        (
            defined(replace(STORED, parent="0000:99:00.0")),
            wanted(**GONE, type="Name of t-1", parents=("0000:99:00.0",)),
            ["undefine t-1 on 0000:99:00.0"],
        ),
        # Elsewhere, and meant so.
        (
            defined(STORED),
            wanted(active=False, persistent=True, parents=(B,), recreate=True),
            [f"undefine t-1 on {A}", f"define t-1 on {B} manual"],
        ),
        (
            defined(STORED, MINE),
            wanted(persistent=True, autostart=True, parents=(B,), recreate=True),
            [f"remove t-1 on {A}", f"undefine t-1 on {A}", f"create t-1 on {B}", f"define t-1 on {B} auto"],
        ),
    ],
)
def test_definitions(there: Any, asked: Wanted, steps: list[str]) -> None:
    assert shape(plan_device(asked, there)) == steps


def test_fields_that_are_not_known_survive() -> None:
    [step] = plan_device(wanted(active=False, persistent=True), defined(STORED)).steps
    assert isinstance(step, Define)
    assert step.definition.other == STORED.other
    assert step.before == STORED


def test_a_defined_device_is_started_with_its_stored_attributes() -> None:
    [step] = plan_device(wanted(persistent=True, autostart=True), defined(STORED)).steps
    assert isinstance(step, CreateDevice)
    assert step.attributes == (ON,)


@pytest.mark.parametrize(
    ("there", "asked", "error", "message"),
    [
        (defined(STORED), wanted(persistent=True, parents=(B,)), Mismatch, f"is defined as type t-1 on parent {A}"),
        (defined(STORED), wanted(**GONE, parents=(B,)), Mismatch, "Nothing was removed"),
        (defined(STORED), wanted(**GONE, type="t-2"), Mismatch, "Nothing was removed"),
        (defined(STORED, BUSY), wanted(active=False, persistent=True), InUse, "guest 'web-1'"),
    ],
)
def test_refusals_about_definitions(there: Any, asked: Wanted, error: type[MdevError], message: str) -> None:
    with pytest.raises(error, match=message):
        plan_device(asked, there)


def test_all_definitions_of_a_uuid_go() -> None:
    two = replace(host(), definitions=(Definition(UUID, A, "t-1"), Definition(UUID, B, "t-1")))
    steps = plan_device(wanted(**GONE, type=None), two).steps
    assert [one.definition.parent for one in steps if isinstance(one, Undefine)] == [A, B]


def test_of_two_definitions_the_one_in_the_right_place_counts() -> None:
    two = replace(host(), definitions=(Definition(UUID, A, "t-1"), Definition(UUID, B, "t-1")))
    assert shape(plan_device(wanted(persistent=True, parents=(B,)), two)) == [f"create t-1 on {B}"]


@pytest.mark.parametrize("persistent", [True, False])
def test_a_refused_change_may_wait_for_the_next_start_only_where_it_is_stored(persistent: bool) -> None:
    now = LiveAttribute("power/control", True, True, True, "auto")
    plan = plan_device(wanted(attributes=(ON,), persistent=persistent), host(MINE), (now,))
    [write] = [step for step in plan.steps if isinstance(step, WriteAttribute)]
    assert write.may_wait == persistent


def several(count: int, label: str = "devices[0] (web)", **more: Any) -> tuple[Wanted, ...]:
    return tuple(
        wanted(uuid=f"{n:08d}-2222-3333-4444-555555555555", label=label, index=n, **more) for n in range(count)
    )


def test_what_goes_comes_before_what_is_created() -> None:
    asked = (wanted(uuid=OTHER, label="devices[0]", parents=(A,)), wanted(**GONE, label="purge: all"))
    assert shape(plan_devices(asked, host(MINE, left=0))) == [f"remove t-1 on {A}", f"create t-1 on {A}"]


def test_all_devices_are_placed_together() -> None:
    plan = plan_devices(several(2), host())
    assert shape(plan) == [f"create t-1 on {A}", f"create t-1 on {B}"]
    assert [one.label for one in plan.devices] == ["devices[0] (web)"] * 2
    with pytest.raises(NoRoom, match=r"no room for 1 of the 3 devices.*devices\[0\] \(web\): 1 of type 't-1'"):
        plan_devices(several(3), host())


def test_the_same_uuid_twice() -> None:
    with pytest.raises(InvalidInput, match=r"asked for twice, by devices\[0\] and by devices\[1\]\."):
        plan_devices((wanted(label="devices[0]"), wanted(label="devices[1]")), host())


def test_all_problems_are_told_at_once() -> None:
    asked = (
        wanted(type="t-2", label="devices[0]"),
        *several(2, "devices[1] (web)", type="no-such"),
        wanted(uuid=OTHER, parents=("0000:01:00.0",), label="devices[2]"),
    )
    with pytest.raises(
        Several, match=r"^3 problems, nothing was changed\. devices\[0\]: .*devices\[1\] \(web\): "
    ) as told:
        plan_devices(asked, host(MINE))
    errors: Any = told.value.facts["errors"]
    assert [(one["entry"], one["kind"]) for one in errors] == [
        ("devices[0]", "mismatch"),
        ("devices[1] (web)", "not_found"),
        ("devices[1] (web)", "not_found"),
        ("devices[2]", "not_found"),
    ]


def test_one_problem_of_many_devices_is_one_error_of_its_kind() -> None:
    devices = tuple(device(one.uuid, A, "t-1") for one in several(3))
    with pytest.raises(Mismatch, match=r"^devices\[0\] \(web\): .* the same with 2 more of its devices$") as told:
        plan_devices(several(3, type="t-2"), host(*devices))
    assert len(told.value.facts["errors"]) == 3  # type: ignore[arg-type]
    with pytest.raises(NotFound, match=r"^a, b: ") as told_once:
        plan_devices((*several(1, "a", type="x"), wanted(label="b", type="x")), host())
    assert told_once.value.facts["type"] == "x"


def test_a_used_device_stays_where_that_was_said() -> None:
    kept = plan_device(wanted(**GONE, skip_in_use=True), host(BUSY))
    assert (kept.steps, kept.left) == ((), BUSY)
    [step] = plan_device(wanted(**GONE, skip_in_use=True), host(MINE)).steps
    assert step == RemoveDevice(MINE, may_stay=True)
