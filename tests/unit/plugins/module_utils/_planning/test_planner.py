# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans: the steps from the current state to the requested one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional

import pytest
from builders import GUEST, OTHER, UUID, define, device, inventory, mdev_type, parent

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import (
    FileError,
    InUse,
    InvalidInput,
    MdevError,
    Mismatch,
    MultipleProblems,
    NoRoom,
    NotFound,
    Removing,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Attribute,
    Definition,
    Device,
    Hidden,
    LiveAttribute,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest
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
EXISTING = device(UUID, A, "t-1")
BUSY = replace(EXISTING, users=(GUEST,))
HALF = replace(BUSY, type_id=None, removing=True)
ON = Attribute("power/control", "on")


def host(*devices: Device, left: int = 1) -> Any:
    return inventory(
        parent(A, mdev_type("t-1", left), mdev_type("t-2", left)), parent(B, mdev_type("t-1", 1)), devices=devices
    )


def request(**more: Any) -> DeviceRequest:
    facts: dict[str, Any] = {"key": UUID, "type": "t-1"}
    facts.update(more)
    return DeviceRequest(**facts)


GONE = {"active": False, "persistent": False}


@dataclass(frozen=True)
class SingleDevicePlan:
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


def plan_device(request: DeviceRequest, inventory: Any, live: tuple[LiveAttribute, ...] = ()) -> SingleDevicePlan:
    lives: Live = {request.key: live}
    return SingleDevicePlan(plan_devices((request,), inventory, lives))


def shape(plan: Plan | SingleDevicePlan) -> list[str]:
    """The steps of the plan as short texts."""
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
    ("existing", "requested", "steps"),
    [
        ((), request(), [f"create t-1 on {A}"]),
        ((), request(parents=(B,)), [f"create t-1 on {B}"]),
        ((), request(type="Name of t-2"), [f"create t-2 on {A}"]),
        ((EXISTING,), request(), []),
        ((EXISTING,), request(type="Name of t-1"), []),
        ((EXISTING,), request(parents=(A, B)), []),
        ((BUSY,), request(), []),
        ((EXISTING,), request(recreate=True), []),
        ((EXISTING,), request(type="t-2", recreate=True), [f"remove t-1 on {A}", f"create t-2 on {A}"]),
        ((EXISTING,), request(parents=(B,), recreate=True), [f"remove t-1 on {A}", f"create t-1 on {B}"]),
        ((), request(**GONE), []),
        ((), request(**GONE, type=None, parents=("0000:99:00.0",)), []),
        ((device(OTHER, A),), request(**GONE), []),
        ((EXISTING,), request(**GONE), [f"remove t-1 on {A}"]),
        ((EXISTING,), request(**GONE, type=None), [f"remove t-1 on {A}"]),
        ((EXISTING,), request(**GONE, type="Name of t-1", parents=(A,)), [f"remove t-1 on {A}"]),
    ],
)
def test_steps(existing: tuple[Device, ...], requested: DeviceRequest, steps: list[str]) -> None:
    assert shape(plan_device(requested, host(*existing))) == steps


@pytest.mark.parametrize(
    ("existing", "requested", "error", "message"),
    [
        ((EXISTING,), request(type="t-2"), Mismatch, f"exists as type t-1 on parent {A}, but type t-2 on any parent"),
        ((EXISTING,), request(parents=(B,)), Mismatch, f"on parent {A}, but type t-1 on {B} was requested"),
        ((BUSY,), request(type="t-2", recreate=True), InUse, r"qemu-system-x86_64 \(pid 4711\), guest 'web-1'"),
        ((BUSY,), request(**GONE), InUse, r"guest 'web-1'.*Nothing was changed"),
        ((EXISTING,), request(**GONE, type="t-2"), Mismatch, "Nothing was removed"),
        ((EXISTING,), request(**GONE, parents=(B,)), Mismatch, "Nothing was removed"),
        ((HALF,), request(), Removing, "half removed.*guest 'web-1'"),
        ((HALF,), request(**GONE), Removing, "half removed"),
        ((HALF,), request(recreate=True, type="t-2"), Removing, "half removed"),
    ],
)
def test_refusals(existing: tuple[Device, ...], requested: DeviceRequest, error: type[MdevError], message: str) -> None:
    with pytest.raises(error, match=message):
        plan_device(requested, host(*existing))


