# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Assessing a migration: requests, checks, records and rollback."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import pytest
from builders import GUEST, define, device, inventory, mdev_type, parent

from ansible_collections.vfio.mdev.plugins.module_utils._guests.migratable import Unsupported
from ansible_collections.vfio.mdev.plugins.module_utils._migration.assess import Assessment, assess, restored
from ansible_collections.vfio.mdev.plugins.module_utils._migration.record import (
    MigrationRecord,
    MigrationRecords,
    RecordedDevice,
    parse_record,
    record_text,
)
from ansible_collections.vfio.mdev.plugins.module_utils._migration.request import (
    Destination,
    Guest,
    GuestDevice,
    MigrationRequest,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import FileError, InvalidInput, NotReady
from ansible_collections.vfio.mdev.plugins.module_utils._model.identity import UuidNamespace
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Attribute,
    Inventory,
    LiveAttribute,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest
from ansible_collections.vfio.mdev.plugins.module_utils._model.versions import Versions
from ansible_collections.vfio.mdev.plugins.module_utils._planning.planner import plan_devices
from ansible_collections.vfio.mdev.plugins.module_utils._planning.steps import CreateDevice, RemoveDevice

A, B, C = (f"{digit * 8}-1111-2222-3333-444444444444" for digit in "abc")
WEB, DB = (f"{digit * 8}-5555-4666-8777-888888888888" for digit in "12")
VF = "0000:41:00.4"
GOOD = Versions("6.12.1", "11.3.0", "10.0.3", {"nvidia": "580"})


ROOMY = inventory(parent(VF, mdev_type("t-1", 2), mdev_type("t-2", 1)))


GUEST_WEB = Guest("web", True, (), WEB)


GOOD_DEVICE = GuestDevice(A, "t-1", "Name of t-1", "vfio-pci", "nvidia", can_migrate=True, can_quiesce=True)
ALL_SUPPORTED = Unsupported()
NO_P2P = Unsupported(p2p=frozenset({"nvidia"}))


@dataclass(frozen=True)
class Case:
    """A migration; tests change the fields that matter to them."""

    devices: tuple[GuestDevice, ...] = (GuestDevice(A, "t-1", "Name of t-1", "vfio-pci", "nvidia"),)
    live_migration: bool = True
    other_guests: tuple[Guest, ...] = ()
    uuid_policy: str = "same"
    uuid_map: dict[str, str] = field(default_factory=dict)
    type_map: dict[str, str] = field(default_factory=dict)
    source_versions: Optional[Versions] = GOOD
    destination_versions: Versions = GOOD
    match: bool = True
    inventory: Inventory = ROOMY
    guests: dict[str, str] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    unsupported: Unsupported = ALL_SUPPORTED
    guest: Guest = GUEST_WEB
    unreadable: tuple[str, ...] = ()
    current: tuple[Attribute, ...] = ()
    definitions: dict[str, str] = field(default_factory=dict)
    record: Optional[MigrationRecord] = None
    log: str = "log 1"
    live: tuple[LiveAttribute, ...] = ()

    def assess(self) -> Assessment:
        request = MigrationRequest(
            source="gpu-1",
            guests=(replace(self.guest, running=self.live_migration, devices=self.devices), *self.other_guests),
            versions=self.source_versions,
            uuid_policy=self.uuid_policy,
            uuid_map=self.uuid_map,
            type_map=self.type_map,
            pattern=DeviceRequest(""),
            drivers_must_match=self.match,
        )
        destination = Destination(
            machine_id="m",
            boot_id="boot 1",
            inventory=self.inventory,
            versions=self.destination_versions,
            guests=self.guests,
            running=self.running,
            unsupported=self.unsupported,
            records={self.record.uuid: self.record} if self.record else {},
            unreadable=self.unreadable,
            fingerprints={"web": self.log},
            definitions=self.definitions,
            live=lambda _uuid, _names: self.live,
            current=lambda _uuid, _names: self.current,
        )
        return assess(request, destination)


def refused(case: Case) -> list[dict[str, Any]]:
    """The checks that failed with an error."""
    with pytest.raises(NotReady) as raised:
        case.assess()
    checks: list[dict[str, Any]] = raised.value.checks
    errors = [check for check in checks if not check["ok"] and check["severity"] == "error"]
    assert all(str(error["detail"]) in raised.value.message for error in errors)
    return errors


def warned(assessment: Assessment) -> list[str]:
    return [finding.check for finding in assessment.findings if not finding.ok]


GUEST_DEVICE = GuestDevice(A, "t-1", "Name of t-1", "vfio-pci", "nvidia")
EXISTING = device(A, VF)
RECORD = MigrationRecord("web", WEB, "gpu-1", True, "boot 1", "log 1", (RecordedDevice(A, A, "t-1", "", False),))


def test_a_device_is_prepared() -> None:
    assessment = Case().assess()
    assert warned(assessment) == []
    [request] = assessment.requests
    assert (request.key, request.type, request.active, request.persistent) == (A, "t-1", True, False)
    assert assessment.records == (RECORD,)


def test_what_the_driver_cannot_do_does_not_matter_to_a_guest_that_is_shut_off() -> None:
    Case(devices=(replace(GOOD_DEVICE, can_migrate=False),), live_migration=False).assess()
    Case(devices=(replace(GOOD_DEVICE, can_quiesce=False),), unsupported=NO_P2P).assess()


def test_a_second_run_changes_nothing() -> None:
    case = Case(inventory=inventory(parent(VF, mdev_type("t-1", 1)), devices=(EXISTING,)), record=RECORD)
    assessment = case.assess()
    assert plan_devices(assessment.requests, case.inventory).steps == ()
    assert assessment.records == (RECORD,)
    assert warned(assessment) == []


STALE = {
    "a device that existed before": Case(inventory=inventory(parent(VF, mdev_type("t-1", 0)), devices=(EXISTING,))),
    "a device that an attempt used": Case(
        inventory=inventory(parent(VF, mdev_type("t-1", 0)), devices=(EXISTING,)), record=RECORD, log="log 2"
    ),
    "a device of a run that crashed": Case(
        inventory=inventory(parent(VF, mdev_type("t-1", 0)), devices=(EXISTING,)),
        record=replace(RECORD, log_fingerprint="pending"),
    ),
}


@pytest.mark.parametrize("case", STALE.values(), ids=STALE)
def test_devices_that_may_be_stale_are_recreated(case: Case) -> None:
    """Also on a full host, because the old device frees its instance."""
    assessment = case.assess()
    steps = plan_devices(assessment.requests, case.inventory).steps
    assert [type(step) for step in steps] == [RemoveDevice, CreateDevice]
    assert warned(assessment) == ["stale"]


def test_a_prepared_device_in_use_is_a_single_problem() -> None:
    """It must not be mistaken for a leftover of another UUID map, which would be removed."""
    used = replace(EXISTING, users=(GUEST,))
    case = Case(inventory=inventory(parent(VF, mdev_type("t-1", 0)), devices=(used,)), record=RECORD)
    assert [check["check"] for check in refused(case)] == ["uuid"]


def test_a_defined_device_keeps_its_definition() -> None:
    definition = define(A, VF, "t-1", autostart=True)
    case = Case(inventory=inventory(parent(VF, mdev_type("t-1", 1)), devices=(EXISTING,), definitions=(definition,)))
    assessment = case.assess()
    assert [type(step) for step in plan_devices(assessment.requests, case.inventory).steps] == [
        RemoveDevice,
        CreateDevice,
    ]
    assert assessment.records[0].devices == (RecordedDevice(A, A, "t-1", VF, True),)


def test_devices_of_another_uuid_map_are_removed() -> None:
    case = Case(
        inventory=inventory(parent(VF, mdev_type("t-1", 0)), devices=(EXISTING,)), record=RECORD, uuid_map={A: B}
    )
    assessment = case.assess()
    steps = plan_devices(assessment.requests, case.inventory).steps
    assert [type(step) for step in steps] == [RemoveDevice, CreateDevice]
    assert assessment.records[0].targets({}) == {A: B}


def test_new_uuids_are_stable_and_belong_to_no_set() -> None:
    [first], [second] = (Case(uuid_policy="new").assess().requests for _run in range(2))
    assert first.key == second.key != A
    assert not any(UuidNamespace("m", name).owns(first.key) for name in ("", "web", "migration"))


TYPES: dict[str, tuple[GuestDevice, dict[str, str], str]] = {
    "by id": (GUEST_DEVICE, {}, "t-1"),
    "by id if the source knows no name": (replace(GUEST_DEVICE, type_name=None), {}, "t-1"),
    "by name if the id is another type here": (replace(GUEST_DEVICE, type_name="Name of t-2"), {}, "Name of t-2"),
    "by name if there is no such id": (replace(GUEST_DEVICE, type_id="x", type_name="Name of t-1"), {}, "Name of t-1"),
    "mapped by id": (GUEST_DEVICE, {"t-1": "t-2"}, "t-2"),
    "mapped by name": (GUEST_DEVICE, {"Name of t-1": "Name of t-2"}, "Name of t-2"),
}


@pytest.mark.parametrize(("source", "type_map", "expected"), TYPES.values(), ids=TYPES)
def test_type_on_the_destination(source: GuestDevice, type_map: dict[str, str], expected: str) -> None:
    [request] = Case(devices=(source,), type_map=type_map).assess().requests
    assert request.type == expected


FULL = inventory(parent(VF, mdev_type("t-1", 1), mdev_type("t-2", 0)))
USED = inventory(parent(VF, mdev_type("t-1", 1)), devices=(replace(EXISTING, users=(GUEST,)),))
OTHER_TYPE = inventory(parent(VF, mdev_type("t-1", 1), mdev_type("t-2", 0)), devices=(device(A, VF, "t-2"),))
HALF = inventory(parent(VF, mdev_type("t-1", 1)), devices=(device(A, VF, None, removing=True),))
SETTING = replace(GUEST_DEVICE, attributes=(Attribute("a", "1"),))

REFUSED = {
    "no such type": (
        Case(devices=(replace(GUEST_DEVICE, type_id="x", type_name="X"),)),
        "type",
        "no requested parent offers",
    ),
    "a mapped type that does not exist": (Case(type_map={"t-1": "y"}), "type", "'y'"),
    "the id is another type here": (Case(devices=(replace(GUEST_DEVICE, type_name="X"),)), "type", "'X'"),
    "another device API": (Case(devices=(replace(GUEST_DEVICE, device_api="vfio-ccw"),)), "device_api", "vfio-ccw"),
    "in use here": (Case(inventory=USED), "uuid", "in use here by web-1"),
    "UUID of another type": (Case(inventory=OTHER_TYPE), "uuid", "t-2"),
    "UUID of a half removed device": (Case(inventory=HALF), "uuid", "half"),
    "no room for all": (
        Case(devices=(GUEST_DEVICE, replace(GUEST_DEVICE, id=B)), inventory=FULL),
        "room",
        "no room for 1 of the 2",
    ),
    "no room for the second guest": (
        Case(other_guests=(Guest("db", True, (replace(GUEST_DEVICE, id=B),), DB),), inventory=FULL),
        "room",
        "no room for 1 of the 2",
    ),
    "the guest runs here": (Case(guests={WEB: "web"}, running=frozenset({WEB})), "guest", "already runs here"),
    "another guest with this name here": (Case(guests={DB: "web"}), "guest", f"another guest with this name, {DB}"),
    "its UUID is another guest here": (Case(guests={WEB: "db"}), "guest", "is called 'db' here"),
    "a guest without UUID": (Case(guest=Guest("web", True, ())), "guest", "its UUID is unknown"),
    "a guest whose devices are unknown": (
        Case(guest=Guest("web", True, (), WEB, error="no XML"), devices=()),
        "devices",
        "its devices are unknown: no XML",
    ),
    "a device on QEMU's command line": (
        Case(guest=Guest("web", True, (), WEB, command_line=(B,))),
        "devices",
        f"{B} is on QEMU's command line",
    ),
    "a driver without migration": (
        Case(devices=(replace(GOOD_DEVICE, can_migrate=False),)),
        "can_migrate",
        "driver nvidia on the source does not support it",
    ),
    "several devices of a driver without P2P": (
        Case(devices=(replace(GOOD_DEVICE, can_quiesce=False), replace(GOOD_DEVICE, id=B))),
        "can_migrate",
        "driver nvidia does not support P2P on the source",
    ),
    "a driver without migration on the destination": (
        Case(unsupported=Unsupported(migration=frozenset({"nvidia"}))),
        "can_migrate",
        "driver nvidia here does not support it",
    ),
    "several devices of a driver without P2P on the destination": (
        Case(devices=(GOOD_DEVICE, replace(GOOD_DEVICE, id=B, driver="other")), unsupported=NO_P2P),
        "can_migrate",
        "driver nvidia does not support P2P here",
    ),
    "another guest with this name is prepared": (Case(record=replace(RECORD, uuid=DB)), "record", f"{DB}, is already"),
    "records that can't be read": (Case(unreadable=("x.json is broken",)), "record", "x.json is broken"),
    "prepared from elsewhere": (Case(record=replace(RECORD, source="gpu-9")), "record", "gpu-9"),
    "QEMU too old": (
        Case(destination_versions=replace(GOOD, qemu="7.2.0")),
        "qemu",
        "QEMU 7.2.0 on the destination".lower(),
    ),
    "libvirt too old": (Case(source_versions=replace(GOOD, libvirt="8.5.9")), "libvirt", "libvirt 8.5.9 on the source"),
    "kernel too old": (Case(destination_versions=replace(GOOD, kernel="5.17")), "kernel", "5.18 or newer"),
    "another driver version": (
        Case(destination_versions=replace(GOOD, drivers={"nvidia": "550"})),
        "driver",
        "580 on the source, 550",
    ),
    "no such attribute": (
        Case(
            devices=(SETTING,),
            inventory=inventory(parent(VF, mdev_type("t-1", 1)), devices=(device(B, VF),)),
            live=(LiveAttribute("a", False),),
        ),
        "attributes",
        "have no attribute a",
    ),
    "defined with other attributes": (
        Case(devices=(SETTING,), inventory=replace(FULL, definitions=(define(A, VF, "t-1"),))),
        "attributes",
        "with other attributes",
    ),
}


@pytest.mark.parametrize(("case", "check", "words"), REFUSED.values(), ids=REFUSED)
def test_refusals(case: Case, check: str, words: str) -> None:
    [error] = refused(case)
    assert error["check"] == check
    assert words in str(error["detail"])


def test_all_problems_are_reported_together() -> None:
    case = Case(
        devices=(replace(GUEST_DEVICE, type_id="x", type_name="X"), replace(GUEST_DEVICE, id=B, device_api="vfio-ap")),
        destination_versions=replace(GOOD, qemu="7.2"),
        guests={WEB: "web"},
        running=frozenset({WEB}),
    )
    assert [check["check"] for check in refused(case)] == ["qemu", "guest", "type", "device_api"]


ALLOWED = {
    "old versions, the guest is shut off": (
        Case(live_migration=False, destination_versions=Versions("5.4", "7.0", "6.0")),
        [],
    ),
    "old versions, the guest has no devices": (
        Case(devices=(), destination_versions=Versions("5.4", "7.0", "6.0")),
        [],
    ),
    "unknown versions": (Case(source_versions=None, match=False), ["kernel", "libvirt", "qemu", "driver"]),
    "another driver version, if allowed": (
        Case(match=False, destination_versions=replace(GOOD, drivers={"nvidia": "550"})),
        ["driver"],
    ),
    "map entries that no guest has": (Case(uuid_map={A: A, C: C}), ["uuid"]),
}


@pytest.mark.parametrize(("case", "warnings"), ALLOWED.values(), ids=ALLOWED)
def test_warnings(case: Case, warnings: list[str]) -> None:
    assert sorted(set(warned(case.assess()))) == sorted(warnings)


@pytest.mark.parametrize(
    ("uuid_map", "words"),
    [
        ({C: C}, f"no entry for {A}"),
        ({A: C, B: C}, "can't become one"),
        ({A: "x"}, "not a UUID"),
    ],
)
def test_invalid_uuid_maps(uuid_map: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        Case(uuid_map=uuid_map).assess()


def test_after_a_reboot_records_do_not_show_which_devices_are_active() -> None:
    assessment = Case(
        record=replace(RECORD, boot_id="boot 0", devices=(RecordedDevice(A, A, "t-1", VF, False),))
    ).assess()
    assert assessment.records == (RECORD,)


CREATED = RecordedDevice(A, A, "t-1", "", False)
WAS_ACTIVE = RecordedDevice(A, A, "t-1", VF, False)
WAS_DEFINED = RecordedDevice(A, A, "t-1", "", True)
EMPTY = inventory(parent(VF, mdev_type("t-1", 1)))
ACTIVE = replace(EMPTY, devices=(EXISTING,))
DEFINED = replace(EMPTY, definitions=(define(A, VF, "t-1", autostart=True),))
BOTH = replace(DEFINED, devices=(EXISTING,))

# the recorded device, the inventory, whether an attempt was made -> the steps of the rollback
ROLLBACK: dict[str, tuple[RecordedDevice, Inventory, bool, list[str]]] = {
    "a created device is removed": (CREATED, ACTIVE, False, ["RemoveDevice"]),
    "a device that was not created yet needs no steps": (CREATED, EMPTY, False, []),
    "a device of another type under the UUID stays": (
        CREATED,
        replace(EMPTY, devices=(device(A, VF, "t-2"),)),
        True,
        [],
    ),
    "a device that was defined later stays": (CREATED, BOTH, True, []),
    "an existing device stays": (WAS_ACTIVE, ACTIVE, False, []),
    "an existing device that may be stale is recreated": (WAS_ACTIVE, ACTIVE, True, ["RemoveDevice", "CreateDevice"]),
    "an existing device that a crash removed is recreated": (WAS_ACTIVE, EMPTY, True, ["CreateDevice"]),
    "a device that was only defined is stopped": (WAS_DEFINED, BOTH, True, ["RemoveDevice"]),
    "a device that was only defined and still is": (WAS_DEFINED, DEFINED, True, []),
}


@pytest.mark.parametrize(("recorded", "inventory_", "attempted", "steps"), ROLLBACK.values(), ids=ROLLBACK)
def test_rollback(recorded: RecordedDevice, inventory_: Inventory, attempted: bool, steps: list[str]) -> None:
    requests = list(restored(replace(RECORD, devices=(recorded,)), inventory_, attempted))
    assert [type(step).__name__ for step in plan_devices(requests, inventory_).steps] == steps


def test_the_attributes_of_a_recreated_device_are_recorded_and_restored() -> None:
    """The source's attributes replace them. Nothing else knows the values that the device had."""
    values = (Attribute("nvidia/vgpu_params", "frl=30"),)
    existing = inventory(parent(VF, mdev_type("t-1", 0)), devices=(EXISTING,))
    [record] = Case(devices=(SETTING,), inventory=existing, current=values).assess().records
    assert record.devices[0].attributes == values
    [request] = restored(record, existing, was_attempted=True)
    assert (request.attributes, request.recreate_active) == (values, True)
    # A second run must not record the values of the device that the first run created.
    [again] = Case(devices=(SETTING,), inventory=existing, record=record).assess().records
    assert again.devices[0].attributes == values


def test_the_attributes_of_a_defined_device_are_in_its_definition() -> None:
    values = (Attribute("nvidia/vgpu_params", "frl=30"),)
    recorded = replace(WAS_ACTIVE, was_defined=True, attributes=values)
    [request] = restored(replace(RECORD, devices=(recorded,)), BOTH, was_attempted=True)
    assert request.attributes is None


def test_the_configuration_before_the_first_run_is_recorded() -> None:
    [first] = Case(definitions={WEB: "old"}).assess().records
    [again] = Case(definitions={WEB: "new"}, record=replace(first, boot_id="boot 0")).assess().records
    assert (first.definition, again.definition) == ("old", "old")


def test_a_record_survives_a_round_trip() -> None:
    recorded = replace(WAS_ACTIVE, attributes=(Attribute("a", "1"),))
    for record in (RECORD, replace(RECORD, definition="hash", devices=(recorded,))):
        assert parse_record(record_text(record), f"/x/{WEB}.json") == record


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 60_000,
        '{"format": 2}',
        record_text(RECORD).replace('"key"', '"uid"'),
        record_text(RECORD).replace(WEB, DB),
    ],
)
def test_a_broken_record_is_an_error(text: str) -> None:
    with pytest.raises(FileError, match=rf"{WEB}\.json can't be read"):
        parse_record(text, f"{WEB}.json")


