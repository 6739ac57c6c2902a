# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is wanted and what is there to the steps between. Pure: check mode, diff and real run share the plan.

A device has two existences, in the kernel (active) and on disk (defined), and each can be wanted or not. Each device is
looked at by itself first; those that need a parent are then placed all together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Callable, Optional, Union

from .._frameworks.drivers.ap_matrix import refuse_unreadable
from .._model.addresses import device_nodedev
from .._model.device_state import State
from .._model.errors import InvalidInput, MdevError, Mismatch, in_use_error, removing_error, several
from .._model.inventory import AP_API, MDEV, Attribute, Definition, Device, Drift, Inventory, LiveAttribute, noun_for
from .._model.request import Wanted
from .attributes import correction
from .capacity import Rooms
from .matching import candidates, types_meant
from .placement import Choice, Placement, Request, no_room_for, place_all
from .steps import CreateDevice, Define, DevicePlan, Plan, RemoveDevice, Step, Undefine, WriteAttribute

Live = Mapping[str, tuple[LiveAttribute, ...]]


@dataclass(frozen=True)
class _Unplaced:
    """A device that needs a parent. finish: its plan, once it has one."""

    request: Request
    finish: Callable[[Placement], DevicePlan]
    going: tuple[Step, ...] = ()


_Draft = Union[DevicePlan, _Unplaced]


def plan_devices(wanted: Sequence[Wanted], inventory: Inventory, live: Optional[Live] = None) -> Plan:
    """The plan for all devices together. live: what the wanted attributes of those that are active read as.

    Everything is checked here, before anything is touched. Several problems are one error.
    """
    _refuse_twice(wanted)
    drafts = _drafted(wanted, inventory, live or {})
    rooms = Rooms(inventory)
    for draft in drafts:
        for step in draft.going:
            if isinstance(step, RemoveDevice):
                rooms.free(step.device)
    found = place_all([one.request for one in drafts if isinstance(one, _Unplaced)], rooms)
    if found.missing:
        raise no_room_for(found.missing, sum(one.active for one in wanted))
    plans = (one if isinstance(one, DevicePlan) else one.finish(found.placed[one.request.uuid]) for one in drafts)
    return Plan(tuple(replace(plan, label=one.label) for plan, one in zip(plans, wanted)))


def _refuse_twice(wanted: Sequence[Wanted]) -> None:
    seen: dict[str, Wanted] = {}
    for one in wanted:
        if one.uuid in seen:
            raise InvalidInput(
                f"device {one.uuid} is asked for twice, by {seen[one.uuid].label} and by {one.label}. "
                "Nothing was changed. Entries that are alike need names",
                uuid=one.uuid,
            )
        seen[one.uuid] = one


def _drafted(wanted: Sequence[Wanted], inventory: Inventory, live: Live) -> list[_Draft]:
    drafts: list[_Draft] = []
    problems: list[tuple[str, MdevError]] = []
    for one in wanted:
        try:
            drafts.append(_draft(one, inventory, live.get(one.uuid, ())))
        except MdevError as error:
            problems.append((one.label, error))
    if problems:
        raise several(problems)
    return drafts


def _draft(wanted: Wanted, inventory: Inventory, live: tuple[LiveAttribute, ...]) -> _Draft:
    device = inventory.device(wanted.uuid)
    definitions = inventory.definitions_of(wanted.uuid)
    if device is not None and device.removing and not (wanted.skip_in_use and not wanted.present):
        raise removing_error(device, "somebody removed it while it was in use")
    if not wanted.present:
        return _plan_absent(wanted, inventory, device, definitions)
    definition = _definition_meant(wanted, inventory, device, definitions)
    before = State(device, definition)
    if not before.exists:
        return _new(wanted, inventory)
    if not _agrees(wanted, inventory, before):
        return _replacement(wanted, inventory, before)
    return _correction(wanted, inventory, before, live)