def test_an_instance_that_is_freed_first_counts_as_capacity() -> None:
    full = inventory(parent(A, mdev_type("t-1", 0), mdev_type("t-2", 0)), devices=(EXISTING,))
    assert shape(plan_device(request(type="t-2", recreate=True), full)) == [f"remove t-1 on {A}", f"create t-2 on {A}"]


def test_no_room() -> None:
    with pytest.raises(NoRoom):
        plan_device(request(parents=(A,)), host(left=0))


@pytest.mark.parametrize(
    ("parents", "rejected"),
    [((), [B]), ((A,), []), ((A, B), [B])],
)
def test_other_parents_have_a_reason_only_if_the_parent_was_chosen(
    parents: tuple[str, ...], rejected: list[str]
) -> None:
    assert [rejection.parent for rejection in plan_device(request(parents=parents), host()).rejected] == rejected


def test_creation_writes_attributes_in_order() -> None:
    attributes = (Attribute("b", "1"), Attribute("a", "2"))
    step = plan_device(request(attributes=attributes), host()).steps[0]
    assert isinstance(step, CreateDevice)
    assert step.attributes == attributes


@pytest.mark.parametrize(
    ("now", "steps"),
    [
        (LiveAttribute("power/control", True, True, True, "auto"), ["write power/control=on"]),
        (LiveAttribute("power/control", True, True, True, "on"), []),
        (LiveAttribute("power/control", True, True, True, None), ["write power/control=on"]),
        (LiveAttribute("power/control", True, True, False, "on"), []),
        # Write-only: set when the device was created, and not readable since.
        (LiveAttribute("power/control", True, False, True), []),
    ],
)
def test_attributes_of_an_existing_device(now: LiveAttribute, steps: list[str]) -> None:
    plan = plan_device(request(attributes=(ON,)), host(EXISTING), (now,))
    assert shape(plan) == steps
    assert [drift.field for drift in plan.drift] == ["attribute power/control"] * len(steps)
    for step in plan.steps:
        assert isinstance(step, WriteAttribute)
        assert step.change.undo == Attribute("power/control", now.value or "")


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (LiveAttribute("power/control", True, True, False, "auto"), "its value is 'auto' and read-only"),
        (LiveAttribute("power/control", False), "the driver has no such attribute"),
    ],
)
def test_attributes_that_cannot_be_set(now: LiveAttribute, message: str) -> None:
    with pytest.raises(Mismatch, match=message):
        plan_device(request(attributes=(ON,)), host(EXISTING), (now,))


@pytest.mark.parametrize(
    ("existing", "requested", "before", "after"),
    [
        (None, request(), None, ("t-1", A)),
        (EXISTING, request(), ("t-1", A), ("t-1", A)),
        (EXISTING, request(**GONE), ("t-1", A), None),
        (EXISTING, request(type="t-2", recreate=True), ("t-1", A), ("t-2", A)),
        (None, request(**GONE), None, None),
    ],
)
def test_before_and_after(
    existing: Optional[Device],
    requested: DeviceRequest,
    before: Optional[tuple[str, str]],
    after: Optional[tuple[str, str]],
) -> None:
    plan = plan_device(requested, host(*([existing] if existing else [])))
    assert ((plan.before.type_id, plan.before.parent) if plan.before.exists else None) == before
    assert ((plan.after.type_id, plan.after.parent) if plan.after.exists else None) == after


# The six states of a device: active, defined, autostart.
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
    inventory = host(*([EXISTING] if active else []))
    return replace(inventory, definitions=(define(UUID, A, "t-1", autostart),) if defined else ())


def steps_between(old: str, new: str) -> set[str]:
    """The steps between two states, derived only from these states."""
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
    requested = request(active=active, persistent=persistent, autostart=autostart)
    plan = plan_device(requested, in_state(old))
    assert set(shape(plan)) == steps_between(old, new)
    assert len(plan.steps) == len(set(shape(plan)))
    after = plan.after
    assert (after.device is not None, after.definition is not None) == (active, persistent)
    assert (after.definition is not None and after.definition.autostart) == autostart
    if old not in ("absent", new) and new != "absent":
        assert plan.drift


def test_a_device_is_defined_before_it_is_stopped() -> None:
    plan = plan_device(request(active=False, persistent=True), in_state("active"))
    assert shape(plan) == [f"define t-1 on {A} manual", f"remove t-1 on {A}"]


