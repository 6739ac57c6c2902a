# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on NVIDIA's vendor VFIO framework: vGPU types that are set on virtual functions."""

from __future__ import annotations

import errno
from collections import Counter
from typing import Any

import pytest

from drivers.kit.changes import actions, apply_and_repeat
from drivers.kit.isolated_host import Boot, IsolatedHost
from drivers.nvidia_vendor_vfio import SHIPPED, UPSTREAM, Answers, Card

FOUR, FIVE, SIX = (f"0000:41:00.{number}" for number in "456")
SMALL, HALF, WHOLE = "1148", "1155", "1159"
SMALL_NAME = "NVIDIA L40S-2Q"
PARAMS = "nvidia/vgpu_params"
STORED = {"persistent": True}


def on(host: IsolatedHost, function: str) -> dict[str, Any] | None:
    """What mdev_info reports about the vGPU on a function."""
    shown = host.info()
    assert shown["unread"] == []
    return next((vgpu for vgpu in shown["devices"] if vgpu["parent"] == function), None)


def params(text: str) -> list[dict[str, str]]:
    return [{"name": PARAMS, "value": text}]


def test_functions_are_parents_and_show_their_type(boot: Boot) -> None:
    card = Card("0000:41:00", 2)
    host = boot(card)
    host.device(parent=FIVE, type=SMALL)
    shown = host.info(xml=True)
    assert shown["framework"] == "vendor_vfio"
    free, taken = shown["parents"]
    assert (free["address"], free["physical_function"], free["current_type"]) == (FOUR, "0000:41:00.0", None)
    assert (taken["address"], taken["current_type"], taken["devices"]) == (FIVE, SMALL, [])
    # The driver hides all types of another size, and all types on a function that has one.
    assert (free["types"], taken["types"]) == (None, {})
    [card], [vgpu_type] = shown["cards"], shown["types"]
    assert (card["types"], card["room"], card["functions"]) == ({SMALL: 1}, {SMALL: 1}, {"enabled": 2, "total": 32})
    assert (vgpu_type["id"], vgpu_type["name"], vgpu_type["available_instances"]) == (SMALL, SMALL_NAME, 1)
    assert (vgpu_type["active"], vgpu_type["parents"]) == (1, 2)
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
    # A second card of the same model, which offers the types that the first one hides.
    host = boot(card, Card("0000:c1:00", 1, answers=answers))
    for request in before:
        assert not host.device(**request).get("failed")
    assert actions(apply_and_repeat(host, host.device, **request_)) == done
    assert card.types_set() == types_set
    assert {vgpu["parent"]: int(vgpu["type"]) for vgpu in host.info()["devices"] if vgpu["active"]} == types_set


def test_a_type_that_another_program_set_is_the_same_vgpu(boot: Boot) -> None:
    card = Card("0000:41:00", 2)
    host = boot(card)
    card.functions[0].set_by_hand(1148)
    assert host.device(parent=FOUR, type=SMALL)["changed"] is False
    stored = host.device(parent=FOUR, type=SMALL, **STORED)
    assert actions(stored) == [f"define {SMALL} on {FOUR}"]
    assert host.device(parent=FOUR, type=WHOLE)["error"]["kind"] == "not_found"
    # vGPUs of other programs belong to no set unless an entry names their function.
    assert host.set(devices=[], purge="owned")["changed"] is False
    assert actions(host.set(devices=[{"parent": FOUR, "state": "absent"}])) == [
        f"remove {SMALL} on {FOUR}",
        f"undefine {SMALL} on {FOUR}",
    ]


def test_a_type_that_another_program_set_later_is_not_cleared(boot: Boot) -> None:
    card = Card("0000:41:00", 3)
    host = boot(card)
    host.set(devices=[{"type": SMALL, "count": 2}])
    card.functions[0].set_by_hand(0)
    card.functions[1].set_by_hand(0)
    card.functions[0].set_by_hand(1155)
    assert host.set(devices=[], purge="owned")["changed"] is False
    assert card.types_set() == {FOUR: 1155}


