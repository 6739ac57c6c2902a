# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans the steps from the existing devices to the requested ones. Pure: check mode, diff and real runs share the plan.

A device can exist in the kernel (active) and on disk (defined), and each can be requested or not. Each device is first
planned by itself. Then all devices that need a parent are placed together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Callable, Optional, Union

from .._model.device_state import State
from .._model.errors import InvalidInput, MdevError, Mismatch, NotFound, Problem, combine_errors
from .._model.inventory import Attribute, Definition, Device, Drift, Inventory, LiveAttribute
from .._model.refusals import in_use_error, pending_removal_error
from .._model.request import DeviceRequest
from .attributes import correction
from .capacity import Capacity
from .expected import definition_on, expected_device
from .matching import ResolvedRequest, types_on
from .placement import Choice, Placement, PlacementRequest, no_capacity_for, place_all
from .steps import CreateDevice, Define, DevicePlan, Plan, RemoveDevice, Step, Undefine, WriteAttribute
from .unknown import refuse_unknown, refuse_unreadable_parent

Live = Mapping[str, tuple[LiveAttribute, ...]]


@dataclass(frozen=True)
class _AwaitingPlacement:
    """A device that needs a parent. with_placement: its plan, once it has one."""

    request: PlacementRequest
    with_placement: Callable[[Placement], DevicePlan]
    removals: tuple[Step, ...] = ()


_Draft = Union[DevicePlan, _AwaitingPlacement]


def plan_devices(requests: Sequence[DeviceRequest], inventory: Inventory, live: Optional[Live] = None) -> Plan:
    """The plan for all devices together. live: the values that active devices have for requested attributes, by key.

    Everything is checked here, before anything is changed. Several problems are joined in one error.
    """
    _refuse_twice(requests)
    drafts = _drafts(requests, inventory, live or {})
    capacity = Capacity(inventory)
    for draft in drafts:
        for step in draft.removals:
            if isinstance(step, RemoveDevice):
                capacity.free(step.device)
    placements = place_all([draft.request for draft in drafts if isinstance(draft, _AwaitingPlacement)], capacity)
    if placements.missing:
        raise no_capacity_for(placements.missing, sum(request.active for request in requests))
    plans = (
        draft if isinstance(draft, DevicePlan) else draft.with_placement(placements.placed[draft.request.key])
        for draft in drafts
    )
    return Plan(tuple(replace(plan, label=request.label) for plan, request in zip(plans, requests)))


def _refuse_twice(requests: Sequence[DeviceRequest]) -> None:
    labels: dict[str, str] = {}
    for request in requests:
        if request.key in labels:
            raise InvalidInput(
                f"device {request.key} is requested twice, by {labels[request.key]} and by {request.label}. "
                "Nothing was changed. Give each of them a name of its own",
                uuid=request.key,
            )
        labels[request.key] = request.label


def _drafts(requests: Sequence[DeviceRequest], inventory: Inventory, live: Live) -> list[_Draft]:
    drafts: list[_Draft] = []
    problems: list[Problem] = []
    for request in requests:
        try:
            drafts.append(_plan_device(ResolvedRequest(request, inventory), live.get(request.key, ())))
        except MdevError as error:
            problems.append(Problem(request.label, error))
    if problems:
        raise combine_errors(problems)
    return drafts


def _plan_device(resolved: ResolvedRequest, live: tuple[LiveAttribute, ...]) -> _Draft:
    request, inventory = resolved.request, resolved.inventory
    device = inventory.device(request.key)
    definitions = inventory.definitions_of(request.key)
    refuse_unknown(resolved)
    if device is not None and device.removing and not (request.skip_in_use and not request.present):
        raise pending_removal_error(device, "somebody removed it while it was in use")
    if not request.present:
        return _plan_absent(resolved, device, definitions)
    before = State(device, _matching_definition(resolved, device, definitions))
    if not before.exists:
        return _plan_new(resolved)
    if not _agrees(resolved, before):
        return _plan_replacement(resolved, before)
    return _plan_correction(resolved, before, live)


def _plan_absent(
    resolved: ResolvedRequest, device: Optional[Device], definitions: tuple[Definition, ...]
) -> DevicePlan:
    """Everything with this key is removed, the device in the kernel first, because only this can be refused."""
    request = resolved.request
    if device is None:
        refuse_unreadable_parent(request, definitions, resolved.inventory)
    before = State(device, definitions[0] if definitions else None)
    steps: list[Step] = []
    if device is not None:
        _refuse_other(resolved, State(device=device))
        if request.skip_in_use and (device.users or device.removing):
            return DevicePlan(request.key, before=before, after=before, kept=device)
        _refuse_used(device)
        steps.append(RemoveDevice(device, may_stay=request.skip_in_use))
    for definition in definitions:
        _refuse_other(resolved, State(definition=definition))
        steps.append(Undefine(definition))
    return DevicePlan(request.key, removals=tuple(steps), before=before)


def _refuse_other(resolved: ResolvedRequest, existing: State) -> None:
    if not _agrees(resolved, existing, type_too=True):
        raise _mismatch(existing, resolved, "Nothing was removed. Correct type and parent, or leave them out")