def test_a_device_is_created_before_it_is_defined() -> None:
    plan = plan_device(request(persistent=True), in_state("absent"))
    assert shape(plan) == [f"create t-1 on {A}", f"define t-1 on {A} manual"]


def defined(definition: Definition, *devices: Device) -> Any:
    return replace(host(*devices), definitions=(definition,))


STORED = define(UUID, A, "t-1", True, (ON,), (("note", '"mine"'),))


@pytest.mark.parametrize(
    ("existing", "requested", "steps"),
    [
        # Type, start and attributes of a definition are corrected.
        (
            defined(STORED),
            request(active=False, persistent=True, autostart=True, type="t-2"),
            [f"define t-2 on {A} auto"],
        ),
        (
            defined(STORED),
            request(active=False, persistent=True, autostart=True, attributes=()),
            [f"define t-1 on {A} auto"],
        ),
        (defined(STORED), request(active=False, persistent=True, autostart=True), []),
        (defined(STORED), request(active=False, persistent=True, autostart=True, attributes=(ON,)), []),
        # A definition with another type than the active device is adapted to the device, which is as requested.
        (
            defined(replace(STORED, type_id="t-2"), EXISTING),
            request(persistent=True, autostart=True),
            [f"define t-1 on {A} auto"],
        ),
        # A definition for a parent that does not exist.
        (
            defined(replace(STORED, parent="0000:99:00.0")),
            request(active=False, persistent=True, parents=("0000:99:00.0",)),
            ["define t-1 on 0000:99:00.0 manual"],
        ),
        (
            defined(replace(STORED, parent="0000:99:00.0")),
            request(**GONE, type="Name of t-1", parents=("0000:99:00.0",)),
            ["undefine t-1 on 0000:99:00.0"],
        ),
        # On another parent, on purpose.
        (
            defined(STORED),
            request(active=False, persistent=True, parents=(B,), recreate=True),
            [f"undefine t-1 on {A}", f"define t-1 on {B} manual"],
        ),
        (
            defined(STORED, EXISTING),
            request(persistent=True, autostart=True, parents=(B,), recreate=True),
            [f"remove t-1 on {A}", f"undefine t-1 on {A}", f"create t-1 on {B}", f"define t-1 on {B} auto"],
        ),
    ],
)
def test_definitions(existing: Any, requested: DeviceRequest, steps: list[str]) -> None:
    assert shape(plan_device(requested, existing)) == steps


def test_unknown_fields_survive() -> None:
    [step] = plan_device(request(active=False, persistent=True), defined(STORED)).steps
    assert isinstance(step, Define)
    assert step.definition.other == STORED.other
    assert step.before == STORED


def test_a_defined_device_is_started_with_its_stored_attributes() -> None:
    [step] = plan_device(request(persistent=True, autostart=True), defined(STORED)).steps
    assert isinstance(step, CreateDevice)
    assert step.attributes == (ON,)


