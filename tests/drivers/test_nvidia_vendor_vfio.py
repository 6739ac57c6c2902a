# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules where NVIDIA's driver has no mediated devices: vGPUs that are set on virtual functions."""

from __future__ import annotations

import errno
from collections import Counter
from typing import Any

import pytest

from drivers.kit.changes import actions, thrice
from drivers.kit.machine import Boot, Machine
from drivers.nvidia_vendor_vfio import SHIPPED, UPSTREAM, Answers, Card

FOUR, FIVE, SIX = (f"0000:41:00.{number}" for number in "456")
SMALL, HALF, WHOLE = "1148", "1155", "1159"
SMALL_NAME = "NVIDIA L40S-2Q"
PARAMS = "nvidia/vgpu_params"
STORED = {"persistent": True}


def on(machine: Machine, function: str) -> dict[str, Any] | None:
    """What mdev_info says of the vGPU on a function."""
    shown = machine.info()
    assert shown["unread"] == []
    return next((one for one in shown["devices"] if one["parent"] == function), None)


def params(text: str) -> list[dict[str, str]]:
    return [{"name": PARAMS, "value": text}]


def test_functions_are_parents_and_say_what_is_set(boot: Boot) -> None:
    card = Card("0000:41:00", 2)
    machine = boot(card)
    machine.device(parent=FIVE, type=SMALL)
    shown = machine.info(xml=True)
    assert shown["framework"] == "vendor_vfio"
    free, taken = shown["parents"]
    assert (free["address"], free["physical_function"], free["current_type"]) == (FOUR, "0000:41:00.0", None)
    assert (taken["address"], taken["current_type"], taken["devices"]) == (FIVE, SMALL, [])
    # The driver hides all types of another size, and on a function that has one all types.
    assert [(one["id"], one["available_instances"], one["active"]) for one in taken["types"]] == [(SMALL, 0, 1)]
    assert [(one["id"], one["name"], one["available_instances"]) for one in free["types"]] == [(SMALL, SMALL_NAME, 1)]
    [vgpu] = shown["devices"]
    assert (vgpu["uuid"], vgpu["nodedev"], vgpu["framework"]) == (None, "pci_0000_41_00_5", "vendor_vfio")
    assert (vgpu["type"], vgpu["type_name"], vgpu["active"], vgpu["in_use"]) == (SMALL, SMALL_NAME, True, False)
    assert '<address domain="0x0000" bus="0x41" slot="0x00" function="0x5"/>' in vgpu["hostdev_xml"]
    assert "mdev_types" not in vgpu["xml"] + taken["xml"]
    assert f"managed='no'>: {FOUR}, {FIVE}." in shown["hints"][0]


CHANGES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], list[str], dict[str, int]]] = {
    "set": ([], {"parent": FOUR, "type": SMALL_NAME}, [f"create {SMALL} on {FOUR}"], {FOUR: 1148}),
    "set on a function of a card": (
        [{"parent": FOUR, "type": SMALL}],
        {"name": "web", "parent": "0000:41:00.0", "type": SMALL},
        [f"create {SMALL} on {FIVE}"],
        {FOUR: 1148, FIVE: 1148},
    ),
    "set, with parameters, and at the next boot": (
        [],
        {"parent": FOUR, "type": SMALL, "attributes": params("frl=0"), **STORED},
        [f"create {SMALL} on {FOUR}", f"write frl=0 to {PARAMS}", f"define {SMALL} on {FOUR}"],
        {FOUR: 1148},
    ),
    "only at the next boot": (
        [],
        {"parent": FOUR, "type": SMALL, "active": False, **STORED},
        [f"define {SMALL} on {FOUR}"],
        {},
    ),
    "other parameters": (
        [{"parent": FOUR, "type": SMALL, "attributes": params("frl=0")}],
        {"parent": FOUR, "type": SMALL, "attributes": params("frl=1")},
        [f"write frl=1 to {PARAMS}"],
        {FOUR: 1148},
    ),
    # The driver hides the new type until the old one is cleared.
    "another type": (
        [{"parent": FOUR, "type": SMALL, **STORED}],
        {"parent": FOUR, "type": HALF, "recreate": True, **STORED},
        [
            f"remove {SMALL} on {FOUR}",
            f"undefine {SMALL} on {FOUR}",
            f"create {HALF} on {FOUR}",
            f"define {HALF} on {FOUR}",
        ],
        {FOUR: 1155},
    ),
    "cleared by its function": (
        [{"parent": FOUR, "type": SMALL, **STORED}],
        {"parent": FOUR, "state": "absent"},
        [f"remove {SMALL} on {FOUR}", f"undefine {SMALL} on {FOUR}"],
        {},
    ),
    "cleared by its name": (
        [{"name": "web", "type": SMALL}],
        {"name": "web", "state": "absent"},
        [f"remove {SMALL} on {FOUR}"],
        {},
    ),
}