def _plan_absent(
    wanted: Wanted, inventory: Inventory, device: Optional[Device], definitions: tuple[Definition, ...]
) -> DevicePlan:
    """Everything under the UUID goes, the device in the kernel first: that is what may be refused."""
    before = State(device, definitions[0] if definitions else None)
    steps: list[Step] = []
    if device is not None:
        _refuse_other(wanted, inventory, State(device=device))
        if wanted.skip_in_use and (device.users or device.removing):
            return DevicePlan(wanted.uuid, before=before, after=before, left=device)
        _refuse_used(device)
        steps.append(RemoveDevice(device, may_stay=wanted.skip_in_use))
    for definition in definitions:
        _refuse_other(wanted, inventory, State(definition=definition))
        steps.append(Undefine(definition))
    return DevicePlan(wanted.uuid, going=tuple(steps), before=before)


def _refuse_other(wanted: Wanted, inventory: Inventory, found: State) -> None:
    if not _agrees(wanted, inventory, found, type_too=True):
        raise _mismatch(found, wanted, "Nothing was removed. Correct type and parent, or leave them out")


def _new(wanted: Wanted, inventory: Inventory) -> _Unplaced:
    return _Unplaced(_request(wanted, inventory), lambda placement: _made(wanted, placement))


def _request(wanted: Wanted, inventory: Inventory) -> Request:
    parents = candidates(wanted.parents, inventory, wanted.excluded)
    kinds = types_meant(wanted.type or "", parents)
    if any(kind.device_api == AP_API for kind in kinds.values()):
        refuse_unreadable(wanted.attributes or ())
    return Request(
        uuid=wanted.uuid,
        asked=wanted.type or "",
        parents=parents,
        kinds=kinds,
        policy=wanted.placement,
        numa_node=wanted.numa_node,
        needs_room=wanted.active,
        label=wanted.label,
        index=wanted.index,
    )


def _made(wanted: Wanted, placement: Placement) -> DevicePlan:
    return DevicePlan(
        uuid=wanted.uuid,
        coming=_creation(wanted, placement),
        after=_expected(wanted, placement.choices[0]),
        placement=placement if _chosen_here(wanted, placement) else None,
    )


def _creation(wanted: Wanted, placement: Placement) -> tuple[Step, ...]:
    attributes = wanted.attributes or ()
    steps: list[Step] = []
    if wanted.active:
        steps.append(CreateDevice(wanted.uuid, placement.choices, attributes))
    if wanted.persistent:
        definition = _definition_on(wanted, placement.choices[0])
        steps.append(Define(definition, follows=wanted.active))
    return tuple(steps)


def _replacement(wanted: Wanted, inventory: Inventory, before: State) -> _Unplaced:
    if not wanted.recreate:
        raise _mismatch(
            before,
            wanted,
            "Nothing was changed. Give another uuid, correct type and parent, "
            "or set recreate to true to replace it while nobody uses it",
        )
    going: list[Step] = []
    if before.device is not None:
        _refuse_used(before.device)
        going.append(RemoveDevice(before.device))
    if before.definition is not None:
        going.append(Undefine(before.definition))

    def finish(placement: Placement) -> DevicePlan:
        drift = _place_drift(before, placement.choices[0])
        return replace(_made(wanted, placement), going=tuple(going), before=before, drift=drift)

    return _Unplaced(_request(wanted, inventory), finish, tuple(going))


def _place_drift(before: State, choice: Choice) -> tuple[Drift, ...]:
    pairs = (("type", choice.type.id, before.type_id), ("parent", choice.parent.address, before.parent))
    return tuple(Drift(field, new, old) for field, new, old in pairs if new != old)