def test_a_vgpu_that_another_set_created_later_is_not_owned(boot: Boot) -> None:
    """With the same type on the same function: a leftover note must not prove ownership."""
    card = Card("0000:41:00", 1)
    host = boot(card)
    host.set(name="first", devices=[{"type": SMALL}])
    card.functions[0].set_by_hand(0)
    host.set(name="second", devices=[{"type": SMALL}])
    assert host.set(name="first", devices=[], purge="owned")["changed"] is False
    assert host.set(name="second", devices=[], purge="owned")["changed"] is True
    assert card.types_set() == {}


def by_hand(host: IsolatedHost, function: str, number: int) -> None:
    """As a shell writes: echo 1148 > current_vgpu_type, which opens the file with O_TRUNC."""
    path = host.files.sys / "bus/pci/devices" / function / "nvidia/current_vgpu_type"
    path.write_text(f"{number}\n")


@pytest.mark.parametrize("stored", [False, True], ids=["active only", "defined"])
def test_a_vgpu_with_the_same_type_that_was_set_by_hand_is_not_owned(boot: Boot, stored: bool) -> None:
    """Nothing ran in between: the note is still there, and so may be the definition."""
    card = Card("0000:41:00", 3)
    host = boot(card)
    entry = {"type": SMALL, "count": 2, "persistent": stored}
    host.set(devices=[entry])
    by_hand(host, FOUR, 0)
    by_hand(host, FOUR, 1148)
    assert host.set(devices=[], purge="owned", check=True)["changed"] is True
    assert actions(host.set(devices=[], purge="owned"))[0] == f"remove {SMALL} on {FIVE}"
    assert card.types_set() == {FOUR: 1148}
    assert host.set(devices=[{**entry, "count": 0, "name": "other"}], purge="owned")["changed"] is False
    assert card.types_set() == {FOUR: 1148}
    # A request for this function still means it.
    assert host.device(parent=FOUR, state="absent")["changed"] is True


def test_an_entry_that_shrinks_leaves_a_vgpu_that_was_set_by_hand(boot: Boot) -> None:
    card = Card("0000:41:00", 3)
    host = boot(card)
    host.set(devices=[{"type": SMALL, "count": 2, **STORED}])
    by_hand(host, FIVE, 0)
    by_hand(host, FIVE, 1148)
    assert host.set(devices=[{"type": SMALL, "count": 2, **STORED}])["changed"] is False
    assert host.set(devices=[{"type": SMALL, "count": 1, **STORED}])["changed"] is False
    assert card.types_set() == {FOUR: 1148, FIVE: 1148}


def test_a_note_ends_when_its_function_is_seen_without_a_vgpu(boot: Boot) -> None:
    """A program that does not truncate leaves the mark, so this is all that proves it."""
    card = Card("0000:41:00", 3)
    host = boot(card)
    host.set(devices=[{"type": SMALL, "count": 2}])
    card.functions[0].set_by_hand(0)
    assert host.set(name="others", devices=[])["changed"] is False
    card.functions[0].set_by_hand(1148)
    assert actions(host.set(devices=[], purge="owned")) == [f"remove {SMALL} on {FIVE}"]
    assert card.types_set() == {FOUR: 1148}


def test_a_vgpu_that_is_not_cleared_stays_owned(boot: Boot) -> None:
    card = Card("0000:41:00", 2)
    host = boot(card)
    host.set(devices=[{"type": SMALL}])
    card.broken = True
    refused = host.set(devices=[], purge="owned")
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", errno.EIO)
    card.broken = False
    assert host.set(devices=[], purge="owned")["changed"] is True
    assert card.types_set() == {}


def test_a_vgpu_that_is_set_again_gets_its_current_parameters(boot: Boot) -> None:
    card = Card("0000:41:00", 2)
    # The second card offers the type that the first one hides, and refuses what follows.
    host = boot(card, Card("0000:c1:00", 1))
    host.device(parent=FOUR, type=SMALL, attributes=params("frl=0"))
    (host.files.sys / "bus/pci/devices" / FOUR / PARAMS).write_text("frl=1\n")
    refused = host.device(parent=FOUR, type=HALF, recreate=True, attributes=params("x" * 1024))
    assert refused["error"]["rolled_back"] is True
    assert card.types_set() == {FOUR: 1148}
    assert (host.files.sys / "bus/pci/devices" / FOUR / PARAMS).read_text() == "frl=1\n"


