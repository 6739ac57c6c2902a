# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is wanted and what is there to the steps between. Pure: check mode, diff and real run share the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional, Union

from ._address import device_nodedev
from ._errors import Mismatch
from ._model import Attribute, Device, Inventory, LiveAttribute, Parent
from ._placement import Choice, Rejection, candidates, place_first, types_meant
from ._refusals import in_use_error, removing_error
from ._wanted import Wanted


@dataclass(frozen=True)
class CreateDevice:
    """Create a device on the first of the choices that takes it, then write its attributes in order."""

    uuid: str
    choices: tuple[Choice, ...]
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True)
class RemoveDevice:
    """Remove an unused device."""

    device: Device


@dataclass(frozen=True)
class WriteAttribute:
    """Change an attribute of an active device. before is its value until now, for taking the change back."""

    device: Device
    attribute: Attribute
    before: str


Step = Union[CreateDevice, RemoveDevice, WriteAttribute]


@dataclass(frozen=True)
class Drift:
    """One thing that was not as wanted."""

    field: str
    wanted: str
    actual: str


@dataclass(frozen=True)
class Plan:
    """What to do, in order; the device before and as it will be; why other parents were passed over."""

    steps: tuple[Step, ...] = ()
    before: Optional[Device] = None
    after: Optional[Device] = None
    rejected: tuple[Rejection, ...] = ()
    drift: tuple[Drift, ...] = ()


def plan_device(wanted: Wanted, inventory: Inventory, live: tuple[LiveAttribute, ...] = ()) -> Plan:
    """The plan for one device. live: what the wanted attributes read as, where the device exists."""
    existing = inventory.device(wanted.uuid)
    if existing is not None and existing.removing:
        raise removing_error(existing, "somebody removed it while it was in use")
    if not wanted.present:
        return _plan_absent(wanted, inventory, existing)
    parents = candidates(wanted.parents, inventory)
    asked = wanted.type or ""
    if existing is None:
        return _plan_creation(wanted, parents)
    if not _fits(existing, asked, parents):
        return _plan_replacement(wanted, existing, parents)
    return _plan_attributes(wanted, existing, live)


def _plan_absent(wanted: Wanted, inventory: Inventory, existing: Optional[Device]) -> Plan:
    if existing is None:
        return Plan()
    parents = candidates(wanted.parents, inventory)
    here = tuple(one for one in parents if one.address == existing.parent)
    if not here or (wanted.type is not None and not _fits(existing, wanted.type, here)):
        raise _mismatch(existing, wanted, "Nothing was removed. Correct type and parent, or leave them out")
    _refuse_used(existing)
    return Plan(steps=(RemoveDevice(existing),), before=existing)


def _plan_creation(wanted: Wanted, parents: tuple[Parent, ...]) -> Plan:
    placement = place_first(wanted.type or "", parents)
    return Plan(
        steps=(CreateDevice(wanted.uuid, placement.choices, wanted.attributes),),
        after=_expected(wanted, placement.choices[0]),
        rejected=placement.rejected if _chosen_here(wanted, parents) else (),
    )


def _plan_replacement(wanted: Wanted, existing: Device, parents: tuple[Parent, ...]) -> Plan:
    if not wanted.recreate:
        raise _mismatch(
            existing,
            wanted,
            "Nothing was changed. Give another uuid, correct type and parent, "
            "or set recreate to true to replace it while nobody uses it",
        )
    _refuse_used(existing)
    placement = place_first(wanted.type or "", parents, freed=existing.parent)
    after = _expected(wanted, placement.choices[0])
    return Plan(
        steps=(RemoveDevice(existing), CreateDevice(wanted.uuid, placement.choices, wanted.attributes)),
        before=existing,
        after=after,
        rejected=placement.rejected if _chosen_here(wanted, parents) else (),
        drift=tuple(
            Drift(field, str(new), str(old))
            for field, new, old in (
                ("type", after.type_id, existing.type_id),
                ("parent", after.parent, existing.parent),
            )
            if new != old
        ),
    )


def _plan_attributes(wanted: Wanted, existing: Device, live: tuple[LiveAttribute, ...]) -> Plan:
    """Attributes that read back differently are written. Those that can't be read were set when the device was made."""
    last = {one.name: one for one in wanted.attributes}
    steps = []
    drift = []
    for now in live:
        attribute = last[now.name]
        if not now.exists or (now.readable and now.value != attribute.value.strip() and not now.writable):
            raise _attribute_mismatch(existing, attribute, now)
        if now.readable and now.value != attribute.value.strip():
            steps.append(WriteAttribute(existing, attribute, now.value or ""))
            drift.append(Drift(f"attribute {now.name}", attribute.value, now.value or ""))
    before = tuple(Attribute(now.name, now.value or last[now.name].value) for now in live)
    return Plan(
        steps=tuple(steps),
        before=replace(existing, attributes=before),
        after=replace(existing, attributes=wanted.attributes),
        drift=tuple(drift),
    )


def _fits(existing: Device, asked: str, parents: tuple[Parent, ...]) -> bool:
    here = tuple(one for one in parents if one.address == existing.parent)
    if not here:
        return False
    kind = types_meant(asked, parents).get(existing.parent)
    return kind is not None and kind.id == existing.type_id


def _chosen_here(wanted: Wanted, parents: tuple[Parent, ...]) -> bool:
    """Whether this collection chose the parent, so that the others deserve a reason."""
    return len(wanted.parents) != 1 or len(parents) > 1


def _expected(wanted: Wanted, choice: Choice) -> Device:
    parent = choice.parent
    return Device(
        uuid=wanted.uuid,
        parent=parent.address,
        path=f"{parent.path}/{wanted.uuid}",
        nodedev=device_nodedev(wanted.uuid, parent.address),
        parent_nodedev=parent.nodedev,
        type_id=choice.type.id,
        type_name=choice.type.name,
        device_api=choice.type.device_api,
        numa_node=parent.numa_node,
        users=(),
        attributes=wanted.attributes,
    )


def _refuse_used(device: Device) -> None:
    if device.users:
        raise in_use_error(device, "its VFIO node is open")


def _mismatch(existing: Device, wanted: Wanted, advice: str) -> Mismatch:
    asked_parent = " or ".join(wanted.parents) or "any parent"
    return Mismatch(
        f"device {wanted.uuid} exists as type {existing.type_id} ('{existing.type_name}') on parent {existing.parent}, "
        f"but type {wanted.type or 'any'} on {asked_parent} was asked for. {advice}",
        uuid=wanted.uuid,
        type=existing.type_id,
        parent=existing.parent,
        wanted_type=wanted.type,
        wanted_parents=list(wanted.parents),
    )


def _attribute_mismatch(existing: Device, attribute: Attribute, now: LiveAttribute) -> Mismatch:
    why = f"it reads '{now.value}' and is read-only" if now.exists else "the driver has no such attribute"
    return Mismatch(
        f"attribute '{attribute.name}' of device {existing.uuid} on {existing.parent} can't become "
        f"'{attribute.value}': {why}. Nothing was changed",
        uuid=existing.uuid,
        parent=existing.parent,
        type=existing.type_id,
        attribute=attribute.name,
    )
