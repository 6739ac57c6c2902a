# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does the steps of a plan. When a step fails, all previous steps of the run are rolled back, last step first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Callable, Optional, Union

from .._frameworks.backend import Backend
from .._frameworks.backends import Backends
from .._frameworks.current import current_attributes
from .._frameworks.device_files import FULL_ERRNOS, WAIT_ERRNOS
from .._frameworks.unfinished import UnfinishedMarks
from .._model.device_state import State
from .._model.errors import Interrupted, InUse, KernelRefused, MdevError, Unexpected
from .._model.inventory import Attribute, Definition, Device, Half, Inventory, Parent
from .._planning.placement import Choice, Rejection, no_room
from .._planning.steps import CreateDevice, Define, Plan, RemoveDevice, Step, Undefine, WriteAttribute
from .signals import deferred_signals

# Undo steps: the text for one with its device, and for several of the same kind with their number.
_REMOVING = ("removing the new {}", "removing {} new devices")
_CREATING = ("creating the old {} again", "creating {} old devices again")
_SETTING = ("restoring an attribute of {}", "restoring {} attributes")
_UNDEFINING = ("undefining {}", "undefining {} devices")
_RESTORING = ("restoring the definition of {}", "restoring {} definitions")


@dataclass(frozen=True)
class _UndoStep:
    texts: tuple[str, str]
    device: str
    do: Callable[[], object]

    @property
    def name(self) -> str:
        return self.texts[0].format(self.device)


@dataclass
class Applied:
    """The result of a plan: the states of the devices, the steps done, and the deviations from the plan.

    states:   by the key of the request
    rejected: parents that turned out to be full although they reported capacity
    waiting:  attributes that the driver does not allow to be changed now; their definition has the new value
    kept:     devices that should be removed but stay, because they are in use now, by key
    """

    states: dict[str, State]
    done: list[Step] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    waiting: list[Attribute] = field(default_factory=list)
    kept: dict[str, Device] = field(default_factory=dict)


@dataclass
class _Progress:
    """The progress of a plan. full: parents without room for a type, by address and type id. No step frees it."""

    backends: Backends
    inventory: Inventory
    applied: Applied
    marks: UnfinishedMarks
    undo: list[_UndoStep] = field(default_factory=list)
    full: dict[tuple[str, str], Rejection] = field(default_factory=dict)


def apply_plan(plan: Plan, backends: Backends, inventory: Inventory, marks: UnfinishedMarks) -> Applied:
    """Does all steps, or none: any exception or signal rolls back the steps that were done."""
    applied = Applied({planned.key: planned.before for planned in plan.devices})
    progress = _Progress(backends, inventory, applied, marks)
    labels = {planned.key: planned.label for planned in plan.devices}
    require_backends(plan, backends)
    with deferred_signals() as signals:
        for step in plan.steps:
            try:
                if signals.pending is not None:
                    raise Interrupted(f"the run was interrupted by signal {signals.pending.name}")
                _DO[type(step)](step, progress)
            except Exception as error:
                known = error if isinstance(error, MdevError) else Unexpected.from_exception(error)
                raise _rolled_back(known, labels[step.key], progress.undo) from error
    return applied


def require_backends(plan: Plan, backends: Backends) -> None:
    """Raises the reason if the backend of a step can't act on this host."""
    for step in plan.steps:
        for target in _targets(step):
            backends.of(target)


def _targets(step: Step) -> Sequence[Union[Parent, Half]]:
    """What a step acts on."""
    if isinstance(step, CreateDevice):
        return [choice.parent for choice in step.choices]
    return [step.definition if isinstance(step, (Define, Undefine)) else step.device]


def _create(step: CreateDevice, progress: _Progress) -> None:
    device = _create_on_first_taker(step, progress)
    backend = progress.backends.of(device)
    progress.undo.append(_UndoStep(_REMOVING, device.label, lambda: backend.remove(device)))
    _done(step, progress, device=replace(device, users=(), attributes=step.attributes))


def _create_on_first_taker(step: CreateDevice, progress: _Progress) -> Device:
    """If a parent is full although it reported capacity, the next one is used: types may share its capacity."""
    for choice in step.choices:
        device = _created(choice, step, progress)
        if device is not None:
            return device
    rejected = tuple(progress.full[choice.parent.address, choice.type.id] for choice in step.choices)
    raise no_room(step.choices[0].type.id, rejected)


def _created(choice: Choice, step: CreateDevice, progress: _Progress) -> Optional[Device]:
    """The new device, or None if the parent has no room now: each creation may take room from other types."""
    address, type_id = choice.parent.address, choice.type.id
    backend = progress.backends.of(choice.parent)
    if (address, type_id) in progress.full:
        return None
    if backend.available_instances(choice.parent, type_id) == 0:
        reason = f"has no instance of {type_id} left: its capacity changed while this run was working"
        _note_full(address, type_id, reason + _other_types(choice, progress), progress)
        return None
    try:
        return _marked_create(progress, backend, choice.parent, type_id, step.key, step.attributes)
    except KernelRefused as error:
        if len(step.choices) == 1 or error.attribute is not None or error.errno not in FULL_ERRNOS:
            raise
        _note_full(address, type_id, error.message, progress)
        return None


def _marked_create(
    progress: _Progress, backend: Backend, parent: Parent, type_id: str, key: str, attributes: tuple[Attribute, ...]
) -> Device:
    with progress.marks.marked(key, attributes):
        return backend.create(parent, type_id, key, attributes)