def _plan_new(resolved: ResolvedRequest) -> _AwaitingPlacement:
    request = resolved.request
    return _AwaitingPlacement(_placement_request(resolved), lambda placement: _new_device(request, placement))


def _placement_request(resolved: ResolvedRequest) -> PlacementRequest:
    request, parents, types = resolved.request, resolved.parents, resolved.types
    for parent in parents:
        mdev_type = types.get(parent.address)
        rules = parent.framework.attribute_rules(mdev_type.device_api) if mdev_type is not None else None
        if rules is not None:
            rules.check(request.attributes or ())
    return PlacementRequest(
        key=request.key,
        requested_type=request.type or "",
        parents=parents,
        types=types,
        policy=request.placement,
        numa_node=request.numa_node,
        is_active=request.active,
        label=request.label,
        index=request.index,
    )


def _new_device(request: DeviceRequest, placement: Placement) -> DevicePlan:
    choice = placement.choices[0]
    definition = definition_on(request, choice) if request.persistent else None
    device = expected_device(request.key, choice, request.attributes or ()) if request.active else None
    steps: list[Step] = []
    if request.active:
        steps.append(CreateDevice(request.key, placement.choices, request.attributes or ()))
    if definition is not None:
        steps.append(Define(definition, follows=request.active))
    return DevicePlan(
        key=request.key,
        additions=tuple(steps),
        after=State(device, definition),
        placement=placement if _was_chosen(request, placement) else None,
    )


def _plan_replacement(resolved: ResolvedRequest, before: State) -> _AwaitingPlacement:
    request = resolved.request
    if not request.recreate:
        raise _mismatch(
            before,
            resolved,
            "Nothing was changed. Give another uuid, correct type and parent, "
            "or set recreate=true to replace the device if it is not in use",
        )
    removals: list[Step] = []
    if before.device is not None:
        _refuse_used(before.device)
        removals.append(RemoveDevice(before.device))
    if before.definition is not None:
        removals.append(Undefine(before.definition))

    def with_placement(placement: Placement) -> DevicePlan:
        drift = _place_drift(before, placement.choices[0])
        return replace(_new_device(request, placement), removals=tuple(removals), before=before, drift=drift)

    return _AwaitingPlacement(_placement_request(resolved), with_placement, tuple(removals))


def _place_drift(before: State, choice: Choice) -> tuple[Drift, ...]:
    pairs = (("type", choice.type.id, before.type_id), ("parent", choice.parent.address, before.parent))
    return tuple(Drift(field, new, old) for field, new, old in pairs if new != old)


def _plan_correction(resolved: ResolvedRequest, before: State, live: tuple[LiveAttribute, ...]) -> _Draft:
    """The device has the requested type and parent. Only its states and attributes can differ."""
    request = resolved.request
    definition = _wanted_definition(resolved, before)
    defining = _define_steps(definition, before.definition, request)
    plan = DevicePlan(
        key=request.key,
        before=before,
        after=State(None, definition if request.persistent else None),
        drift=_drift(request, definition, before),
    )
    if before.device is None:
        plan = replace(plan, additions=defining)
        return _plan_start(resolved, definition, plan) if request.active else plan
    if not request.active:
        _refuse_used(before.device)
        # The definition that stays is written before the device is removed.
        return replace(plan, removals=(*defining, RemoveDevice(before.device)))
    if request.recreate_active:
        _refuse_used(before.device)
        plan = replace(plan, removals=(RemoveDevice(before.device),), additions=defining)
        return _plan_start(resolved, definition, plan)
    if request.attributes is None:
        return replace(plan, additions=defining, after=replace(plan.after, device=before.device))
    correct = correction(before.device, request.attributes, live)
    writes = tuple(WriteAttribute(correct.after, change, may_wait=request.persistent) for change in correct.changes)
    return replace(
        plan,
        additions=writes + defining,
        before=replace(before, device=correct.before),
        after=replace(plan.after, device=correct.after),
        drift=plan.drift + correct.drift,
    )


def _plan_start(resolved: ResolvedRequest, definition: Definition, plan: DevicePlan) -> _AwaitingPlacement:
    """Starts a defined device where its definition says, with the attributes that it says.

    If no parent is requested and that parent is missing or full, the device and its definition move to another one.
    """
    request, inventory = resolved.request, resolved.inventory
    if request.parents:
        request = replace(request, type=definition.type_id, parents=(definition.parent,), excluded=(), numa_node=None)
    resolved = ResolvedRequest(replace(request, attributes=definition.attributes), inventory)
    try:
        placement_request = replace(_placement_request(resolved), preferred=definition.parent)
    except NotFound as error:
        text = f". {definition.label} is defined, and its parent is not on this host now"
        raise error.extended(after="" if inventory.parent(definition.parent) is not None else text) from error

    def with_placement(placement: Placement) -> DevicePlan:
        choice = placement.choices[0]
        if choice.parent.address != definition.parent:
            return _moved(request, definition, plan, placement)
        # What may be refused comes first.
        create = CreateDevice(request.key, placement.choices[:1], definition.attributes)
        device = expected_device(request.key, choice, definition.attributes)
        return replace(plan, additions=(create, *plan.additions), after=replace(plan.after, device=device))

    return _AwaitingPlacement(placement_request, with_placement, plan.removals)


