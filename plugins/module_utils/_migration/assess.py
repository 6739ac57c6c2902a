# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a migration's destination needs: which devices, under which UUIDs, and all that could be wrong. Pure."""

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
from .findings import Finding, finding_results, host_findings
from .record import MigrationRecord, carried_on, recorded
from .request import Destination, Guest, GuestDevice, MigrationRequest

# No set can have this name, so that no set takes a migrated guest's device for its own.
_OWNER_NAME = "\0migration"


@dataclass(frozen=True)
class Assessment:
    """What was found, and what should be done if no finding forbids it."""

    findings: tuple[Finding, ...]
    requests: tuple[DeviceRequest, ...]
    records: tuple[MigrationRecord, ...]


@dataclass(frozen=True)
class _Assessed:
    """A device looked at. key: what it is found by here; request is None if a finding forbids it."""

    device: GuestDevice
    key: str
    request: Optional[DeviceRequest]
    type_id: str
    findings: tuple[Finding, ...]


def assess(request: MigrationRequest, destination: Destination) -> Assessment:
    """Looks at everything before anything is changed. Raises NotReady, with all findings, if one is an error."""
    targets = _targets(request, destination)
    findings = [*host_findings(request, destination), *_unused(request)]
    requests: list[DeviceRequest] = []
    records: list[MigrationRecord] = []
    for guest in request.guests:
        old = _record_carried_on(guest, destination)
        findings.extend(_guest_findings(guest, request, destination))
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
    """What it takes to have everything as it was before. What others made under a recorded UUID is left alone.

    was_attempted: whether a device that was there before may hold the rest of a failed attempt, and so is recreated
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
            recreate_active=was_attempted and was_active,
            label=f"guest {record.guest}, device {recorded_device.source}",
        )


def _targets(request: MigrationRequest, destination: Destination) -> dict[str, str]:
    """The name of each device here. Empty for a vGPU whose function should be chosen."""
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
            f"uuid_map has no entry for {', '.join(unmapped)}, which the guests have. Nothing was changed: map each "
            "UUID, those that stay to themselves",
            unmapped=unmapped,
        )
    return targets


def _unused(request: MigrationRequest) -> Iterator[Finding]:
    sources = {device.id for guest in request.guests for device in guest.devices}
    unused = sorted(set(checked_device_map(request.uuid_map)) - sources)
    if unused:
        yield Finding.warning("uuid", f"no guest has these devices, which the map names: {', '.join(unused)}")


def _guest_findings(guest: Guest, request: MigrationRequest, destination: Destination) -> Iterator[Finding]:
    if guest.name in destination.guests:
        detail = "a guest with this name already runs here: commit if it is the migrated one"
        yield Finding.error("guest", detail, guest.name)
    else:
        yield Finding.passed("guest", "no guest with this name runs here", guest.name)
    record = destination.records.get(guest.name)
    if record is not None and record.source != request.source:
        detail = f"a guest with this name is prepared for from {record.source}: commit that or roll it back first"
        yield Finding.error("record", detail, guest.name)
    if not guest.devices:
        yield Finding.passed("devices", "it has no mediated devices: nothing needs to be prepared", guest.name)


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
    wanted = _device_request(device, guest, request, destination, target, requested_type, old)
    findings = [
        Finding.passed("type", f"{device.label} is {mdev_type.id} ({mdev_type.name or 'no name'}) here", guest.name)
    ]
    if None not in (device.device_api, mdev_type.device_api) and device.device_api != mdev_type.device_api:
        detail = f"{device.label} is {device.device_api} on the source and {mdev_type.device_api} here"
        findings.append(Finding.error("device_api", detail, guest.name))
    findings.extend(_place_findings(wanted, device, guest, destination))
    findings.extend(_attribute_findings(device, wanted, mdev_type, guest, destination))
    allowed = None if any(finding.is_error for finding in findings) else wanted
    return _Assessed(device, wanted.key, allowed, mdev_type.id, tuple(findings))


def _type_here(device: GuestDevice, request: MigrationRequest, inventory: Inventory) -> tuple[str, Type]:
    """The type's name here: as the user says, else by id, else by name.

    An id that belongs to another name here is another type: drivers number their types differently between versions.
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
        raise NotFound(f"type {device.type_id} is '{same_id[0].name}' here", type=device.type_id)
    return device.type_id, next(iter(types_on(device.type_id, parents).values()))


