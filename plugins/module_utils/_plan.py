# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is wanted and what is there to the steps between. Pure: check mode, diff and real run share the plan.

A device has two existences, in the kernel (active) and on disk (defined), and each can be wanted or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional, Union

from ._address import device_nodedev
from ._errors import Mismatch
from ._model import Attribute, Definition, Device, Drift, Inventory, LiveAttribute, Parent
from ._placement import Choice, Placement, Rejection, candidates, place_first, types_meant
from ._refusals import in_use_error, removing_error
from ._states import NOWHERE, State
from ._wanted import Wanted


@dataclass(frozen=True)
class CreateDevice:
    """Create a device on the first of the choices that takes it, with its attributes in order."""

    uuid: str
    choices: tuple[Choice, ...]
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True)
class RemoveDevice:
    """Remove an unused device from the kernel."""

    device: Device


@dataclass(frozen=True)
class WriteAttribute:
    """Change an attribute of an active device. before is its value until now, for taking the change back.

    may_wait: when the driver refuses, the definition has the new value, and it takes effect at the next start.
    """

    device: Device
    attribute: Attribute
    before: str
    may_wait: bool = False


@dataclass(frozen=True)
class Define:
    """Write a definition, new or in place of the one before.

    follows: the parent and type are those that this run's CreateDevice ends up with.
    """

    definition: Definition
    before: Optional[Definition] = None
    follows: bool = False


@dataclass(frozen=True)
class Undefine:
    """Remove a definition."""

    definition: Definition


Step = Union[CreateDevice, RemoveDevice, WriteAttribute, Define, Undefine]


@dataclass(frozen=True)
class Plan:
    """What to do, in order; before and after; why other parents were passed over; what was not as wanted."""

    steps: tuple[Step, ...] = ()
    before: State = NOWHERE
    after: State = NOWHERE
    rejected: tuple[Rejection, ...] = ()
    drift: tuple[Drift, ...] = ()


def plan_device(wanted: Wanted, inventory: Inventory, live: tuple[LiveAttribute, ...] = ()) -> Plan:
    """The plan for one device. live: what the wanted attributes read as, where the device is active."""
    device = inventory.device(wanted.uuid)
    definitions = inventory.definitions_of(wanted.uuid)
    if device is not None and device.removing:
        raise removing_error(device, "somebody removed it while it was in use")
    if not wanted.present:
        return _plan_absent(wanted, inventory, device, definitions)
    definition = _definition_meant(wanted, inventory, device, definitions)
    before = State(device, definition)
    if not before.exists:
        return _plan_new(wanted, inventory)
    if not _agrees(wanted, inventory, before):
        return _plan_replacement(wanted, inventory, before)
    return _plan_correction(wanted, inventory, before, live)


def _plan_absent(
    wanted: Wanted, inventory: Inventory, device: Optional[Device], definitions: tuple[Definition, ...]
) -> Plan:
    """Everything under the UUID goes, the device in the kernel first: that is what may be refused."""
    steps: list[Step] = []
    if device is not None:
        _refuse_other(wanted, inventory, State(device=device))
        _refuse_used(device)
        steps.append(RemoveDevice(device))
    for definition in definitions:
        _refuse_other(wanted, inventory, State(definition=definition))
        steps.append(Undefine(definition))
    return Plan(steps=tuple(steps), before=State(device, definitions[0] if definitions else None))


def _refuse_other(wanted: Wanted, inventory: Inventory, found: State) -> None:
    if not _agrees(wanted, inventory, found, type_too=True):
        raise _mismatch(found, wanted, "Nothing was removed. Correct type and parent, or leave them out")


def _plan_new(wanted: Wanted, inventory: Inventory) -> Plan:
    parents = candidates(wanted.parents, inventory)
    placement = place_first(wanted.type or "", parents, needs_room=wanted.active)
    return Plan(
        steps=_creation(wanted, placement),
        after=_expected(wanted, placement.choices[0]),
        rejected=placement.rejected if _chosen_here(wanted, parents) else (),
    )