@pytest.mark.parametrize(
    ("existing", "requested", "error", "message"),
    [
        (defined(STORED), request(persistent=True, parents=(B,)), Mismatch, f"is defined as type t-1 on parent {A}"),
        (defined(STORED), request(**GONE, parents=(B,)), Mismatch, "Nothing was removed"),
        (defined(STORED), request(**GONE, type="t-2"), Mismatch, "Nothing was removed"),
        (defined(STORED, BUSY), request(active=False, persistent=True), InUse, "guest 'web-1'"),
    ],
)
def test_refusals_about_definitions(
    existing: Any, requested: DeviceRequest, error: type[MdevError], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan_device(requested, existing)


def test_all_definitions_of_a_uuid_are_removed() -> None:
    two = replace(host(), definitions=(define(UUID, A, "t-1"), define(UUID, B, "t-1")))
    steps = plan_device(request(**GONE, type=None), two).steps
    assert [step.definition.parent for step in steps if isinstance(step, Undefine)] == [A, B]


def test_of_two_definitions_the_one_on_the_requested_parent_counts() -> None:
    two = replace(host(), definitions=(define(UUID, A, "t-1"), define(UUID, B, "t-1")))
    assert shape(plan_device(request(persistent=True, parents=(B,)), two)) == [f"create t-1 on {B}"]


@pytest.mark.parametrize("persistent", [True, False])
def test_a_refused_change_may_wait_for_the_next_start_only_if_it_is_stored(persistent: bool) -> None:
    now = LiveAttribute("power/control", True, True, True, "auto")
    plan = plan_device(request(attributes=(ON,), persistent=persistent), host(EXISTING), (now,))
    [write] = [step for step in plan.steps if isinstance(step, WriteAttribute)]
    assert write.may_wait == persistent


def same_entry(count: int, label: str = "devices[0] (web)", **more: Any) -> tuple[DeviceRequest, ...]:
    return tuple(
        request(key=f"{n:08d}-2222-3333-4444-555555555555", label=label, index=n, **more) for n in range(count)
    )


def test_removals_come_before_creations() -> None:
    requested = (request(key=OTHER, label="devices[0]", parents=(A,)), request(**GONE, label="purge: all"))
    assert shape(plan_devices(requested, host(EXISTING, left=0))) == [f"remove t-1 on {A}", f"create t-1 on {A}"]


def test_all_devices_are_placed_together() -> None:
    plan = plan_devices(same_entry(2), host())
    assert shape(plan) == [f"create t-1 on {A}", f"create t-1 on {B}"]
    assert [device.label for device in plan.devices] == ["devices[0] (web)"] * 2
    with pytest.raises(NoRoom, match=r"no room for 1 of the 3 devices.*devices\[0\] \(web\): 1 of type 't-1'"):
        plan_devices(same_entry(3), host())


def test_the_same_uuid_twice() -> None:
    with pytest.raises(InvalidInput, match=r"requested twice, by devices\[0\] and by devices\[1\]\."):
        plan_devices((request(label="devices[0]"), request(label="devices[1]")), host())


def test_all_problems_are_reported_together() -> None:
    requested = (
        request(type="t-2", label="devices[0]"),
        *same_entry(2, "devices[1] (web)", type="no-such"),
        request(key=OTHER, parents=("0000:01:00.0",), label="devices[2]"),
    )
    with pytest.raises(
        MultipleProblems, match=r"^3 problems, nothing was changed\. devices\[0\]: .*devices\[1\] \(web\): "
    ) as raised:
        plan_devices(requested, host(EXISTING))
    problems: Any = raised.value.as_result()["problems"]
    assert [(problem["entry"], problem["kind"]) for problem in problems] == [
        ("devices[0]", "mismatch"),
        ("devices[1] (web)", "not_found"),
        ("devices[1] (web)", "not_found"),
        ("devices[2]", "not_found"),
    ]


def test_the_same_problem_of_many_devices_is_a_single_error() -> None:
    devices = tuple(device(request.key, A, "t-1") for request in same_entry(3))
    with pytest.raises(
        Mismatch, match=r"^devices\[0\] \(web\): .* 2 more devices of this entry fail for the same reason$"
    ) as raised:
        plan_devices(same_entry(3, type="t-2"), host(*devices))
    assert len(raised.value.problems) == 3
    with pytest.raises(NotFound, match=r"^a, b: ") as raised:
        plan_devices((*same_entry(1, "a", type="x"), request(label="b", type="x")), host())
    assert raised.value.details["type"] == "x"


def test_a_device_in_use_stays_if_requested() -> None:
    kept = plan_device(request(**GONE, skip_in_use=True), host(BUSY))
    assert (kept.steps, kept.kept) == ((), BUSY)
    [step] = plan_device(request(**GONE, skip_in_use=True), host(EXISTING)).steps
    assert step == RemoveDevice(EXISTING, may_stay=True)


@pytest.mark.parametrize(
    ("folder", "requested", "refused"),
    [
        (None, request(), True),
        (None, request(parents=("0000:41:00.4",)), True),
        ("0000:41:00.4", request(parents=("0000:41:00.4",)), True),
        ("other", request(parents=("0000:41:00.4",)), False),
        ("other", request(), True),
        ("other", request(active=False, persistent=False), True),
        ("other", request(active=False, persistent=False, parents=("0000:41:00.4",)), True),
    ],
)
def test_a_folder_that_cannot_be_read_may_define_the_device(
    folder: Optional[str], requested: DeviceRequest, refused: bool
) -> None:
    inventory = replace(host(), hidden=(Hidden("/etc/mdevctl.d/x", "EIO", folder),))
    if not refused:
        assert shape(plan_device(requested, inventory)) == ["create t-1 on 0000:41:00.4"]
        return
    with pytest.raises(FileError, match=f"mdevctl.d/x can't be read: EIO, so whether it has device {UUID}"):
        plan_device(requested, inventory)