def test_a_card_that_takes_one_size_is_named(boot: Boot) -> None:
    card = Card("0000:41:00", 4)
    host = boot(card)
    refused = host.set(devices=[{"type": SMALL}, {"type": HALF}])
    assert refused["error"]["kind"] == "no_room"
    assert (
        f"This run created {SMALL} on card 0000:41:00.0, which may take types of one size at a time" in refused["msg"]
    )
    assert card.types_set() == {}


def test_a_failed_creation_is_not_remembered(boot: Boot) -> None:
    card = Card("0000:41:00", 1)
    host = boot(card)
    card.broken = True
    refused = host.device(name="web", type=SMALL)
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", errno.EIO)
    assert f"setting vGPU type {SMALL} on {FOUR} failed: the kernel answered EIO" in refused["msg"]
    card.broken = False
    card.functions[0].set_by_hand(1148)
    assert host.device(name="web", state="absent")["changed"] is False


def test_a_function_of_another_set_does_not_count_as_freed_capacity(boot: Boot) -> None:
    host = boot(Card("0000:41:00", 3))
    host.set(devices=[{"type": SMALL}])
    host.set(name="others", devices=[{"type": SMALL, "count": 2}])
    checked = host.set(devices=[{"name": "web", "type": SMALL, "parents": [FIVE, SIX]}], purge="owned", check=True)
    assert checked["error"]["kind"] == "no_room"
    assert "each of 2 functions of card 0000:41:00.0: is a virtual function that already has its" in checked["msg"]


def test_only_the_unit_sets_types_at_boot(boot: Boot) -> None:
    card = Card("0000:41:00", 1)
    host = boot(card)
    host.install_mdevctl_rule()
    refused = host.device(parent=FOUR, type=SMALL, **STORED)
    assert refused["error"]["kind"] == "no_autostart"
    assert "the driver forgets them: vfio-mdev.service is not enabled" in refused["msg"]
    assert card.types_set() == {}
    assert host.device(parent=FOUR, type=SMALL, autostart=False, **STORED)["changed"] is True


REFUSALS: dict[str, tuple[dict[str, Any], str, list[str], int | None]] = {
    "another type": ({"parent": FOUR, "type": HALF}, "mismatch", [f"vGPU exists as type {SMALL}", HALF], None),
    "a type of another size": (
        {"parent": FIVE, "type": HALF},
        "no_room",
        [f"has 0 of {HALF} left (but 1 of {SMALL})"],
        None,
    ),
    "an unknown type": ({"parent": FIVE, "type": "NVIDIA A100-8C"}, "not_found", [SMALL_NAME], None),
    "a card without room": ({"name": "big", "type": WHOLE, "parent": "0000:41:00.0"}, "no_room", [FOUR, FIVE], None),
    "a parent that is not a function": ({"parent": "mtty", "state": "absent"}, "invalid_input", ["'mtty'"], None),
    "parameters that are too long": (
        {"parent": FIVE, "type": SMALL, "attributes": params("x" * 1024)},
        "kernel_refused",
        ["E2BIG", f"of vGPU on {FIVE}", "removed again"],
        errno.E2BIG,
    ),
}