def _creation(wanted: Wanted, placement: Placement) -> tuple[Step, ...]:
    attributes = wanted.attributes or ()
    steps: list[Step] = []
    if wanted.active:
        steps.append(CreateDevice(wanted.uuid, placement.choices, attributes))
    if wanted.persistent:
        definition = _definition_on(wanted, placement.choices[0], None)
        steps.append(Define(definition, follows=wanted.active))
    return tuple(steps)


def _plan_replacement(wanted: Wanted, inventory: Inventory, before: State) -> Plan:
    if not wanted.recreate:
        raise _mismatch(
            before,
            wanted,
            "Nothing was changed. Give another uuid, correct type and parent, "
            "or set recreate to true to replace it while nobody uses it",
        )
    steps: list[Step] = []
    if before.device is not None:
        _refuse_used(before.device)
        steps.append(RemoveDevice(before.device))
    if before.definition is not None:
        steps.append(Undefine(before.definition))
    parents = candidates(wanted.parents, inventory)
    freed = before.device.parent if before.device is not None else None
    placement = place_first(wanted.type or "", parents, freed=freed, needs_room=wanted.active)
    after = _expected(wanted, placement.choices[0])
    return Plan(
        steps=tuple(steps) + _creation(wanted, placement),
        before=before,
        after=after,
        rejected=placement.rejected if _chosen_here(wanted, parents) else (),
        drift=_place_drift(before, placement.choices[0]),
    )


def _place_drift(before: State, choice: Choice) -> tuple[Drift, ...]:
    pairs = (("type", choice.type.id, before.type_id), ("parent", choice.parent.address, before.parent))
    return tuple(Drift(field, new, old) for field, new, old in pairs if new != old)


def _plan_correction(wanted: Wanted, inventory: Inventory, before: State, live: tuple[LiveAttribute, ...]) -> Plan:
    """The device is what was asked for, in the right place: only its states and settings may differ."""
    definition = _wanted_definition(wanted, inventory, before)
    defining = _define_steps(definition, before.definition, wanted)
    if before.device is None:
        kernel, device = _start(wanted, inventory, definition)
    elif wanted.active:
        kernel, device = _attribute_steps(wanted, before.device, live)
    else:
        _refuse_used(before.device)
        kernel, device = (RemoveDevice(before.device),), None
    # Stopping: what is to stay is stored before the rest goes. Starting: what may be refused comes first.
    steps = defining + kernel if device is None else kernel + defining
    return Plan(
        steps=steps,
        before=before,
        after=State(device, definition if wanted.persistent else None),
        drift=_drift(wanted, definition, before, kernel),
    )


def _start(wanted: Wanted, inventory: Inventory, definition: Definition) -> tuple[tuple[Step, ...], Optional[Device]]:
    """Starts a defined device where its definition says, with the attributes that it says."""
    if not wanted.active:
        return (), None
    parents = candidates((definition.parent,), inventory)
    placement = place_first(definition.type_id, parents)
    step = CreateDevice(wanted.uuid, placement.choices[:1], definition.attributes)
    return (step,), _expected_device(wanted.uuid, placement.choices[0], definition.attributes)