def _other_types(choice: Choice, progress: _Progress) -> str:
    """A possible reason why the parent is full: types that this run created on its card."""
    created = [
        progress.applied.states[step.key].device for step in progress.applied.done if isinstance(step, CreateDevice)
    ]
    cards = {parent.address: parent.card for parent in progress.inventory.parents}
    types = {device.type_id for device in created if device and cards.get(device.parent) == choice.parent.card}
    others = ", ".join(sorted(type_id for type_id in types if type_id and type_id != choice.type.id))
    if not others:
        return ""
    return f". This run created {others} on card {choice.parent.card}, which may take types of one size at a time"


def _note_full(address: str, type_id: str, reason: str, progress: _Progress) -> None:
    progress.full[address, type_id] = Rejection(address, reason)
    progress.applied.rejected.append(progress.full[address, type_id])


def _remove(step: RemoveDevice, progress: _Progress) -> None:
    device = step.device
    backend = progress.backends.of(device)
    attributes = _known_attributes(device, backend, progress.inventory)
    try:
        backend.remove(device)
    except InUse:
        if not step.may_stay:
            raise
        progress.applied.kept[step.key] = device
        return
    parent, type_id = progress.inventory.parent(device.parent), device.type_id
    if parent is not None and type_id is not None:
        again = (parent, type_id, device.key, attributes)
        progress.undo.append(_UndoStep(_CREATING, device.label, lambda: _marked_create(progress, backend, *again)))
    _done(step, progress, device=None)


def _known_attributes(device: Device, backend: Backend, inventory: Inventory) -> tuple[Attribute, ...]:
    """The attributes of a device that will be removed, as they are now."""
    own = (stored for stored in inventory.definitions_of(device.key) if stored.parent == device.parent)
    stored = next((stored.attributes for stored in own), ()) or backend.noted_attributes(device)
    return current_attributes(backend.device_files, device, stored)


def _write(step: WriteAttribute, progress: _Progress) -> None:
    backend = progress.backends.of(step.device)
    try:
        backend.write_attribute(step.device, step.change.write)
    except KernelRefused as error:
        if not (step.may_wait and error.errno in WAIT_ERRNOS):
            raise
        progress.applied.waiting.append(step.change.write)
        return
    undo = _UndoStep(_SETTING, step.device.label, lambda: backend.write_attribute(step.device, step.change.undo))
    progress.undo.append(undo)
    _done(step, progress, device=step.device)


def _define(step: Define, progress: _Progress) -> None:
    definition, before = step.definition, step.before
    device = progress.applied.states[step.key].device
    if step.follows and device is not None:
        definition = replace(
            definition,
            id=device.id,
            parent=device.parent,
            type_id=device.type_id or definition.type_id,
            framework=device.framework,
        )
    backend = progress.backends.of(definition)
    backend.define(definition, before)
    if before is None:
        progress.undo.append(_UndoStep(_UNDEFINING, definition.label, lambda: backend.undefine(definition)))
    else:
        progress.undo.append(_UndoStep(_RESTORING, before.label, lambda: backend.define(before, definition)))
    _stored(replace(step, definition=definition), progress, definition)


def _undefine(step: Undefine, progress: _Progress) -> None:
    if step.key in progress.applied.kept:
        return
    backend, definition = progress.backends.of(step.definition), step.definition
    backend.undefine(definition)
    progress.undo.append(_UndoStep(_RESTORING, definition.label, lambda: backend.define(definition, None)))
    _stored(step, progress, None)


def _stored(step: Step, progress: _Progress, definition: Optional[Definition]) -> None:
    applied = progress.applied
    applied.states[step.key] = replace(applied.states[step.key], definition=definition)
    applied.done.append(step)


def _done(step: Step, progress: _Progress, device: Optional[Device]) -> None:
    applied = progress.applied
    applied.states[step.key] = replace(applied.states[step.key], device=device)
    applied.done.append(step)


_DO: dict[type, Callable[..., None]] = {
    CreateDevice: _create,
    RemoveDevice: _remove,
    WriteAttribute: _write,
    Define: _define,
    Undefine: _undefine,
}


def _rolled_back(error: MdevError, label: str, undo: list[_UndoStep]) -> MdevError:
    """The error, with the device that it is about and the result of rolling back the steps before it."""
    done: list[_UndoStep] = []
    failed: list[str] = []
    for step in reversed(undo):
        try:
            step.do()
            done.append(step)
        except Exception as problem:
            failed.append(f"{step.name} failed: {problem}")
    after = ""
    if done:
        after += ". Rolled back by " + ", then ".join(_counted(done))
    if failed:
        after += ". NOT rolled back: " + "; ".join(failed)
    # A step that could not undo its own work says so itself.
    rolled_back = not failed and error.rolled_back is not False if undo else None
    return error.extended(f"{label}: " if label else "", after, rolled_back=rolled_back)


def _counted(done: list[_UndoStep]) -> list[str]:
    """The undo steps that were done, grouped by their kind."""
    groups: dict[tuple[str, str], list[_UndoStep]] = {}
    for step in done:
        groups.setdefault(step.texts, []).append(step)
    return [steps[0].name if len(steps) == 1 else texts[1].format(len(steps)) for texts, steps in groups.items()]