@pytest.mark.parametrize("answers", [SHIPPED, UPSTREAM], ids=["as shipped", "upstream"])
@pytest.mark.parametrize(("before", "request_", "done", "types_set"), CHANGES.values(), ids=CHANGES)
def test_changes(
    boot: Boot,
    before: list[dict[str, Any]],
    request_: dict[str, Any],
    done: list[str],
    types_set: dict[str, int],
    answers: Answers,
) -> None:
    card = Card("0000:41:00", 3, answers=answers)
    # Another card of the kind, which offers what this one hides.
    machine = boot(card, Card("0000:c1:00", 1, answers=answers))
    for one in before:
        assert not machine.device(**one).get("failed")
    assert actions(thrice(machine, machine.device, **request_)) == done
    assert card.types_set() == types_set
    assert {one["parent"]: int(one["type"]) for one in machine.info()["devices"] if one["active"]} == types_set


def test_what_others_have_set_is_the_same_vgpu(boot: Boot) -> None:
    card = Card("0000:41:00", 2)
    machine = boot(card)
    card.functions[0].set_by_hand(1148)
    assert machine.device(parent=FOUR, type=SMALL)["changed"] is False
    stored = machine.device(parent=FOUR, type=SMALL, **STORED)
    assert actions(stored) == [f"define {SMALL} on {FOUR}"]
    assert machine.device(parent=FOUR, type=WHOLE)["error"]["kind"] == "not_found"
    # Others' vGPUs belong to no set, as long as no entry names their function.
    assert machine.set(devices=[], purge="owned")["changed"] is False
    assert actions(machine.set(devices=[{"parent": FOUR, "state": "absent"}])) == [
        f"remove {SMALL} on {FOUR}",
        f"undefine {SMALL} on {FOUR}",
    ]


def test_nobody_clears_what_somebody_else_has_set_since(boot: Boot) -> None:
    card = Card("0000:41:00", 3)
    machine = boot(card)
    machine.set(devices=[{"type": SMALL, "count": 2}])
    card.functions[0].set_by_hand(0)
    card.functions[1].set_by_hand(0)
    card.functions[0].set_by_hand(1155)
    assert machine.set(devices=[], purge="owned")["changed"] is False
    assert card.types_set() == {FOUR: 1155}


def test_what_was_set_by_another_set_since_is_not_ours(boot: Boot) -> None:
    """Of the same type, on the same function: a note that was left must not tell otherwise."""
    card = Card("0000:41:00", 1)
    machine = boot(card)
    machine.set(name="first", devices=[{"type": SMALL}])
    card.functions[0].set_by_hand(0)
    machine.set(name="second", devices=[{"type": SMALL}])
    assert machine.set(name="first", devices=[], purge="owned")["changed"] is False
    assert machine.set(name="second", devices=[], purge="owned")["changed"] is True
    assert card.types_set() == {}


def test_what_could_not_be_set_is_not_remembered(boot: Boot) -> None:
    card = Card("0000:41:00", 1)
    machine = boot(card)
    card.broken = True
    refused = machine.device(name="web", type=SMALL)
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", errno.EIO)
    assert f"setting vGPU type {SMALL} on {FOUR} failed: the kernel answered EIO" in refused["msg"]
    card.broken = False
    card.functions[0].set_by_hand(1148)
    assert machine.device(name="web", state="absent")["changed"] is False


