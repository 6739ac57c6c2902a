# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assesses a migration's destination: the devices that it needs, their UUIDs, and everything that could fail. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Optional

from .._model.errors import InvalidInput, MdevError, NoRoom, NotFound, NotReady
from .._model.framework import HOSTDEV_MDEV
from .._model.identity import UuidNamespace
from .._model.inventory import Inventory, Parent, Type
from .._model.refusals import used_by
from .._model.request import DeviceRequest
from .._planning.matching import candidates, match_existing, types_on
from .._planning.planner import plan_devices
from .._xml.domain import checked_device_map
from .findings import Finding, finding_results, guest_findings, host_findings
from .record import MigrationRecord, carried_on, recorded
from .request import Destination, Guest, GuestDevice, MigrationRequest

# No set can have this name, so no set considers a migrated guest's device its own.
_OWNER_NAME = "\0migration"


@dataclass(frozen=True)
class Assessment:
    """The findings, and the devices and records that should be prepared if no finding is an error."""

    findings: tuple[Finding, ...]
    requests: tuple[DeviceRequest, ...]
    records: tuple[MigrationRecord, ...]


@dataclass(frozen=True)
class _Assessed:
    """A device with its findings. key: identifies it here. request: None if a finding is an error."""

    device: GuestDevice
    key: str
    request: Optional[DeviceRequest]
    type_id: str
    findings: tuple[Finding, ...]


def assess(request: MigrationRequest, destination: Destination) -> Assessment:
    """Checks everything before anything is changed. Raises NotReady, with all findings, if one is an error."""
    targets = _targets(request, destination)
    findings = [*host_findings(request, destination), *_unused(request)]
    requests: list[DeviceRequest] = []
    records: list[MigrationRecord] = []
    for guest in request.guests:
        old = _record_carried_on(guest, destination)
        findings.extend(guest_findings(guest, request, destination))
        assessed = [
            _assess_device(device, guest, request, destination, targets[device.id], old) for device in guest.devices
        ]
        findings.extend(finding for device in assessed for finding in device.findings)
        requests.extend(device.request for device in assessed if device.request is not None)
        records.append(_record(guest, request, destination, assessed, old))
        if old is not None:
            kept = {device.key for device in assessed}
            gone = replace(old, devices=tuple(device for device in old.devices if device.key not in kept))
            requests.extend(restored(gone, destination.inventory, _was_attempted(old, destination)))
    findings.append(_capacity(requests, destination.inventory))
    _refuse_errors(findings, request)
    return Assessment(tuple(findings), tuple(requests), tuple(records))


def restored(record: MigrationRecord, inventory: Inventory, was_attempted: bool) -> Iterator[DeviceRequest]:
    """The requests that restore the state before the preparation. Devices that others created are left alone.

    was_attempted: whether a migration was attempted. It may have left an existing device stale, so it is recreated
    """
    for recorded_device in record.devices:
        device = inventory.device(recorded_device.key)
        definitions = inventory.definitions_of(recorded_device.key)
        belongs_to_others = device is not None and device.type_id not in (None, recorded_device.type_id)
        exists = device is not None or bool(definitions)
        if belongs_to_others or (definitions and not recorded_device.was_defined):
            continue
        if not (exists or recorded_device.was_active):
            continue
        was_active = recorded_device.was_active
        yield DeviceRequest(
            key=recorded_device.key,
            active=was_active,
            persistent=bool(definitions),
            autostart=bool(definitions) and definitions[0].autostart,
            type=recorded_device.type_id if was_active else None,
            parents=(recorded_device.parent,) if was_active else (),
            attributes=recorded_device.attributes if was_active and not definitions else None,
            recreate_active=was_attempted and was_active,
            label=f"guest {record.guest}, device {recorded_device.source}",
        )


def _targets(request: MigrationRequest, destination: Destination) -> dict[str, str]:
    """The device's name here, by its name at the source. Empty for a vGPU if its function should be chosen."""
    devices = [device for guest in request.guests for device in guest.devices]
    if request.derives_uuids:
        namespace = UuidNamespace(destination.machine_id, _OWNER_NAME)
        return {
            device.id: namespace.uuid(("uuid", device.id)) if device.hostdev_type == HOSTDEV_MDEV else ""
            for device in devices
        }
    if not request.uuid_map:
        return {device.id: device.id for device in devices}
    targets = checked_device_map(request.uuid_map)
    unmapped = sorted({device.id for device in devices} - set(targets))
    if unmapped:
        raise InvalidInput(
            f"uuid_map has no entry for {', '.join(unmapped)}, but the guests have these devices. Nothing was changed. "
            "Map every UUID, and map those that should stay the same to themselves",
            unmapped=unmapped,
        )
    return targets


def _unused(request: MigrationRequest) -> Iterator[Finding]:
    sources = {device.id for guest in request.guests for device in guest.devices}
    unused = sorted(set(checked_device_map(request.uuid_map)) - sources)
    if unused:
        yield Finding.warning("uuid", f"uuid_map has entries for devices that no guest has: {', '.join(unused)}")