def _correction(wanted: Wanted, inventory: Inventory, before: State, live: tuple[LiveAttribute, ...]) -> _Draft:
    """The device is what was asked for, in the right place: only its states and settings may differ."""
    definition = _wanted_definition(wanted, inventory, before)
    defining = _define_steps(definition, before.definition, wanted)
    done = DevicePlan(
        uuid=wanted.uuid,
        before=before,
        after=State(None, definition if wanted.persistent else None),
        drift=_drift(wanted, definition, before),
    )
    if before.device is None:
        if wanted.active:
            return _start(wanted, inventory, definition, replace(done, coming=defining))
        return replace(done, coming=defining)
    if not wanted.active:
        _refuse_used(before.device)
        # What is to stay is stored before the rest goes.
        return replace(done, going=(*defining, RemoveDevice(before.device)))
    if wanted.fresh:
        _refuse_used(before.device)
        return _start(
            wanted, inventory, definition, replace(done, going=(RemoveDevice(before.device),), coming=defining)
        )
    if wanted.attributes is None:
        return replace(done, coming=defining, after=replace(done.after, device=before.device))
    correct = correction(before.device, wanted.attributes, live)
    writes = tuple(WriteAttribute(correct.after, one, may_wait=wanted.persistent) for one in correct.changes)
    return replace(
        done,
        coming=writes + defining,
        before=replace(before, device=correct.before),
        after=replace(done.after, device=correct.after),
        drift=done.drift + correct.drift,
    )


def _start(wanted: Wanted, inventory: Inventory, definition: Definition, done: DevicePlan) -> _Unplaced:
    """Starts a defined device where its definition says, with the attributes that it says."""
    here = replace(
        wanted,
        type=definition.type_id,
        parents=(definition.parent,),
        excluded=(),
        numa_node=None,
        attributes=definition.attributes,
    )

    def finish(placement: Placement) -> DevicePlan:
        # What may be refused comes first.
        create = CreateDevice(wanted.uuid, placement.choices[:1], definition.attributes)
        device = _expected_device(wanted.uuid, placement.choices[0], definition.attributes)
        return replace(done, coming=(create, *done.coming), after=replace(done.after, device=device))

    return _Unplaced(_request(here, inventory), finish, done.going)


def _define_steps(definition: Definition, before: Optional[Definition], wanted: Wanted) -> tuple[Step, ...]:
    if not wanted.persistent:
        return (Undefine(before),) if before is not None else ()
    return () if definition == before else (Define(definition, before),)


def _wanted_definition(wanted: Wanted, inventory: Inventory, before: State) -> Definition:
    """The definition as it is to be; for a device that is not to be defined, the one to start it by."""
    type_id, parent = before.type_id, before.parent
    old = before.definition
    if before.device is None and wanted.type is not None:
        here = tuple(one for one in inventory.parents if one.address == parent)
        type_id = types_meant(wanted.type, here)[parent].id if here else wanted.type
    return Definition(
        uuid=wanted.uuid,
        parent=parent,
        type_id=type_id,
        autostart=wanted.autostart,
        attributes=before.attributes if wanted.attributes is None else wanted.attributes,
        other=old.other if old is not None else (),
        framework=before.framework,
    )


def _definition_meant(
    wanted: Wanted, inventory: Inventory, device: Optional[Device], definitions: tuple[Definition, ...]
) -> Optional[Definition]:
    """Of several definitions of one UUID the one of the active device, else one where it is wanted, else the first."""
    if not definitions:
        return None
    if device is not None:
        return next((one for one in definitions if one.parent == device.parent), None)
    meant = (one for one in definitions if _agrees(wanted, inventory, State(definition=one)))
    return next(meant, definitions[0])


def _agrees(wanted: Wanted, inventory: Inventory, found: State, type_too: bool = False) -> bool:
    """Whether what is there is on a parent that was asked for, and of the type that was.

    A definition alone may be of another type, it is corrected; type_too: not where it is to be removed.
    Where the parent is not there now, nobody can tell which type a name means: the UUID then decides.
    """
    type_id, address = found.type_id, found.parent
    here = tuple(one for one in inventory.parents if one.address == address)
    if wanted.parents and not _place_agrees(wanted.parents, inventory, address):
        return False
    if wanted.type is None or (found.device is None and not type_too):
        return True
    if not here:
        return True
    kinds = types_meant(wanted.type, candidates(wanted.parents, inventory))
    return address in kinds and kinds[address].id == type_id


