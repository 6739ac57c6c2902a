# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a migration's destination needs: which devices, under which UUIDs, and all that could be wrong with that. Pure.

Versions: libvirt takes another UUID in the destination's XML since 8.6, QEMU has the migration protocol of VFIO
devices on by default since 8.1, the kernel since 5.18 (docs/devel/migration/vfio.rst, nova's vGPU guide).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Callable, Optional

from .._frameworks.vendor_vfio.rules import identified
from .._model.addresses import pci_address
from .._model.errors import InvalidInput, MdevError, NoRoom, NotFound, NotReady, used_by
from .._model.identity import Owner
from .._model.inventory import MDEV, VENDOR_VFIO, Attribute, Inventory, LiveAttribute, Parent, Type
from .._model.request import Wanted
from .._model.versions import Versions
from .._planning.matching import candidates, types_meant
from .._planning.planner import plan_devices
from .._xml.domain import checked_device_map
from .record import MigrationRecord, carried_on, recorded

SAME, NEW = "same", "new"

# No set can have this name, so that no set takes a migrated guest's device for its own.
_OWNER_NAME = "\0migration"

_NEEDED = {"kernel": (5, 18), "libvirt": (8, 6), "qemu": (8, 1)}


@dataclass(frozen=True)
class GuestDevice:
    """A device of a guest, as the source has it. id: its UUID, or the function that it is set on."""

    id: str
    type_id: str
    type_name: Optional[str] = None
    device_api: Optional[str] = None
    driver: Optional[str] = None
    attributes: tuple[Attribute, ...] = ()

    @property
    def framework(self) -> str:
        """How it is made: what is called by its function is made in the vendor's own way."""
        return VENDOR_VFIO if pci_address(self.id) else MDEV


@dataclass(frozen=True)
class Guest:
    """A guest that is to be migrated. running: live; else only its configuration moves."""

    name: str
    running: bool
    devices: tuple[GuestDevice, ...]


@dataclass(frozen=True)
class MigrationRequest:
    """What is to be prepared.

    versions: the source's; None where it could not be asked
    uuids:    SAME, NEW, or the UUID or function here for each one there
    types:    the type here for types there that are called otherwise, by id or name
    pattern:  where devices may go
    """

    source: str
    guests: tuple[Guest, ...]
    versions: Optional[Versions]
    uuids: object
    types: Mapping[str, str]
    pattern: Wanted
    drivers_must_match: bool = True


@dataclass(frozen=True)
class Destination:
    """The destination as it is.

    guests:    names of the guests that run here
    records:   what is prepared already, by guest
    attempts:  the state of each guest's QEMU log now
    live:      attributes of a device as they read now
    """

    machine_id: str
    boot_id: str
    inventory: Inventory
    versions: Versions
    guests: frozenset[str]
    records: Mapping[str, MigrationRecord]
    attempts: Mapping[str, str]
    live: Callable[[str, tuple[str, ...]], tuple[LiveAttribute, ...]]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. severity: info, or where it is not ok error (nothing is done) or warning."""

    check: str
    ok: bool
    severity: str
    detail: str
    guest: Optional[str] = None


@dataclass(frozen=True)
class Assessment:
    """What was found, and what is to be done where no finding forbids it."""

    findings: tuple[Finding, ...]
    wanted: tuple[Wanted, ...]
    records: tuple[MigrationRecord, ...]


def assess(request: MigrationRequest, here: Destination) -> Assessment:
    """Looks at everything before anything is touched. Raises NotReady, with all findings, where one is an error."""
    targets = _targets(request, here)
    findings = [*_host_findings(request, here), *_unused(request)]
    wanted: list[Wanted] = []
    records: list[MigrationRecord] = []
    for guest in request.guests:
        old = _record_carried_on(guest, here)
        findings.extend(_guest_findings(guest, request, here))
        found = [_device(device, guest, request, here, targets[device.id], old) for device in guest.devices]
        findings.extend(finding for one in found for finding in one.findings)
        ready = [one for one in found if one.wanted is not None]
        wanted.extend(one.wanted for one in ready if one.wanted is not None)
        records.append(_record(guest, request, here, ready, old))
        if old is not None:
            kept = {one.uuid for one in found}
            gone = replace(old, devices=tuple(one for one in old.devices if one.uuid not in kept))
            wanted.extend(restored(gone, here.inventory, _attempted(old, here)))
    findings.append(_room(wanted, here.inventory))
    _refuse_errors(findings, request)
    return Assessment(tuple(findings), tuple(wanted), tuple(records))


def restored(record: MigrationRecord, inventory: Inventory, attempted: bool) -> Iterator[Wanted]:
    """What it takes to have everything as it was before. What others made under a recorded UUID is left alone.

    attempted: whether a device that was there before may hold the rest of a failed attempt, and so is made anew
    """
    for one in record.devices:
        device, definitions = inventory.device(one.uuid), inventory.definitions_of(one.uuid)
        others = device is not None and device.type_id not in (None, one.type_id)
        there = device is not None or bool(definitions)
        if others or (definitions and not one.was_defined) or not (there or one.was_active):
            continue
        yield Wanted(
            uuid=one.uuid,
            active=one.was_active,
            persistent=bool(definitions),
            autostart=bool(definitions) and definitions[0].autostart,
            type=one.type_id if one.was_active else None,
            parents=(one.parent,) if one.was_active else (),
            fresh=attempted and one.was_active,
            label=f"guest {record.guest}, device {one.source}",
        )


def _targets(request: MigrationRequest, here: Destination) -> dict[str, str]:
    """What each device is to be called here. Empty for a vGPU whose function is to be chosen."""
    devices = [device for guest in request.guests for device in guest.devices]
    if request.uuids == SAME:
        return {one.id: one.id for one in devices}
    if request.uuids == NEW:
        owner = Owner(here.machine_id, _OWNER_NAME)
        return {one.id: owner.uuid(("uuid", one.id)) if one.framework == MDEV else "" for one in devices}
    targets = checked_device_map(_as_map(request.uuids))
    unmapped = sorted({one.id for one in devices} - set(targets))
    if unmapped:
        raise InvalidInput(
            f"uuids has none for {', '.join(unmapped)}, which the guests have. Nothing was changed: map each UUID, "
            "those that stay to themselves",
            unmapped=unmapped,
        )
    return targets


def _as_map(given: object) -> dict[str, str]:
    if not isinstance(given, dict):
        raise InvalidInput(f"uuids is '{given}', and must be {SAME}, {NEW} or a map from UUIDs to UUIDs")
    return {str(old): str(new) for old, new in given.items()}


def _unused(request: MigrationRequest) -> Iterator[Finding]:
    sources = {device.id for guest in request.guests for device in guest.devices}
    given = checked_device_map(request.uuids) if isinstance(request.uuids, dict) else {}
    unused = sorted(set(given) - sources)
    if unused:
        yield _warning("uuid", f"no guest has these devices, which the map names: {', '.join(unused)}")


def _host_findings(request: MigrationRequest, here: Destination) -> Iterator[Finding]:
    """What the two hosts run. It matters where a running guest has devices."""
    matters = any(guest.running and guest.devices for guest in request.guests)
    sides = {"destination": here.versions, "source": request.versions or Versions()}
    for name, needed in _NEEDED.items():
        for side, versions in sides.items():
            yield _version_finding(name, side, getattr(versions, name), needed, matters)
    yield from _driver_findings(request, here)


def _version_finding(name: str, side: str, version: Optional[str], needed: tuple[int, int], matters: bool) -> Finding:
    text = f"{needed[0]}.{needed[1]}"
    if version is None:
        return _warning(name, f"the version of {name} on the {side} is not known; {text} or newer is needed")
    if _numbers(version) >= needed:
        return _good(name, f"{name} {version} on the {side}")
    detail = f"{name} {version} on the {side} can't migrate mediated devices live: {text} or newer is needed"
    return _bad(name, detail) if matters else _good(name, f"{detail}. No running guest with devices is to be migrated")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", version)[:2])


def _driver_findings(request: MigrationRequest, here: Destination) -> Iterator[Finding]:
    theirs = request.versions.drivers if request.versions is not None else {}
    names = {one.driver for guest in request.guests if guest.running for one in guest.devices if one.driver}
    for name in sorted(names):
        versions = (theirs.get(name), here.versions.drivers.get(name))
        detail = f"driver {name}: {versions[0] or 'no version'} on the source, {versions[1] or 'no version'} here"
        if versions[0] == versions[1]:
            yield _good("driver", detail)
        elif request.drivers_must_match:
            yield _bad("driver", f"{detail}. Say driver_match: ignore where the vendor allows this")
        else:
            yield _warning("driver", detail)


def _guest_findings(guest: Guest, request: MigrationRequest, here: Destination) -> Iterator[Finding]:
    if guest.name in here.guests:
        yield _bad("guest", "a guest of this name runs here already: commit where it is the migrated one", guest.name)
    else:
        yield _good("guest", "no guest of this name runs here", guest.name)
    record = here.records.get(guest.name)
    if record is not None and record.source != request.source:
        yield _bad(
            "record",
            f"a guest of this name is prepared for from {record.source}: commit that or roll it back first",
            guest.name,
        )
    if not guest.devices:
        yield _good("devices", "it has no mediated devices: nothing needs to be prepared", guest.name)


@dataclass(frozen=True)
class _Found:
    """A device looked at. uuid: what is meant here; wanted is None where a finding forbids it."""

    device: GuestDevice
    uuid: str
    wanted: Optional[Wanted]
    type_id: str
    findings: tuple[Finding, ...]


def _device(
    device: GuestDevice,
    guest: Guest,
    request: MigrationRequest,
    here: Destination,
    target: str,
    old: Optional[MigrationRecord],
) -> _Found:
    findings: list[Finding] = []
    name = f"{device.id} ({device.type_name or device.type_id})"
    try:
        asked, kind = _type_here(device, request, here.inventory)
    except MdevError as error:
        return _Found(device, target, None, "", (_bad("type", f"device {name}: {error.message}", guest.name),))
    findings.append(_good("type", f"device {name} is {kind.id} ({kind.name or 'no name'}) here", guest.name))
    wanted = _wanted(device, guest, request, here, target, asked, old)
    if None not in (device.device_api, kind.device_api) and device.device_api != kind.device_api:
        detail = f"device {name} is {device.device_api} on the source and {kind.device_api} here"
        findings.append(_bad("device_api", detail, guest.name))
    findings.extend(_uuid_findings(wanted, device, guest, here))
    findings.extend(_attribute_findings(device, wanted, kind, guest, here))
    if any(not one.ok and one.severity == "error" for one in findings):
        return _Found(device, wanted.uuid, None, kind.id, tuple(findings))
    return _Found(device, wanted.uuid, wanted, kind.id, tuple(findings))


def _type_here(device: GuestDevice, request: MigrationRequest, inventory: Inventory) -> tuple[str, Type]:
    """What the type is called here: as the user says, else by id, else by name.

    An id that belongs to another name here is another type: drivers number their types anew between versions.
    """
    parents = _parents_like(device, request, inventory)
    asked = request.types.get(device.type_id) or request.types.get(device.type_name or "")
    if asked:
        return asked, next(iter(types_meant(asked, parents).values()))
    same_id = [kind for parent in parents for kind in parent.types if kind.id == device.type_id]
    for kind in same_id:
        if None in (kind.name, device.type_name) or kind.name == device.type_name:
            return kind.id, kind
    if device.type_name:
        return device.type_name, next(iter(types_meant(device.type_name, parents).values()))
    if same_id:
        raise NotFound(f"type {device.type_id} is '{same_id[0].name}' here", type=device.type_id)
    return device.type_id, next(iter(types_meant(device.type_id, parents).values()))


def _parents_like(device: GuestDevice, request: MigrationRequest, inventory: Inventory) -> tuple[Parent, ...]:
    """The candidates whose devices a guest gets in the same way: of what its XML says, only the place is changed."""
    parents = candidates(request.pattern.parents, inventory, request.pattern.excluded)
    like = tuple(one for one in parents if one.framework == device.framework)
    if not like:
        raise NotFound(
            f"it is of framework {device.framework} on the source, and no parent here is "
            f"({', '.join(one.address for one in parents)}). A guest's XML can't be changed from one to the other",
            framework=device.framework,
        )
    return like


def _wanted(
    device: GuestDevice,
    guest: Guest,
    request: MigrationRequest,
    here: Destination,
    target: str,
    asked: str,
    old: Optional[MigrationRecord],
) -> Wanted:
    """The device as it is to be here. One that is defined here stays defined as it is.

    One that is active before it was prepared is made anew, since nobody can see whether a failed migration left it in a
    state that no guest can start from. So is a prepared one, once the guest was started here.
    """
    [named] = identified([_named(device, request, here.inventory, target)], here.inventory)
    definitions = here.inventory.definitions_of(named.uuid)
    prepared = old is not None and named.uuid in {one.uuid for one in old.devices} and not _attempted(old, here)
    return replace(
        named,
        type=asked,
        active=True,
        persistent=bool(definitions),
        autostart=bool(definitions) and definitions[0].autostart,
        attributes=None if definitions else device.attributes or None,
        fresh=not prepared,
        label=f"guest {guest.name}, device {device.id}",
    )


def _named(device: GuestDevice, request: MigrationRequest, inventory: Inventory, target: str) -> Wanted:
    """The device by its UUID. A vGPU's is derived from where it comes from, and it goes where its target says."""
    parents = request.pattern.parents
    if len(inventory.frameworks) > 1:
        parents = tuple(one.address for one in _parents_like(device, request, inventory))
    if device.framework == MDEV:
        return replace(request.pattern, uuid=target, parents=parents)
    uuid = Owner("", _OWNER_NAME).uuid(("function", request.source, device.id))
    return replace(request.pattern, uuid=uuid, parents=(target,) if target else parents)


def _place_words(wanted: Wanted, device: GuestDevice) -> str:
    """What the guest is to call it here."""
    if device.framework == MDEV:
        return f"UUID {wanted.uuid}"
    return f"function {wanted.parents[0]}" if len(wanted.parents) == 1 else "a function that can take it"


def _uuid_findings(wanted: Wanted, device: GuestDevice, guest: Guest, here: Destination) -> Iterator[Finding]:
    name = f"device {device.id} ({device.type_name or device.type_id})"
    there, place = here.inventory.device(wanted.uuid), _place_words(wanted, device)
    if there is not None and there.users:
        users = ", ".join(str(one["guest"] or one["command"]) for one in used_by(there))
        yield _bad("uuid", f"{name}: {place} is in use here by {users}", guest.name)
        return
    try:
        plan_devices([wanted], here.inventory)
    except NoRoom:
        # All devices are looked at together for that.
        pass
    except MdevError as error:
        yield _bad("uuid", f"{name}: {error.message}", guest.name)
        return
    if there is None:
        yield _good("uuid", f"{name}: {place} is free here", guest.name)
    elif wanted.fresh:
        detail = f"{name}: {place} was active here before, and is made anew in case an attempt left it stale"
        yield _warning("stale", detail, guest.name)
    else:
        yield _good("uuid", f"{name}: {place} is prepared already", guest.name)


def _attribute_findings(
    device: GuestDevice, wanted: Wanted, kind: Type, guest: Guest, here: Destination
) -> Iterator[Finding]:
    """Which attributes a type has can only be seen at a device of that type, where there is one."""
    name, names = f"device {device.id}", tuple(one.name for one in device.attributes)
    definitions = here.inventory.definitions_of(wanted.uuid)
    if definitions and definitions[0].attributes != device.attributes:
        detail = f"{name} is defined here as {_place_words(wanted, device)}, with other attributes"
        yield _bad("attributes", detail, guest.name)
    elif names:
        like = next((one for one in here.inventory.devices if one.type_id == kind.id), None)
        live = here.live(like.uuid, names) if like is not None else ()
        missing = sorted({one.name for one in live if not one.exists})
        if missing:
            detail = f"{name}: devices of type {kind.id} have no attribute {', '.join(missing)} here"
            yield _bad("attributes", detail, guest.name)
        else:
            yield _good("attributes", f"{name} will be given {', '.join(names)}, in this order", guest.name)


def _room(wanted: list[Wanted], inventory: Inventory) -> Finding:
    """Whether all devices of all guests fit at once."""
    try:
        plan_devices(wanted, inventory)
    except NoRoom as error:
        return _bad("room", error.message)
    except MdevError as error:
        return _bad("plan", error.message)
    return _good("room", f"there is room for all {len(wanted)} devices" if wanted else "no device needs room")


def _record_carried_on(guest: Guest, here: Destination) -> Optional[MigrationRecord]:
    """What an earlier run prepared in this boot. What was only active before the last boot is gone."""
    old = here.records.get(guest.name)
    return old if old is not None and old.boot_id == here.boot_id else None


def _attempted(record: MigrationRecord, here: Destination) -> bool:
    return record.attempts != here.attempts.get(record.guest, "")


def _record(
    guest: Guest,
    request: MigrationRequest,
    here: Destination,
    ready: list[_Found],
    old: Optional[MigrationRecord],
) -> MigrationRecord:
    devices = [
        recorded(one.device.id, one.wanted.uuid, one.type_id, one.device.framework, here.inventory)
        for one in ready
        if one.wanted is not None
    ]
    if old is not None:
        devices = [carried_on(one, old) for one in devices]
    return MigrationRecord(
        guest=guest.name,
        source=request.source,
        running=guest.running,
        boot_id=here.boot_id,
        attempts=here.attempts.get(guest.name, ""),
        devices=tuple(devices),
    )


def _refuse_errors(findings: list[Finding], request: MigrationRequest) -> None:
    errors = [one for one in findings if not one.ok and one.severity == "error"]
    if not errors:
        return
    lines = [f"{one.check}{f' (guest {one.guest})' if one.guest else ''}: {one.detail}" for one in errors]
    raise NotReady(
        f"this host can't take the guests of {request.source}. Nothing was changed. {' | '.join(lines)}",
        checks=finding_results(findings),
    )


def finding_results(findings: list[Finding]) -> list[dict[str, object]]:
    """Findings as results show them."""
    return [
        {"check": one.check, "guest": one.guest, "ok": one.ok, "severity": one.severity, "detail": one.detail}
        for one in findings
    ]


def _good(check: str, detail: str, guest: Optional[str] = None) -> Finding:
    return Finding(check, True, "info", detail, guest)


def _warning(check: str, detail: str, guest: Optional[str] = None) -> Finding:
    return Finding(check, False, "warning", detail, guest)


def _bad(check: str, detail: str, guest: Optional[str] = None) -> Finding:
    return Finding(check, False, "error", detail, guest)