def test_a_function_that_others_have_is_not_taken_for_room_that_is_freed(boot: Boot) -> None:
    machine = boot(Card("0000:41:00", 3))
    machine.set(devices=[{"type": SMALL}])
    machine.set(name="others", devices=[{"type": SMALL, "count": 2}])
    checked = machine.set(devices=[{"name": "web", "type": SMALL, "parents": [FIVE, SIX]}], purge="owned", check=True)
    assert checked["error"]["kind"] == "no_room"
    assert f"{SIX}: is a virtual function, which holds one device, and has one" in checked["msg"]


def test_only_the_unit_sets_types_at_boot(boot: Boot) -> None:
    card = Card("0000:41:00", 1)
    machine = boot(card)
    machine.has_mdevctls_rule()
    refused = machine.device(parent=FOUR, type=SMALL, **STORED)
    assert refused["error"]["kind"] == "no_autostart"
    assert "the driver forgets them: vfio-mdev.service is not enabled" in refused["msg"]
    assert card.types_set() == {}
    assert machine.device(parent=FOUR, type=SMALL, autostart=False, **STORED)["changed"] is True


REFUSALS: dict[str, tuple[dict[str, Any], str, list[str], int | None]] = {
    "another type": ({"parent": FOUR, "type": HALF}, "mismatch", [f"vGPU exists as type {SMALL}", HALF], None),
    "a type of another size": (
        {"parent": FIVE, "type": HALF},
        "no_room",
        [f"has 0 of {HALF} left (but 1 of {SMALL})"],
        None,
    ),
    "a type that nobody knows": ({"parent": FIVE, "type": "NVIDIA A100-8C"}, "not_found", [SMALL_NAME], None),
    "a card without room": ({"name": "big", "type": WHOLE, "parent": "0000:41:00.0"}, "no_room", [FOUR, FIVE], None),
    "a parent that is no function": ({"parent": "mtty", "state": "absent"}, "invalid_input", ["'mtty'"], None),
    "parameters that are too long": (
        {"parent": FIVE, "type": SMALL, "attributes": params("x" * 1024)},
        "kernel_refused",
        ["E2BIG", f"of vGPU on {FIVE}", "removed again"],
        errno.E2BIG,
    ),
}