def _assess_device(
    device: GuestDevice,
    guest: Guest,
    request: MigrationRequest,
    destination: Destination,
    target: str,
    old: Optional[MigrationRecord],
) -> _Assessed:
    try:
        requested_type, mdev_type = _type_here(device, request, destination.inventory)
    except MdevError as error:
        finding = Finding.error("type", f"{device.label}: {error.message}", guest.name)
        return _Assessed(device, target, None, "", (finding,))
    device_request = _device_request(device, guest, request, destination, target, requested_type, old)
    findings = [
        Finding.passed("type", f"{device.label} is {mdev_type.id} ({mdev_type.name or 'no name'}) here", guest.name)
    ]
    if None not in (device.device_api, mdev_type.device_api) and device.device_api != mdev_type.device_api:
        detail = f"{device.label} is {device.device_api} on the source and {mdev_type.device_api} here"
        findings.append(Finding.error("device_api", detail, guest.name))
    findings.extend(_place_findings(device_request, device, guest, destination))
    findings.extend(_attribute_findings(device, device_request, mdev_type, guest, destination))
    allowed = None if any(finding.is_error for finding in findings) else device_request
    return _Assessed(device, device_request.key, allowed, mdev_type.id, tuple(findings))


def _type_here(device: GuestDevice, request: MigrationRequest, inventory: Inventory) -> tuple[str, Type]:
    """The type's name here: from type_map, else by id, else by name.

    An id that has another name here is another type: the ids of a driver's types can differ between its versions.
    """
    parents = _parents_like(device, request, inventory)
    mapped = request.type_map.get(device.type_id) or request.type_map.get(device.type_name or "")
    if mapped:
        return mapped, next(iter(types_on(mapped, parents).values()))
    same_id = [mdev_type for parent in parents for mdev_type in parent.types if mdev_type.id == device.type_id]
    for mdev_type in same_id:
        if None in (mdev_type.name, device.type_name) or mdev_type.name == device.type_name:
            return mdev_type.id, mdev_type
    if device.type_name:
        return device.type_name, next(iter(types_on(device.type_name, parents).values()))
    if same_id:
        raise NotFound(f"type {device.type_id} has another name here: '{same_id[0].name}'", type=device.type_id)
    return device.type_id, next(iter(types_on(device.type_id, parents).values()))


def _parents_like(device: GuestDevice, request: MigrationRequest, inventory: Inventory) -> tuple[Parent, ...]:
    """The candidate parents with the same type of <hostdev>, which can't be changed in the guest's XML."""
    parents = candidates(request.pattern.parents, inventory, request.pattern.excluded)
    like = tuple(parent for parent in parents if parent.framework.hostdev_type == device.hostdev_type)
    if not like:
        raise NotFound(
            f"the guest's XML has the device as <hostdev type='{device.hostdev_type}'>, and no parent here offers that "
            f"({', '.join(parent.address for parent in parents)}). "
            "A guest's XML can't be changed from one type of <hostdev> to the other",
            hostdev_type=device.hostdev_type,
        )
    return like


def _device_request(
    device: GuestDevice,
    guest: Guest,
    request: MigrationRequest,
    destination: Destination,
    target: str,
    requested_type: str,
    old: Optional[MigrationRecord],
) -> DeviceRequest:
    """The device as it should be here. If it is defined here, it stays defined without changes.

    A device that was active before it was prepared is recreated, because it is not visible whether a failed migration
    left it in a state that no guest can start from. So is a prepared device after the guest was started here.
    """
    inventory = destination.inventory
    [named] = match_existing([_named(device, request, inventory, target)], inventory)
    definitions = inventory.definitions_of(named.key)
    prepared = (
        old is not None
        and named.key in {recorded_device.key for recorded_device in old.devices}
        and not _was_attempted(old, destination)
    )
    return replace(
        named,
        type=requested_type,
        active=True,
        persistent=bool(definitions),
        autostart=bool(definitions) and definitions[0].autostart,
        attributes=None if definitions else device.attributes or None,
        recreate_active=not prepared,
        label=f"guest {guest.name}, device {device.id}",
    )


def _named(device: GuestDevice, request: MigrationRequest, inventory: Inventory, target: str) -> DeviceRequest:
    """The device by its UUID. A vGPU's key is derived from its source, and its parent is its target."""
    parents = request.pattern.parents
    like = _parents_like(device, request, inventory)
    if len(like) < len(inventory.parents):
        parents = tuple(parent.address for parent in like)
    if device.hostdev_type == HOSTDEV_MDEV:
        return replace(request.pattern, key=target, parents=parents)
    key = UuidNamespace("", _OWNER_NAME).uuid(("function", request.source, device.id))
    return replace(request.pattern, key=key, parents=(target,) if target else parents)


