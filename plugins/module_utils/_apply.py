# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does the steps of a plan. When one fails, what this run did before is taken back, last step first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Optional

from ._backend import Backend
from ._errors import Fact, InUse, KernelRefused, MdevError
from ._kernel import FULL_ERRNOS, WAIT_ERRNOS, Kernel
from ._model import Attribute, Definition, Device, Inventory
from ._placement import Choice, Rejection, no_room
from ._states import State
from ._steps import CreateDevice, Define, Plan, RemoveDevice, Step, Undefine, WriteAttribute

_Undo = Callable[[], object]


@dataclass
class Applied:
    """What came of a plan: the devices in both existences, what was done, what turned out otherwise.

    rejected: parents that turned out full though they promised room
    waiting:  attributes that the driver does not let change now; their definition has the new value
    left:     devices that were to go and stay, since they are in use by now
    """

    states: dict[str, State]
    done: list[Step] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    waiting: list[Attribute] = field(default_factory=list)
    left: dict[str, Device] = field(default_factory=dict)


@dataclass
class _Run:
    backend: Backend
    kernel: Kernel
    inventory: Inventory
    applied: Applied
    undo: list[tuple[str, _Undo]] = field(default_factory=list)


def apply_plan(plan: Plan, backend: Backend, kernel: Kernel, inventory: Inventory) -> Applied:
    """Does all steps, or none that lasts."""
    run = _Run(backend, kernel, inventory, Applied({one.uuid: one.before for one in plan.devices}))
    try:
        for step in plan.steps:
            _DO[type(step)](step, run)
    except MdevError as error:
        raise _taken_back(error, run.undo) from error
    return run.applied


def _create(step: CreateDevice, run: _Run) -> None:
    device = _create_on_first_taker(step, run)
    run.undo.append((f"removing the new device {device.uuid}", lambda: run.backend.remove(device)))
    _done(step, run, device=replace(device, users=(), attributes=step.attributes))


def _create_on_first_taker(step: CreateDevice, run: _Run) -> Device:
    """A parent that is full though it promised room is left for the next one: other types may share its room."""
    full: list[Rejection] = []
    for choice in step.choices:
        device = _created(choice, step, run, full)
        if device is not None:
            run.applied.rejected.extend(full)
            return device
    raise no_room(step.choices[0].type.id, tuple(full))


def _created(choice: Choice, step: CreateDevice, run: _Run, full: list[Rejection]) -> Optional[Device]:
    """The new device, or None where the parent has no room by now: each creation may take it from other types."""
    if run.kernel.available_instances(choice.parent, choice.type.id) == 0:
        full.append(Rejection(choice.parent.address, f"has 0 of {choice.type.id} left by now, though it promised room"))
        return None
    try:
        return run.backend.create(choice.parent, choice.type.id, step.uuid, step.attributes)
    except KernelRefused as error:
        attribute_failed = error.facts.get("attribute") is not None
        if len(step.choices) == 1 or attribute_failed or error.facts.get("errno") not in FULL_ERRNOS:
            raise
        full.append(Rejection(choice.parent.address, error.message))
        return None


def _remove(step: RemoveDevice, run: _Run) -> None:
    device = step.device
    try:
        run.backend.remove(device)
    except InUse:
        if not step.may_stay:
            raise
        run.applied.left[device.uuid] = device
        return
    parent = run.inventory.parent(device.parent)
    if parent is not None and device.type_id is not None:
        again = (parent, device.type_id, device.uuid, _stored_attributes(device, run.inventory))
        run.undo.append((f"creating the old device {device.uuid} again", lambda: run.backend.create(*again)))
    _done(step, run, device=None)


def _stored_attributes(device: Device, inventory: Inventory) -> tuple[Attribute, ...]:
    """What is known of a device's attributes: those of its definition."""
    mine = (one for one in inventory.definitions_of(device.uuid) if one.parent == device.parent)
    return next((one.attributes for one in mine), ())


def _write(step: WriteAttribute, run: _Run) -> None:
    try:
        run.backend.write_attribute(step.device, step.attribute)
    except KernelRefused as error:
        if not (step.may_wait and error.facts.get("errno") in WAIT_ERRNOS):
            raise
        run.applied.waiting.append(step.attribute)
        return
    old = Attribute(step.attribute.name, step.before)
    run.undo.append((f"setting {old.name} back", lambda: run.backend.write_attribute(step.device, old)))
    _done(step, run, device=step.device)


def _define(step: Define, run: _Run) -> None:
    made = run.applied.states[step.uuid].device
    definition = step.definition
    if step.follows and made is not None:
        definition = replace(definition, parent=made.parent, type_id=made.type_id or definition.type_id)
    run.backend.define(definition, step.before)
    before = step.before
    if before is None:
        run.undo.append((f"undefining {definition.uuid}", lambda: run.backend.undefine(definition)))
    else:
        run.undo.append((f"restoring the definition of {before.uuid}", lambda: run.backend.define(before, definition)))
    _stored(replace(step, definition=definition), run, definition)


def _undefine(step: Undefine, run: _Run) -> None:
    if step.uuid in run.applied.left:
        return
    run.backend.undefine(step.definition)
    restored = step.definition
    run.undo.append((f"restoring the definition of {restored.uuid}", lambda: run.backend.define(restored, None)))
    _stored(step, run, None)


def _stored(step: Step, run: _Run, definition: Optional[Definition]) -> None:
    run.applied.states[step.uuid] = replace(run.applied.states[step.uuid], definition=definition)
    run.applied.done.append(step)


def _done(step: Step, run: _Run, device: Optional[Device]) -> None:
    run.applied.states[step.uuid] = replace(run.applied.states[step.uuid], device=device)
    run.applied.done.append(step)


_DO: dict[type, Callable[..., None]] = {
    CreateDevice: _create,
    RemoveDevice: _remove,
    WriteAttribute: _write,
    Define: _define,
    Undefine: _undefine,
}


def _taken_back(error: MdevError, undo: list[tuple[str, _Undo]]) -> MdevError:
    """The error, with what became of the steps before it."""
    if not undo:
        return error
    done: list[str] = []
    failed: list[str] = []
    for name, action in reversed(undo):
        try:
            action()
            done.append(name)
        except MdevError as problem:
            failed.append(f"{name} failed: {problem.message}")
    parts = [error.message]
    if done:
        parts.append("Taken back by " + ", then ".join(done))
    if failed:
        parts.append("NOT taken back: " + "; ".join(failed))
    facts: dict[str, Fact] = dict(error.facts)
    facts["taken_back"] = not failed
    return type(error)(". ".join(parts), **facts)