def _attribute_steps(
    wanted: Wanted, device: Device, live: tuple[LiveAttribute, ...]
) -> tuple[tuple[Step, ...], Device]:
    """Attributes that read back differently are written. Those that can't be read were set when the device was made."""
    last = {one.name: one for one in wanted.attributes or ()}
    device = replace(device, attributes=wanted.attributes or ())
    steps: list[Step] = []
    for now in live:
        attribute = last[now.name]
        differs = now.readable and now.value != attribute.value.strip()
        if not now.exists or (differs and not now.writable):
            raise _attribute_mismatch(device, attribute, now)
        if differs:
            steps.append(WriteAttribute(device, attribute, now.value or "", may_wait=wanted.persistent))
    return tuple(steps), device


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
    attributes = wanted.attributes
    if attributes is None:
        attributes = old.attributes if old is not None else ()
    return Definition(
        uuid=wanted.uuid,
        parent=parent,
        type_id=type_id,
        autostart=wanted.autostart,
        attributes=attributes,
        other=old.other if old is not None else (),
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


def _drift(wanted: Wanted, definition: Definition, before: State, kernel: tuple[Step, ...]) -> tuple[Drift, ...]:
    old = before.definition
    found = [
        _flag_drift("active", wanted.active, before.device is not None),
        _flag_drift("defined", wanted.persistent, old is not None),
    ]
    if wanted.persistent and old is not None:
        found.append(_flag_drift("autostart", wanted.autostart, old.autostart))
        found.append(_text_drift("defined type", definition.type_id, old.type_id))
        found.append(_text_drift("defined attributes", _pairs(definition.attributes), _pairs(old.attributes)))
    found.extend(
        Drift(f"attribute {step.attribute.name}", step.attribute.value, step.before)
        for step in kernel
        if isinstance(step, WriteAttribute)
    )
    return tuple(one for one in found if one is not None)


def _flag_drift(field: str, wanted: bool, actual: bool) -> Optional[Drift]:
    return _text_drift(field, str(wanted).lower(), str(actual).lower())


def _text_drift(field: str, wanted: str, actual: str) -> Optional[Drift]:
    return Drift(field, wanted, actual) if wanted != actual else None


def _pairs(attributes: tuple[Attribute, ...]) -> str:
    return ", ".join(f"{one.name}={one.value}" for one in attributes) or "none"


def _chosen_here(wanted: Wanted, parents: tuple[Parent, ...]) -> bool:
    """Whether this collection chose the parent, so that the others deserve a reason."""
    return len(wanted.parents) != 1 or len(parents) > 1


def _expected(wanted: Wanted, choice: Choice) -> State:
    return State(
        _expected_device(wanted.uuid, choice, wanted.attributes or ()) if wanted.active else None,
        _definition_on(wanted, choice, None) if wanted.persistent else None,
    )


def _definition_on(wanted: Wanted, choice: Choice, old: Optional[Definition]) -> Definition:
    return Definition(
        uuid=wanted.uuid,
        parent=choice.parent.address,
        type_id=choice.type.id,
        autostart=wanted.autostart,
        attributes=wanted.attributes or (),
        other=old.other if old is not None else (),
    )


def _expected_device(uuid: str, choice: Choice, attributes: tuple[Attribute, ...]) -> Device:
    parent = choice.parent
    return Device(
        uuid=uuid,
        parent=parent.address,
        path=f"{parent.path}/{uuid}",
        nodedev=device_nodedev(uuid, parent.address),
        parent_nodedev=parent.nodedev,
        type_id=choice.type.id,
        type_name=choice.type.name,
        device_api=choice.type.device_api,
        numa_node=parent.numa_node,
        users=(),
        attributes=attributes,
    )


def _refuse_used(device: Device) -> None:
    if device.users:
        raise in_use_error(device, "its VFIO node is open")


def _mismatch(found: State, wanted: Wanted, advice: str) -> Mismatch:
    asked_parent = " or ".join(wanted.parents) or "any parent"
    where = "exists" if found.device is not None else "is defined"
    name = f" ('{found.device.type_name}')" if found.device is not None and found.device.type_name else ""
    return Mismatch(
        f"device {wanted.uuid} {where} as type {found.type_id}{name} on parent {found.parent}, "
        f"but type {wanted.type or 'any'} on {asked_parent} was asked for. {advice}",
        uuid=wanted.uuid,
        type=found.type_id,
        parent=found.parent,
        wanted_type=wanted.type,
        wanted_parents=list(wanted.parents),
    )


def _attribute_mismatch(device: Device, attribute: Attribute, now: LiveAttribute) -> Mismatch:
    why = f"it reads '{now.value}' and is read-only" if now.exists else "the driver has no such attribute"
    return Mismatch(
        f"attribute '{attribute.name}' of device {device.uuid} on {device.parent} can't become "
        f"'{attribute.value}': {why}. Nothing was changed",
        uuid=device.uuid,
        parent=device.parent,
        type=device.type_id,
        attribute=attribute.name,
    )