def _moved(request: DeviceRequest, definition: Definition, plan: DevicePlan, placement: Placement) -> DevicePlan:
    """The device on another parent than its definition says. The definition follows."""
    new = _new_device(replace(request, attributes=definition.attributes), placement)
    old = plan.before.definition
    return replace(
        plan,
        removals=(*plan.removals, *((Undefine(old),) if old is not None else ())),
        additions=new.additions,
        after=new.after,
        drift=(*plan.drift, Drift("parent", placement.choices[0].parent.address, definition.parent)),
        placement=placement,
    )


def _define_steps(definition: Definition, before: Optional[Definition], request: DeviceRequest) -> tuple[Step, ...]:
    if not request.persistent:
        return (Undefine(before),) if before is not None else ()
    return () if definition == before else (Define(definition, before),)


def _wanted_definition(resolved: ResolvedRequest, before: State) -> Definition:
    """The definition as it should be. A device that should not be defined is started with its values."""
    request, old = resolved.request, before.definition
    type_id = before.type_id
    if before.device is None and request.type is not None:
        parent = resolved.inventory.parent(before.parent)
        type_id = types_on(request.type, (parent,))[before.parent].id if parent is not None else request.type
    return Definition(
        id=before.id,
        key=request.key,
        parent=before.parent,
        type_id=type_id,
        framework=before.framework,
        autostart=request.autostart,
        attributes=before.attributes if request.attributes is None else request.attributes,
        other=old.other if old is not None else (),
    )


def _matching_definition(
    resolved: ResolvedRequest, device: Optional[Device], definitions: tuple[Definition, ...]
) -> Optional[Definition]:
    """One of the definitions with this key: the active device's, or the first that agrees, or the first."""
    if not definitions:
        return None
    if device is not None:
        return next((stored for stored in definitions if stored.parent == device.parent), None)
    agreeing = (stored for stored in definitions if _agrees(resolved, State(definition=stored)))
    return next(agreeing, definitions[0])


def _agrees(resolved: ResolvedRequest, existing: State, type_too: bool = False) -> bool:
    """Whether the existing device is on a requested parent and has the requested type.

    The type of a definition without a device can differ, because it will be corrected. type_too: compare it too, as
    for a removal.
    If the parent is missing now, a type name can't be resolved to an id, and the key is enough.
    """
    request, address = resolved.request, existing.parent
    is_here = resolved.inventory.parent(address) is not None
    if request.parents and address not in request.parents and not (is_here and address in resolved.named_parents):
        return False
    if not is_here or request.type is None or (existing.device is None and not type_too):
        return True
    types = resolved.named_types
    return address in types and types[address].id == existing.type_id


def _drift(request: DeviceRequest, definition: Definition, before: State) -> tuple[Drift, ...]:
    old = before.definition
    drift = [
        _flag_drift("active", request.active, before.device is not None),
        _flag_drift("defined", request.persistent, old is not None),
    ]
    if request.persistent and old is not None:
        drift.append(_flag_drift("autostart", request.autostart, old.autostart))
        drift.append(_text_drift("defined type", definition.type_id, old.type_id))
        drift.append(_text_drift("defined attributes", _pairs(definition.attributes), _pairs(old.attributes)))
    return tuple(difference for difference in drift if difference is not None)


def _flag_drift(field: str, wanted: bool, actual: bool) -> Optional[Drift]:
    return _text_drift(field, str(wanted).lower(), str(actual).lower())


def _text_drift(field: str, wanted: str, actual: str) -> Optional[Drift]:
    return Drift(field, wanted, actual) if wanted != actual else None


def _pairs(attributes: tuple[Attribute, ...]) -> str:
    return ", ".join(f"{attribute.name}={attribute.value}" for attribute in attributes) or "none"


def _was_chosen(request: DeviceRequest, placement: Placement) -> bool:
    """Whether this collection chose the parent. Then results give the reasons against the others."""
    return len(request.parents) != 1 or bool(placement.rejected)


def _refuse_used(device: Device) -> None:
    if device.users:
        raise in_use_error(device, "its VFIO node is open")


def _mismatch(existing: State, resolved: ResolvedRequest, advice: str) -> Mismatch:
    request = resolved.request
    requested_parents = " or ".join(request.parents) or "any parent"
    verb = "exists" if existing.device is not None else "is defined"
    type_name = existing.device.type_name if existing.device is not None else None
    name = f" ('{type_name}')" if type_name else ""
    return Mismatch(
        f"{existing.framework.label(existing.id)} {verb} as type {existing.type_id}{name} on parent "
        f"{existing.parent}, but type {request.type or 'any'} on {requested_parents} was requested. {advice}",
        uuid=existing.uuid,
        type=existing.type_id,
        parent=existing.parent,
        wanted_type=request.type,
        wanted_parents=list(request.parents),
    )
