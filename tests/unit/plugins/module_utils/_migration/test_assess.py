# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Optional

import pytest
from builders import GUEST, device, inventory, kind, parent

from ansible_collections.vfio.mdev.plugins.module_utils._migration.assess import (
    Assessment,
    Destination,
    Guest,
    GuestDevice,
    MigrationRequest,
    assess,
    restored,
)
from ansible_collections.vfio.mdev.plugins.module_utils._migration.record import (
    MigrationRecord,
    RecordedDevice,
    parse_record,
    record_text,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import FilesRefused, InvalidInput, NotReady
from ansible_collections.vfio.mdev.plugins.module_utils._model.identity import Owner
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Attribute,
    Definition,
    Inventory,
    LiveAttribute,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import Wanted
from ansible_collections.vfio.mdev.plugins.module_utils._model.versions import Versions
from ansible_collections.vfio.mdev.plugins.module_utils._planning.planner import plan_devices
from ansible_collections.vfio.mdev.plugins.module_utils._planning.steps import CreateDevice, RemoveDevice

A, B, C = (f"{digit * 8}-1111-2222-3333-444444444444" for digit in "abc")
VF = "0000:41:00.4"
GOOD = Versions("6.12.1", "11.3.0", "10.0.3", {"nvidia": "580"})


ROOMY = inventory(parent(VF, kind("t-1", 2), kind("t-2", 1)))


@dataclass(frozen=True)
class Case:
    """A migration, in all that a test may want otherwise."""

    devices: tuple[GuestDevice, ...] = (GuestDevice(A, "t-1", "Name of t-1", "vfio-pci", "nvidia"),)
    running: bool = True
    more: tuple[Guest, ...] = ()
    uuids: object = "same"
    types: dict[str, str] = field(default_factory=dict)
    there: Optional[Versions] = GOOD
    here: Versions = GOOD
    match: bool = True
    inventory: Inventory = ROOMY
    guests: frozenset[str] = frozenset()
    record: Optional[MigrationRecord] = None
    log: str = "log 1"
    live: tuple[LiveAttribute, ...] = ()

    def assess(self) -> Assessment:
        request = MigrationRequest(
            source="gpu-1",
            guests=(Guest("web", self.running, self.devices), *self.more),
            versions=self.there,
            uuids=self.uuids,
            types=self.types,
            pattern=Wanted(""),
            drivers_must_match=self.match,
        )
        destination = Destination(
            machine_id="m",
            boot_id="boot 1",
            inventory=self.inventory,
            versions=self.here,
            guests=self.guests,
            records={"web": self.record} if self.record else {},
            attempts={"web": self.log},
            live=lambda _uuid, _names: self.live,
        )
        return assess(request, destination)


def refused(case: Case) -> list[dict[str, Any]]:
    """The findings that are errors."""
    with pytest.raises(NotReady) as raised:
        case.assess()
    checks: list[dict[str, Any]] = raised.value.facts["checks"]  # type: ignore[assignment]
    errors = [one for one in checks if not one["ok"] and one["severity"] == "error"]
    assert all(str(one["detail"]) in raised.value.message for one in errors)
    return errors


def warned(found: Assessment) -> list[str]:
    return [one.check for one in found.findings if not one.ok]


ONE = GuestDevice(A, "t-1", "Name of t-1", "vfio-pci", "nvidia")
HERE = device(A, VF)
RECORD = MigrationRecord("web", "gpu-1", True, "boot 1", "log 1", (RecordedDevice(A, A, "t-1", "", False),))


def test_a_device_is_prepared() -> None:
    found = Case().assess()
    assert warned(found) == []
    [wanted] = found.wanted
    assert (wanted.uuid, wanted.type, wanted.active, wanted.persistent) == (A, "t-1", True, False)
    assert found.records == (RECORD,)


def test_a_second_run_changes_nothing() -> None:
    case = Case(inventory=inventory(parent(VF, kind("t-1", 1)), devices=(HERE,)), record=RECORD)
    found = case.assess()
    assert plan_devices(found.wanted, case.inventory).steps == ()
    assert found.records == (RECORD,)
    assert warned(found) == []


ANEW = {
    "one that was there before": Case(inventory=inventory(parent(VF, kind("t-1", 0)), devices=(HERE,))),
    "one that an attempt used": Case(
        inventory=inventory(parent(VF, kind("t-1", 0)), devices=(HERE,)), record=RECORD, log="log 2"
    ),
    "one that a run was at when it crashed": Case(
        inventory=inventory(parent(VF, kind("t-1", 0)), devices=(HERE,)), record=replace(RECORD, attempts="pending")
    ),
}


@pytest.mark.parametrize("case", ANEW.values(), ids=ANEW)
def test_what_may_be_stale_is_made_anew(case: Case) -> None:
    """Also on a full host: its room is its own."""
    found = case.assess()
    steps = plan_devices(found.wanted, case.inventory).steps
    assert [type(one) for one in steps] == [RemoveDevice, CreateDevice]
    assert warned(found) == ["stale"]


def test_a_prepared_one_that_is_in_use_is_one_problem() -> None:
    """It must not be taken for what another choice has left, which would be removed."""
    used = replace(HERE, users=(GUEST,))
    case = Case(inventory=inventory(parent(VF, kind("t-1", 0)), devices=(used,)), record=RECORD)
    assert [one["check"] for one in refused(case)] == ["uuid"]


def test_a_defined_one_stays_defined_as_it_is() -> None:
    definition = Definition(A, VF, "t-1", autostart=True)
    case = Case(inventory=inventory(parent(VF, kind("t-1", 1)), devices=(HERE,), definitions=(definition,)))
    found = case.assess()
    assert [type(one) for one in plan_devices(found.wanted, case.inventory).steps] == [RemoveDevice, CreateDevice]
    assert found.records[0].devices == (RecordedDevice(A, A, "t-1", VF, True),)


def test_what_another_choice_of_uuids_prepared_goes() -> None:
    case = Case(inventory=inventory(parent(VF, kind("t-1", 0)), devices=(HERE,)), record=RECORD, uuids={A: B})
    found = case.assess()
    steps = plan_devices(found.wanted, case.inventory).steps
    assert [type(one) for one in steps] == [RemoveDevice, CreateDevice]
    assert found.records[0].targets({}) == {A: B}


def test_new_uuids_are_always_the_same_and_no_sets() -> None:
    [first], [second] = (Case(uuids="new").assess().wanted for _run in range(2))
    assert first.uuid == second.uuid != A
    assert not any(Owner("m", name).owns(first.uuid) for name in ("", "web", "migration"))


TYPES: dict[str, tuple[GuestDevice, dict[str, str], str]] = {
    "by id": (ONE, {}, "t-1"),
    "by id where the source knows no name": (replace(ONE, type_name=None), {}, "t-1"),
    "by name where the id is another type's here": (replace(ONE, type_name="Name of t-2"), {}, "Name of t-2"),
    "by name where there is no such id": (replace(ONE, type_id="x", type_name="Name of t-1"), {}, "Name of t-1"),
    "as the user says, by id": (ONE, {"t-1": "t-2"}, "t-2"),
    "as the user says, by name": (ONE, {"Name of t-1": "Name of t-2"}, "Name of t-2"),
}


@pytest.mark.parametrize(("there", "types", "asked"), TYPES.values(), ids=TYPES)
def test_how_a_type_is_found(there: GuestDevice, types: dict[str, str], asked: str) -> None:
    [wanted] = Case(devices=(there,), types=types).assess().wanted
    assert wanted.type == asked


FULL = inventory(parent(VF, kind("t-1", 1), kind("t-2", 0)))
USED = inventory(parent(VF, kind("t-1", 1)), devices=(replace(HERE, users=(GUEST,)),))
OTHER_TYPE = inventory(parent(VF, kind("t-1", 1), kind("t-2", 0)), devices=(device(A, VF, "t-2"),))
HALF = inventory(parent(VF, kind("t-1", 1)), devices=(device(A, VF, None, removing=True),))
SETTING = replace(ONE, attributes=(Attribute("a", "1"),))

REFUSED = {
    "no such type": (Case(devices=(replace(ONE, type_id="x", type_name="X"),)), "type", "no parent asked for offers"),
    "no such type as the user says": (Case(types={"t-1": "y"}), "type", "'y'"),
    "the id is another type here": (Case(devices=(replace(ONE, type_name="X"),)), "type", "'X'"),
    "another device API": (Case(devices=(replace(ONE, device_api="vfio-ccw"),)), "device_api", "vfio-ccw"),
    "in use here": (Case(inventory=USED), "uuid", "in use here by web-1"),
    "UUID of another type": (Case(inventory=OTHER_TYPE), "uuid", "t-2"),
    "UUID of a half removed device": (Case(inventory=HALF), "uuid", "half"),
    "no room for all": (Case(devices=(ONE, replace(ONE, id=B)), inventory=FULL), "room", "no room for 1 of the 2"),
    "no room for the second guest": (
        Case(more=(Guest("db", True, (replace(ONE, id=B),)),), inventory=FULL),
        "room",
        "no room for 1 of the 2",
    ),
    "a guest of this name here": (Case(guests=frozenset({"web"})), "guest", "runs here already"),
    "prepared from elsewhere": (Case(record=replace(RECORD, source="gpu-9")), "record", "gpu-9"),
    "QEMU too old": (Case(here=replace(GOOD, qemu="7.2.0")), "qemu", "QEMU 7.2.0 on the destination".lower()),
    "libvirt too old": (Case(there=replace(GOOD, libvirt="8.5.9")), "libvirt", "libvirt 8.5.9 on the source"),
    "kernel too old": (Case(here=replace(GOOD, kernel="5.17")), "kernel", "5.18 or newer"),
    "another driver version": (Case(here=replace(GOOD, drivers={"nvidia": "550"})), "driver", "580 on the source, 550"),
    "no such attribute": (
        Case(
            devices=(SETTING,),
            inventory=inventory(parent(VF, kind("t-1", 1)), devices=(device(B, VF),)),
            live=(LiveAttribute("a", False),),
        ),
        "attributes",
        "have no attribute a",
    ),
    "defined with other attributes": (
        Case(devices=(SETTING,), inventory=replace(FULL, definitions=(Definition(A, VF, "t-1"),))),
        "attributes",
        "with other attributes",
    ),
}


@pytest.mark.parametrize(("case", "check", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(case: Case, check: str, words: str) -> None:
    [error] = refused(case)
    assert error["check"] == check
    assert words in str(error["detail"])


def test_all_that_is_wrong_is_told_at_once() -> None:
    case = Case(
        devices=(replace(ONE, type_id="x", type_name="X"), replace(ONE, id=B, device_api="vfio-ap")),
        here=replace(GOOD, qemu="7.2"),
        guests=frozenset({"web"}),
    )
    assert [one["check"] for one in refused(case)] == ["qemu", "guest", "type", "device_api"]


ALLOWED = {
    "old versions, the guest is shut off": (Case(running=False, here=Versions("5.4", "7.0", "6.0")), []),
    "old versions, the guest has no devices": (Case(devices=(), here=Versions("5.4", "7.0", "6.0")), []),
    "versions that nobody knows": (Case(there=None, match=False), ["kernel", "libvirt", "qemu", "driver"]),
    "another driver version, as the user says": (
        Case(match=False, here=replace(GOOD, drivers={"nvidia": "550"})),
        ["driver"],
    ),
    "entries of the map that no guest has": (Case(uuids={A: A, C: C}), ["uuid"]),
}


@pytest.mark.parametrize(("case", "warnings"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_only_told(case: Case, warnings: list[str]) -> None:
    assert sorted(set(warned(case.assess()))) == sorted(warnings)


@pytest.mark.parametrize(
    ("uuids", "words"),
    [
        ({}, f"none for {A}"),
        ({A: C, B: C}, "can't be two"),
        ({A: "x"}, "not a UUID"),
        ("other", "must be same, new"),
    ],
)
def test_uuids_that_can_not_be(uuids: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        Case(uuids=uuids).assess()


def test_after_a_reboot_old_records_say_nothing_of_what_is_active() -> None:
    found = Case(record=replace(RECORD, boot_id="boot 0", devices=(RecordedDevice(A, A, "t-1", VF, False),))).assess()
    assert found.records == (RECORD,)


MADE = RecordedDevice(A, A, "t-1", "", False)
WAS_ACTIVE = RecordedDevice(A, A, "t-1", VF, False)
WAS_DEFINED = RecordedDevice(A, A, "t-1", "", True)
EMPTY = inventory(parent(VF, kind("t-1", 1)))
ACTIVE = replace(EMPTY, devices=(HERE,))
DEFINED = replace(EMPTY, definitions=(Definition(A, VF, "t-1", autostart=True),))
BOTH = replace(DEFINED, devices=(HERE,))

# recorded, what is there, whether an attempt was made -> the steps of the way back
BACK: dict[str, tuple[RecordedDevice, Inventory, bool, list[str]]] = {
    "what was made goes": (MADE, ACTIVE, False, ["RemoveDevice"]),
    "what was not made yet needs nothing": (MADE, EMPTY, False, []),
    "what others made under the UUID stays": (MADE, replace(EMPTY, devices=(device(A, VF, "t-2"),)), True, []),
    "what others defined since stays": (MADE, BOTH, True, []),
    "what was there stays": (WAS_ACTIVE, ACTIVE, False, []),
    "what was there and may be stale is made anew": (WAS_ACTIVE, ACTIVE, True, ["RemoveDevice", "CreateDevice"]),
    "what was there and got lost in a crash comes back": (WAS_ACTIVE, EMPTY, True, ["CreateDevice"]),
    "what was only defined is stopped": (WAS_DEFINED, BOTH, True, ["RemoveDevice"]),
    "what was only defined and still is": (WAS_DEFINED, DEFINED, True, []),
}


@pytest.mark.parametrize(("one", "there", "attempted", "steps"), BACK.values(), ids=BACK)
def test_the_way_back(one: RecordedDevice, there: Inventory, attempted: bool, steps: list[str]) -> None:
    wanted = list(restored(replace(RECORD, devices=(one,)), there, attempted))
    assert [type(each).__name__ for each in plan_devices(wanted, there).steps] == steps


def test_a_record_comes_back_from_its_text() -> None:
    assert parse_record(record_text(RECORD), "web.json") == RECORD


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', record_text(RECORD).replace('"uuid"', '"uid"')])
def test_a_broken_record_is_an_error(text: str) -> None:
    with pytest.raises(FilesRefused, match=r"web\.json can't be read"):
        parse_record(text, "web.json")
