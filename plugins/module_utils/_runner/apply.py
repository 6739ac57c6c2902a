# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does the steps of a plan. When one fails, what this run did before is taken back, last step first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Optional

from .._frameworks.backends import Backends
from .._frameworks.mdev.kernel import FULL_ERRNOS, WAIT_ERRNOS
from .._model.device_state import State
from .._model.errors import Fact, InUse, KernelRefused, MdevError
from .._model.inventory import Attribute, Definition, Device, Inventory
from .._planning.placement import Choice, Rejection, no_room
from .._planning.steps import CreateDevice, Define, Plan, RemoveDevice, Step, Undefine, WriteAttribute

# One way back of its kind, with its device, and several of them, counted.
_REMOVING = ("removing the new {}", "removing {} new devices")
_CREATING = ("creating the old {} again", "creating {} old devices again")
_SETTING = ("setting an attribute of {} back", "setting {} attributes back")
_UNDEFINING = ("undefining {}", "undefining {} devices")
_RESTORING = ("restoring the definition of {}", "restoring {} definitions")


@dataclass(frozen=True)
class _Undo:
    words: tuple[str, str]
    device: str
    do: Callable[[], object]

    @property
    def name(self) -> str:
        return self.words[0].format(self.device)


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
    """A run under way. full: parents that turned out to have no room for a type, which nothing gives back meanwhile."""

    backends: Backends
    inventory: Inventory
    applied: Applied
    undo: list[_Undo] = field(default_factory=list)
    full: dict[tuple[str, str], Rejection] = field(default_factory=dict)


def apply_plan(plan: Plan, backends: Backends, inventory: Inventory) -> Applied:
    """Does all steps, or none that lasts."""
    run = _Run(backends, inventory, Applied({one.uuid: one.before for one in plan.devices}))
    labels = {one.uuid: one.label for one in plan.devices}
    for step in plan.steps:
        try:
            _DO[type(step)](step, run)
        except MdevError as error:
            raise _taken_back(error, labels[step.uuid], run.undo) from error
    return run.applied


def _create(step: CreateDevice, run: _Run) -> None:
    device = _create_on_first_taker(step, run)
    run.undo.append(_Undo(_REMOVING, device.words, lambda: run.backends.of(device).remove(device)))
    _done(step, run, device=replace(device, users=(), attributes=step.attributes))


def _create_on_first_taker(step: CreateDevice, run: _Run) -> Device:
    """A parent that is full though it promised room is left for the next one: other types may share its room."""
    for choice in step.choices:
        device = _created(choice, step, run)
        if device is not None:
            return device
    rejected = tuple(run.full[one.parent.address, one.type.id] for one in step.choices)
    raise no_room(step.choices[0].type.id, rejected)


def _created(choice: Choice, step: CreateDevice, run: _Run) -> Optional[Device]:
    """The new device, or None where the parent has no room by now: each creation may take it from other types."""
    address, type_id = choice.parent.address, choice.type.id
    if (address, type_id) in run.full:
        return None
    if run.backends.of(choice.parent).available_instances(choice.parent, type_id) == 0:
        _note_full(address, type_id, f"has 0 of {type_id} left by now, though it promised room", run)
        return None
    try:
        return run.backends.of(choice.parent).create(choice.parent, type_id, step.uuid, step.attributes)
    except KernelRefused as error:
        attribute_failed = error.facts.get("attribute") is not None
        if len(step.choices) == 1 or attribute_failed or error.facts.get("errno") not in FULL_ERRNOS:
            raise
        _note_full(address, type_id, error.message, run)
        return None


def _note_full(address: str, type_id: str, reason: str, run: _Run) -> None:
    run.full[address, type_id] = Rejection(address, reason)
    run.applied.rejected.append(run.full[address, type_id])


def _remove(step: RemoveDevice, run: _Run) -> None:
    device = step.device
    try:
        run.backends.of(device).remove(device)
    except InUse:
        if not step.may_stay:
            raise
        run.applied.left[device.uuid] = device
        return
    parent = run.inventory.parent(device.parent)
    if parent is not None and device.type_id is not None:
        again = (parent, device.type_id, device.uuid, _stored_attributes(device, run.inventory))
        run.undo.append(_Undo(_CREATING, device.words, lambda: run.backends.of(device).create(*again)))
    _done(step, run, device=None)


def _stored_attributes(device: Device, inventory: Inventory) -> tuple[Attribute, ...]:
    """What is known of a device's attributes: those that the kernel tells, else those of its definition."""
    mine = (one for one in inventory.definitions_of(device.uuid) if one.parent == device.parent)
    return device.attributes or next((one.attributes for one in mine), ())


def _write(step: WriteAttribute, run: _Run) -> None:
    try:
        run.backends.of(step.device).write_attribute(step.device, step.change.write)
    except KernelRefused as error:
        if not (step.may_wait and error.facts.get("errno") in WAIT_ERRNOS):
            raise
        run.applied.waiting.append(step.change.write)
        return
    backend = run.backends.of(step.device)
    run.undo.append(_Undo(_SETTING, step.device.words, lambda: backend.write_attribute(step.device, step.change.undo)))
    _done(step, run, device=step.device)


def _define(step: Define, run: _Run) -> None:
    made = run.applied.states[step.uuid].device
    definition = step.definition
    if step.follows and made is not None:
        type_id = made.type_id or definition.type_id
        definition = replace(definition, parent=made.parent, type_id=type_id, framework=made.framework)
    backend = run.backends.of(definition)
    backend.define(definition, step.before)
    before = step.before
    if before is None:
        run.undo.append(_Undo(_UNDEFINING, definition.words, lambda: backend.undefine(definition)))
    else:
        run.undo.append(_Undo(_RESTORING, before.words, lambda: backend.define(before, definition)))
    _stored(replace(step, definition=definition), run, definition)


def _undefine(step: Undefine, run: _Run) -> None:
    if step.uuid in run.applied.left:
        return
    backend, restored = run.backends.of(step.definition), step.definition
    backend.undefine(restored)
    run.undo.append(_Undo(_RESTORING, restored.words, lambda: backend.define(restored, None)))
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


def _taken_back(error: MdevError, label: str, undo: list[_Undo]) -> MdevError:
    """The error, with what it is about and what became of the steps before it."""
    done: list[_Undo] = []
    failed: list[str] = []
    for one in reversed(undo):
        try:
            one.do()
            done.append(one)
        except MdevError as problem:
            failed.append(f"{one.name} failed: {problem.message}")
    parts = [f"{label}: {error.message}" if label else error.message]
    if done:
        parts.append("Taken back by " + ", then ".join(_counted(done)))
    if failed:
        parts.append("NOT taken back: " + "; ".join(failed))
    facts: dict[str, Fact] = dict(error.facts)
    if undo:
        facts["taken_back"] = not failed
    return type(error)(". ".join(parts), **facts)


def _counted(done: list[_Undo]) -> list[str]:
    """What was done, each kind once."""
    kinds: dict[tuple[str, str], list[_Undo]] = {}
    for one in done:
        kinds.setdefault(one.words, []).append(one)
    return [each[0].name if len(each) == 1 else words[1].format(len(each)) for words, each in kinds.items()]