def _parents_like(device: GuestDevice, request: MigrationRequest, inventory: Inventory) -> tuple[Parent, ...]:
    """The candidates whose devices a guest gets in the same way: its XML can only be changed in the place."""
    parents = candidates(request.pattern.parents, inventory, request.pattern.excluded)
    like = tuple(parent for parent in parents if parent.framework.hostdev_type == device.hostdev_type)
    if not like:
        raise NotFound(
            f"the guest has it as <hostdev type='{device.hostdev_type}'>, and no parent here offers that "
            f"({', '.join(parent.address for parent in parents)}). "
            "A guest's XML can't be changed from one type to the other",
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
    """The device as it should be here. One that is defined here stays defined as it is.

    One that was active before it was prepared is recreated, since nobody can see whether a failed migration left it in
    a state that no guest can start from. So is a prepared one, once the guest was started here.
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
    """The device by its UUID. A vGPU's key is derived from where it comes from, and it goes where its target says."""
    parents = request.pattern.parents
    like = _parents_like(device, request, inventory)
    if len(like) < len(inventory.parents):
        parents = tuple(parent.address for parent in like)
    if device.hostdev_type == HOSTDEV_MDEV:
        return replace(request.pattern, key=target, parents=parents)
    key = UuidNamespace("", _OWNER_NAME).uuid(("function", request.source, device.id))
    return replace(request.pattern, key=key, parents=(target,) if target else parents)


def _place_text(wanted: DeviceRequest, device: GuestDevice) -> str:
    """The device's name in the guest's XML here."""
    if device.hostdev_type == HOSTDEV_MDEV:
        return f"UUID {wanted.key}"
    return f"function {wanted.parents[0]}" if len(wanted.parents) == 1 else "a function that can take it"


def _place_findings(
    wanted: DeviceRequest, device: GuestDevice, guest: Guest, destination: Destination
) -> Iterator[Finding]:
    existing, place = destination.inventory.device(wanted.key), _place_text(wanted, device)
    if existing is not None and existing.users:
        users = ", ".join(str(user["guest"] or user["command"]) for user in used_by(existing))
        yield Finding.error("uuid", f"{device.label}: {place} is in use here by {users}", guest.name)
        return
    try:
        plan_devices([wanted], destination.inventory)
    except NoRoom:
        # All devices are looked at together for that.
        pass
    except MdevError as error:
        yield Finding.error("uuid", f"{device.label}: {error.message}", guest.name)
        return
    if existing is None:
        yield Finding.passed("uuid", f"{device.label}: {place} is free here", guest.name)
    elif wanted.recreate_active:
        detail = f"{place} was active here before, and is recreated in case an attempt left it stale"
        yield Finding.warning("stale", f"{device.label}: {detail}", guest.name)
    else:
        yield Finding.passed("uuid", f"{device.label}: {place} is prepared already", guest.name)


def _attribute_findings(
    device: GuestDevice, wanted: DeviceRequest, mdev_type: Type, guest: Guest, destination: Destination
) -> Iterator[Finding]:
    """Which attributes a type has can only be seen at a device of that type, if there is one."""
    label, names = f"device {device.id}", tuple(attribute.name for attribute in device.attributes)
    inventory = destination.inventory
    definitions = inventory.definitions_of(wanted.key)
    if definitions and definitions[0].attributes != device.attributes:
        detail = f"{label} is defined here as {_place_text(wanted, device)}, with other attributes"
        yield Finding.error("attributes", detail, guest.name)
    elif names:
        like = next((active for active in inventory.devices if active.type_id == mdev_type.id), None)
        live = destination.live(like.key, names) if like is not None else ()
        missing = sorted({attribute.name for attribute in live if not attribute.exists})
        if missing:
            detail = f"{label}: devices of type {mdev_type.id} have no attribute {', '.join(missing)} here"
            yield Finding.error("attributes", detail, guest.name)
        else:
            detail = f"{label} will be given {', '.join(names)}, in this order"
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
    """What an earlier run prepared in this boot. What was only active before the last boot is gone."""
    old = destination.records.get(guest.name)
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
        recorded(item.device.id, item.key, item.type_id, item.device.hostdev_type, destination.inventory)
        for item in assessed
        if item.request is not None
    ]
    if old is not None:
        devices = [carried_on(device, old) for device in devices]
    return MigrationRecord(
        guest=guest.name,
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
        f"this host can't take the guests of {request.source}. Nothing was changed. {' | '.join(lines)}",
        checks=finding_results(findings),
    )