@pytest.mark.parametrize(("request_", "error_kind", "words", "number"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(boot: Boot, request_: dict[str, Any], error_kind: str, words: list[str], number: int | None) -> None:
    card = Card("0000:41:00", 2)
    host = boot(card, Card("0000:c1:00", 1))
    host.device(parent=FOUR, type=SMALL)
    refused = host.device(**request_)
    assert (refused["error"]["kind"], refused["error"].get("errno")) == (error_kind, number), refused["msg"]
    assert all(word in refused["msg"] for word in words), refused["msg"]
    assert card.types_set() == {FOUR: 1148}


def test_a_vgpu_in_use_stays(boot: Boot) -> None:
    card = Card("0000:41:00", 2)
    host = boot(card)
    host.set(devices=[{"type": SMALL, "count": 2}])
    host.open_as_guest(card.functions[0].group, "web")
    assert [user["guest"] for user in (on(host, FOUR) or {})["used_by"]] == ["web"]
    for request_ in ({"state": "absent"}, {"type": SMALL, "active": False, **STORED}):
        refused = host.device(parent=FOUR, **request_)
        assert refused["error"]["kind"] == "in_use"
        assert f"vGPU on {FOUR} is in use by qemu-system-x86_64" in refused["msg"]
    purged = host.set(devices=[], purge="owned", on_in_use="skip")
    assert [vgpu["parent"] for vgpu in purged["kept"]] == [FOUR]
    assert card.types_set() == {FOUR: 1148}


SETS: dict[str, tuple[list[dict[str, Any]], dict[tuple[str, str], int]]] = {
    "as many as there are functions": ([{"type": SMALL, "count": 4}], {("41", SMALL): 4}),
    "on two cards": ([{"type": SMALL_NAME, "count": 6}], {("41", SMALL): 4, ("c1", SMALL): 2}),
    "spread": ([{"type": SMALL, "count": 4, "placement": "spread"}], {("41", SMALL): 2, ("c1", SMALL): 2}),
    # All four functions of a card promise one. It has memory for two, which only shows on creation.
    "more than a card has memory for": ([{"type": HALF, "count": 3}], {("41", HALF): 2, ("c1", HALF): 1}),
    "two sizes": ([{"type": SMALL}, {"type": WHOLE}], {("41", SMALL): 1, ("c1", WHOLE): 1}),
}


@pytest.mark.parametrize(("devices", "cards"), SETS.values(), ids=SETS)
def test_sets(boot: Boot, devices: list[dict[str, Any]], cards: dict[tuple[str, str], int]) -> None:
    host = boot(Card("0000:41:00", 4), Card("0000:c1:00", 4))
    done = host.set(devices=devices)
    assert not done.get("failed"), done["msg"]
    assert Counter((vgpu["parent"][5:7], vgpu["type"]) for vgpu in done["devices"]) == cards
    assert host.set(devices=devices)["changed"] is False
    assert [entry["uuids"] for entry in done["entries"]] == [[] for _entry in devices]
    assert sorted(name for entry in done["entries"] for name in entry["nodedevs"]) == sorted(
        vgpu["nodedev"] for vgpu in host.info()["devices"]
    )


def test_a_set_that_does_not_fit_leaves_nothing(boot: Boot) -> None:
    card = Card("0000:41:00", 4)
    host = boot(card)
    refused = host.set(devices=[{"type": HALF, "count": 3}])
    assert refused["error"]["kind"] == "no_room"
    assert "Rolled back by removing 2 new devices" in refused["msg"]
    assert card.types_set() == {}
    assert host.info()["devices"] == []


def test_a_set_grows_shrinks_and_is_removed(boot: Boot) -> None:
    card = Card("0000:41:00", 4)
    host = boot(card)
    host.set(name="other", devices=[{"type": SMALL}])
    for count in (2, 3, 1):
        apply_and_repeat(host, host.set, devices=[{"type": SMALL, "count": count}])
        assert card.types_set() == dict.fromkeys((FOUR, FIVE, SIX, "0000:41:00.7")[: count + 1], 1148)
    host.set(devices=[], purge="owned")
    assert card.types_set() == {FOUR: 1148}


def test_the_driver_forgets_and_the_unit_sets_again(boot: Boot) -> None:
    card = Card("0000:41:00", 4)
    host = boot(card)
    entries = [
        {"type": SMALL_NAME, "count": 2, "attributes": params("frl=0"), **STORED},
        {"name": "spare", "type": SMALL, "autostart": False, **STORED},
    ]
    host.set(devices=entries)
    host.device(parent="0000:41:00.7", type=SMALL)
    started = host.reboot()
    assert (started["code"], started["errors"]) == (0, "")
    assert f"vGPU on {SIX} of type {SMALL}: started" in started["output"]
    assert card.types_set() == {FOUR: 1148, SIX: 1148}
    again = host.set(devices=entries)
    assert actions(again) == [f"create {SMALL} on {FIVE}"]
    # The driver now hides the type on all functions, but its name is still known.
    host.device(parent="0000:41:00.7", type=SMALL)
    assert {vgpu["type_name"] for vgpu in host.info()["devices"]} == {SMALL_NAME}


def test_a_type_that_cannot_be_set_at_boot_is_reported(boot: Boot) -> None:
    card = Card("0000:41:00", 2)
    host = boot(card)
    host.device(parent=FOUR, type=SMALL, **STORED)
    host.files.drivers = ()
    late = host.reboot()
    assert (late["code"], late["errors"]) == (
        1,
        f"FAILED vGPU on {FOUR} of type {SMALL}: its parent did not appear, waited 0 s\n",
    )