def test_a_broken_record_does_not_hide_the_others(tmp_path: Path) -> None:
    records = MigrationRecords(str(tmp_path))
    records.put([RECORD])
    (tmp_path / f"{DB}.json").write_text("{")
    readable, [problem] = records.scan()
    assert readable == {WEB: RECORD}
    assert f"{DB}.json" in problem.message
    with pytest.raises(FileError, match=DB):
        records.read()


def test_records_that_others_can_write_are_not_used(tmp_path: Path) -> None:
    """A record decides what a roll back removes."""
    records = MigrationRecords(str(tmp_path))
    records.put([RECORD])
    (tmp_path / f"{WEB}.json").chmod(0o666)
    readable, [problem] = records.scan()
    assert readable == {}
    assert "all users can write to it" in problem.message
    (tmp_path / f"{WEB}.json").chmod(0o600)
    assert records.read() == {WEB: RECORD}
    tmp_path.chmod(0o777)
    with pytest.raises(FileError, match="all users can write to it"):
        records.scan()


def test_a_record_of_a_device_with_large_attributes_is_read(tmp_path: Path) -> None:
    records = MigrationRecords(str(tmp_path))
    large = replace(RECORD, devices=(replace(RECORD.devices[0], attributes=(Attribute("blob", "x" * 100_000),)),))
    records.put([large])
    assert records.read() == {WEB: large}