@pytest.mark.parametrize(("request_", "kind", "words", "number"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(boot: Boot, request_: dict[str, Any], kind: str, words: list[str], number: int | None) -> None:
    card = Card("0000:41:00", 2)
    machine = boot(card, Card("0000:c1:00", 1))
    machine.device(parent=FOUR, type=SMALL)
    refused = machine.device(**request_)
    assert (refused["error"]["kind"], refused["error"].get("errno")) == (kind, number), refused["msg"]
    assert all(one in refused["msg"] for one in words), refused["msg"]
    assert card.types_set() == {FOUR: 1148}


def test_what_a_guest_uses_stays(boot: Boot) -> None:
    card = Card("0000:41:00", 2)
    machine = boot(card)
    machine.set(devices=[{"type": SMALL, "count": 2}])
    machine.open_as_guest(card.functions[0].group, "web")
    assert [one["guest"] for one in (on(machine, FOUR) or {})["used_by"]] == ["web"]
    for request_ in ({"state": "absent"}, {"type": SMALL, "active": False, **STORED}):
        refused = machine.device(parent=FOUR, **request_)
        assert refused["error"]["kind"] == "in_use"
        assert f"vGPU on {FOUR} is in use by qemu-system-x86_64" in refused["msg"]
    purged = machine.set(devices=[], purge="owned", on_in_use="skip")
    assert [one["parent"] for one in purged["skipped"]] == [FOUR]
    assert card.types_set() == {FOUR: 1148}


SETS: dict[str, tuple[list[dict[str, Any]], dict[tuple[str, str], int]]] = {
    "as many as there are functions": ([{"type": SMALL, "count": 4}], {("41", SMALL): 4}),
    "on two cards": ([{"type": SMALL_NAME, "count": 6}], {("41", SMALL): 4, ("c1", SMALL): 2}),
    "spread": ([{"type": SMALL, "count": 4, "placement": "spread"}], {("41", SMALL): 2, ("c1", SMALL): 2}),
    # All four functions of a card promise one. It has memory for two, which shows when they are made.
    "more than a card has memory for": ([{"type": HALF, "count": 3}], {("41", HALF): 2, ("c1", HALF): 1}),
    "two sizes": ([{"type": SMALL}, {"type": WHOLE}], {("41", SMALL): 1, ("c1", WHOLE): 1}),
}


@pytest.mark.parametrize(("devices", "cards"), SETS.values(), ids=SETS)
def test_sets(boot: Boot, devices: list[dict[str, Any]], cards: dict[tuple[str, str], int]) -> None:
    machine = boot(Card("0000:41:00", 4), Card("0000:c1:00", 4))
    done = machine.set(devices=devices)
    assert not done.get("failed"), done["msg"]
    assert Counter((one["parent"][5:7], one["type"]) for one in done["devices"]) == cards
    assert machine.set(devices=devices)["changed"] is False
    assert [one["uuids"] for one in done["entries"]] == [[] for _entry in devices]
    assert sorted(name for one in done["entries"] for name in one["nodedevs"]) == sorted(
        one["nodedev"] for one in machine.info()["devices"]
    )


def test_a_set_that_does_not_fit_leaves_nothing(boot: Boot) -> None:
    card = Card("0000:41:00", 4)
    machine = boot(card)
    refused = machine.set(devices=[{"type": HALF, "count": 3}])
    assert refused["error"]["kind"] == "no_room"
    assert "Taken back by removing 2 new devices" in refused["msg"]
    assert card.types_set() == {}
    assert machine.info()["devices"] == []


def test_a_set_grows_shrinks_and_goes(boot: Boot) -> None:
    card = Card("0000:41:00", 4)
    machine = boot(card)
    machine.set(name="other", devices=[{"type": SMALL}])
    for count in (2, 3, 1):
        thrice(machine, machine.set, devices=[{"type": SMALL, "count": count}])
        assert card.types_set() == dict.fromkeys((FOUR, FIVE, SIX, "0000:41:00.7")[: count + 1], 1148)
    machine.set(devices=[], purge="owned")
    assert card.types_set() == {FOUR: 1148}


def test_the_driver_forgets_and_the_unit_sets_again(boot: Boot) -> None:
    card = Card("0000:41:00", 4)
    machine = boot(card)
    entries = [
        {"type": SMALL_NAME, "count": 2, "attributes": params("frl=0"), **STORED},
        {"name": "spare", "type": SMALL, "autostart": False, **STORED},
    ]
    machine.set(devices=entries)
    machine.device(parent="0000:41:00.7", type=SMALL)
    started = machine.reboot()
    assert (started["code"], started["failed"]) == (0, "")
    assert f"vGPU on {SIX} of type {SMALL}: started" in started["said"]
    assert card.types_set() == {FOUR: 1148, SIX: 1148}
    again = machine.set(devices=entries)
    assert actions(again) == [f"create {SMALL} on {FIVE}"]
    # The driver now hides the type on all functions, and its name is known all the same.
    machine.device(parent="0000:41:00.7", type=SMALL)
    assert {one["type_name"] for one in machine.info()["devices"]} == {SMALL_NAME}


def test_what_can_not_be_set_at_boot_is_told(boot: Boot) -> None:
    card = Card("0000:41:00", 2)
    machine = boot(card)
    machine.device(parent=FOUR, type=SMALL, **STORED)
    machine.host.drivers = ()
    late = machine.reboot()
    assert (late["code"], late["failed"]) == (
        1,
        f"FAILED vGPU on {FOUR} of type {SMALL}: its parent did not appear, waited 0 s\n",
    )