def _place_text(device_request: DeviceRequest, device: GuestDevice) -> str:
    """The device's name in the guest's XML here."""
    if device.hostdev_type == HOSTDEV_MDEV:
        return f"UUID {device_request.key}"
    parents = device_request.parents
    return f"function {parents[0]}" if len(parents) == 1 else "a function that can take it"


def _place_findings(
    device_request: DeviceRequest, device: GuestDevice, guest: Guest, destination: Destination
) -> Iterator[Finding]:
    existing, place = destination.inventory.device(device_request.key), _place_text(device_request, device)
    if existing is not None and existing.users:
        users = ", ".join(str(user["guest"] or user["command"]) for user in used_by(existing))
        yield Finding.error("uuid", f"{device.label}: {place} is in use here by {users}", guest.name)
        return
    try:
        plan_devices([device_request], destination.inventory)
    except NoRoom:
        # The capacity is checked for all devices together.
        pass
    except MdevError as error:
        yield Finding.error("uuid", f"{device.label}: {error.message}", guest.name)
        return
    if existing is None:
        yield Finding.passed("uuid", f"{device.label}: {place} is free here", guest.name)
    elif device_request.recreate_active:
        detail = f"{place} was already active here, and is recreated because a failed migration may have left it stale"
        yield Finding.warning("stale", f"{device.label}: {detail}", guest.name)
    else:
        yield Finding.passed("uuid", f"{device.label}: {place} is already prepared", guest.name)


def _attribute_findings(
    device: GuestDevice, device_request: DeviceRequest, mdev_type: Type, guest: Guest, destination: Destination
) -> Iterator[Finding]:
    """The attributes that a type has are visible only on an existing device of that type."""
    label, names = f"device {device.id}", tuple(attribute.name for attribute in device.attributes)
    inventory = destination.inventory
    definitions = inventory.definitions_of(device_request.key)
    if definitions and definitions[0].attributes != device.attributes:
        detail = f"{label} is already defined here as {_place_text(device_request, device)}, with other attributes"
        yield Finding.error("attributes", detail, guest.name)
    elif names:
        like = next((active for active in inventory.devices if active.type_id == mdev_type.id), None)
        live = destination.live(like.key, names) if like is not None else ()
        missing = sorted({attribute.name for attribute in live if not attribute.exists})
        if missing:
            detail = f"{label}: devices of type {mdev_type.id} here have no attribute {', '.join(missing)}"
            yield Finding.error("attributes", detail, guest.name)
        else:
            detail = f"{label} will get the attributes {', '.join(names)}, in this order"
            yield Finding.passed("attributes", detail, guest.name)


def _capacity(requests: list[DeviceRequest], inventory: Inventory) -> Finding:
    """Whether all devices of all guests fit at once."""
    try:
        plan_devices(requests, inventory)
    except NoRoom as error:
        return Finding.error("room", error.message)
    except MdevError as error:
        return Finding.error("plan", error.message)
    detail = f"there is room for all {len(requests)} devices" if requests else "no device needs room"
    return Finding.passed("room", detail)


def _record_carried_on(guest: Guest, destination: Destination) -> Optional[MigrationRecord]:
    """The record of an earlier run in this boot. A device that was only active before the last boot is gone."""
    old = destination.records.get(guest.uuid)
    return old if old is not None and old.boot_id == destination.boot_id else None


def _was_attempted(record: MigrationRecord, destination: Destination) -> bool:
    return record.log_fingerprint != destination.fingerprints.get(record.guest, "")


def _record(
    guest: Guest,
    request: MigrationRequest,
    destination: Destination,
    assessed: list[_Assessed],
    old: Optional[MigrationRecord],
) -> MigrationRecord:
    devices = [
        recorded(
            item.device.id,
            item.key,
            item.type_id,
            item.device.hostdev_type,
            destination.inventory,
            destination.current(item.key, tuple(attribute.name for attribute in item.device.attributes)),
        )
        for item in assessed
        if item.request is not None
    ]
    if old is not None:
        devices = [carried_on(device, old) for device in devices]
    stored = destination.records.get(guest.uuid)
    return MigrationRecord(
        guest=guest.name,
        uuid=guest.uuid,
        definition=stored.definition if stored is not None else destination.definitions.get(guest.uuid, ""),
        source=request.source,
        running=guest.running,
        boot_id=destination.boot_id,
        log_fingerprint=destination.fingerprints.get(guest.name, ""),
        devices=tuple(devices),
    )


def _refuse_errors(findings: list[Finding], request: MigrationRequest) -> None:
    errors = [finding for finding in findings if finding.is_error]
    if not errors:
        return
    lines = [
        f"{finding.check}{f' (guest {finding.guest})' if finding.guest else ''}: {finding.detail}" for finding in errors
    ]
    raise NotReady(
        f"this host is not ready for the guests of {request.source}. Nothing was changed. {' | '.join(lines)}",
        checks=finding_results(findings),
    )