def _place_agrees(asked: tuple[str, ...], inventory: Inventory, address: str) -> bool:
    if address in asked:
        return True
    if all(one.address != address for one in inventory.parents):
        return False
    return address in {one.address for one in candidates(asked, inventory)}


def _drift(wanted: Wanted, definition: Definition, before: State) -> tuple[Drift, ...]:
    old = before.definition
    found = [
        _flag_drift("active", wanted.active, before.device is not None),
        _flag_drift("defined", wanted.persistent, old is not None),
    ]
    if wanted.persistent and old is not None:
        found.append(_flag_drift("autostart", wanted.autostart, old.autostart))
        found.append(_text_drift("defined type", definition.type_id, old.type_id))
        found.append(_text_drift("defined attributes", _pairs(definition.attributes), _pairs(old.attributes)))
    return tuple(one for one in found if one is not None)


def _flag_drift(field: str, wanted: bool, actual: bool) -> Optional[Drift]:
    return _text_drift(field, str(wanted).lower(), str(actual).lower())


def _text_drift(field: str, wanted: str, actual: str) -> Optional[Drift]:
    return Drift(field, wanted, actual) if wanted != actual else None


def _pairs(attributes: tuple[Attribute, ...]) -> str:
    return ", ".join(f"{one.name}={one.value}" for one in attributes) or "none"


def _chosen_here(wanted: Wanted, placement: Placement) -> bool:
    """Whether this collection chose the parent, so that the others deserve a reason."""
    return len(wanted.parents) != 1 or bool(placement.rejected)


def _expected(wanted: Wanted, choice: Choice) -> State:
    return State(
        _expected_device(wanted.uuid, choice, wanted.attributes or ()) if wanted.active else None,
        _definition_on(wanted, choice) if wanted.persistent else None,
    )


def _definition_on(wanted: Wanted, choice: Choice) -> Definition:
    return Definition(
        uuid=wanted.uuid,
        parent=choice.parent.address,
        type_id=choice.type.id,
        autostart=wanted.autostart,
        attributes=wanted.attributes or (),
        framework=choice.parent.framework,
    )


def _expected_device(uuid: str, choice: Choice, attributes: tuple[Attribute, ...]) -> Device:
    parent = choice.parent
    return Device(
        uuid=uuid,
        parent=parent.address,
        path=parent.device_path(uuid),
        nodedev=device_nodedev(uuid, parent.address) if parent.framework == MDEV else parent.nodedev,
        parent_nodedev=parent.nodedev,
        type_id=choice.type.id,
        type_name=choice.type.name,
        device_api=choice.type.device_api,
        numa_node=parent.numa_node,
        users=(),
        attributes=attributes,
        framework=parent.framework,
    )


def _refuse_used(device: Device) -> None:
    if device.users:
        raise in_use_error(device, "its VFIO node is open")


def _mismatch(found: State, wanted: Wanted, advice: str) -> Mismatch:
    asked_parent = " or ".join(wanted.parents) or "any parent"
    where = "exists" if found.device is not None else "is defined"
    name = f" ('{found.device.type_name}')" if found.device is not None and found.device.type_name else ""
    return Mismatch(
        f"{noun_for(found.framework, wanted.uuid)} {where} as type {found.type_id}{name} on parent {found.parent}, "
        f"but type {wanted.type or 'any'} on {asked_parent} was asked for. {advice}",
        uuid=wanted.uuid,
        type=found.type_id,
        parent=found.parent,
        wanted_type=wanted.type,
        wanted_parents=list(wanted.parents),
    )
