# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on NVIDIA's cards with SR-IOV."""

from __future__ import annotations

import errno
from collections import Counter
from typing import Any

import pytest

from drivers.hostile import Faulty, failing
from drivers.kit.changes import Change, Refusal, actions, device, show, show_refusal, thrice
from drivers.kit.machine import Boot, Machine
from drivers.nvidia_sriov import Card

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"
FIRST, SECOND = "0000:41:00.4", "0000:41:00.5"
SMALL, MIDDLE, WHOLE = "nvidia-471", "nvidia-472", "nvidia-474"
PARAMS = "nvidia/vgpu_params"

# Of a card with six functions.
FUNCTIONS = ("00.4", "00.5", "00.6", "00.7", "01.0", "01.1")


def params(text: str) -> list[dict[str, str]]:
    return [{"name": PARAMS, "value": text}]


ACTIVE = {"uuid": UUID, "type": SMALL, "parent": FIRST}
DEFINED = {**ACTIVE, "persistent": True, "attributes": params("frame_rate_limiter=0")}

CHANGES = {
    "on a function": Change(
        ACTIVE,
        [f"create {SMALL} on {FIRST}"],
        {"active": True, "defined": False, "type_name": "NVIDIA A100-8C", "numa_node": 1, "in_use": False},
    ),
    "on any function of a card": Change(
        {"uuid": UUID, "type": "NVIDIA A100-8C", "parent": "0000:41:00.0"},
        [f"create {SMALL} on {FIRST}"],
        {"parent": FIRST, "parent_nodedev": "pci_0000_41_00_4", "type": SMALL},
    ),
    "on the next function": Change(
        {"uuid": OTHER, "type": SMALL}, [f"create {SMALL} on {SECOND}"], {"parent": SECOND}, before=(ACTIVE,)
    ),
    "with parameters, and at the next boot": Change(
        DEFINED,
        [f"create {SMALL} on {FIRST}", f"write frame_rate_limiter=0 to {PARAMS}", f"define {SMALL} on {FIRST}"],
        {"active": True, "defined": True, "autostart": True, "attributes": params("frame_rate_limiter=0")},
    ),
    "only at the next boot": Change(
        {**DEFINED, "active": False}, [f"define {SMALL} on {FIRST}"], {"active": False, "defined": True}
    ),
    "other parameters": Change(
        {**DEFINED, "attributes": params("frame_rate_limiter=1")},
        [f"write frame_rate_limiter=1 to {PARAMS}", f"define {SMALL} on {FIRST}"],
        {"attributes": params("frame_rate_limiter=1")},
        before=(DEFINED,),
    ),
    "another type": Change(
        {**ACTIVE, "type": MIDDLE, "recreate": True},
        [f"remove {SMALL} on {FIRST}", f"create {MIDDLE} on {FIRST}"],
        {"type": MIDDLE, "active": True},
        before=(ACTIVE,),
    ),
    "another function": Change(
        {**ACTIVE, "parent": SECOND, "recreate": True},
        [f"remove {SMALL} on {FIRST}", f"create {SMALL} on {SECOND}"],
        {"parent": SECOND},
        before=(ACTIVE,),
    ),
    "away": Change(
        {"uuid": UUID, "state": "absent"},
        [f"remove {SMALL} on {FIRST}", f"undefine {SMALL} on {FIRST}"],
        None,
        before=(DEFINED,),
    ),
}

REFUSALS = {
    "a second device on a function": Refusal(
        {"uuid": OTHER, "type": SMALL, "parent": FIRST}, "no_room", [f"has 0 of {SMALL} left"], before=(ACTIVE,)
    ),
    "a second type on a card": Refusal(
        {"uuid": OTHER, "type": MIDDLE, "parent": "0000:41:00.0"},
        "no_room",
        [f"has 0 of {MIDDLE} left (but 1 of {SMALL})"],
        before=(ACTIVE,),
    ),
    "a type that the card does not have": Refusal(
        {"uuid": UUID, "type": "nvidia-999"}, "not_found", ["nvidia-999", "NVIDIA A100-40C"]
    ),
    "another type under the same UUID": Refusal({**ACTIVE, "type": MIDDLE}, "mismatch", [SMALL], before=(ACTIVE,)),
    "parameters that are too long": Refusal(
        {**ACTIVE, "attributes": params("x" * 1024)}, "kernel_refused", ["E2BIG", PARAMS], errno.E2BIG, writes=True
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes(boot: Boot, change: Change) -> None:
    show(boot(Card("0000:41:00", 3)), change)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refusals(boot: Boot, refusal: Refusal) -> None:
    show_refusal(boot(Card("0000:41:00", 3)), refusal)


def left(machine: Machine) -> dict[str, str]:
    """How many of each type every function has left, a digit a type."""
    parents = machine.info()["parents"]
    return {one["address"][8:]: "".join(str(kind["available_instances"]) for kind in one["types"]) for one in parents}


def test_each_creation_changes_the_room_of_all_functions_of_the_card(boot: Boot) -> None:
    machine = boot(Card("0000:41:00", 6))
    assert left(machine) == dict.fromkeys(FUNCTIONS, "111")
    machine.device(uuid=UUID, type=SMALL, parent=SECOND)
    assert left(machine) == {**dict.fromkeys(FUNCTIONS, "100"), "00.5": "000"}
    machine.set(devices=[{"type": SMALL, "count": 4}])
    # Five are all that the card takes, though one function is free.
    assert left(machine) == dict.fromkeys(FUNCTIONS, "000")
    assert "No parent has room" in machine.info()["hints"][0]
    machine.set(devices=[], purge="all")
    assert left(machine) == dict.fromkeys(FUNCTIONS, "111")


SETS: dict[str, tuple[list[dict[str, Any]], dict[tuple[str, str], int]]] = {
    "as many as a card takes": ([{"type": SMALL, "count": 5}], {("41", SMALL): 5}),
    "more than a card takes": ([{"type": SMALL, "count": 7}], {("41", SMALL): 5, ("c1", SMALL): 2}),
    "two types": ([{"type": SMALL, "count": 2}, {"type": WHOLE}], {("41", SMALL): 2, ("c1", WHOLE): 1}),
    "spread": ([{"type": SMALL, "count": 4, "placement": "spread"}], {("41", SMALL): 2, ("c1", SMALL): 2}),
    "on a NUMA node": ([{"type": SMALL, "count": 2, "numa_node": 0}], {("c1", SMALL): 2}),
}


@pytest.mark.parametrize(("devices", "cards"), SETS.values(), ids=SETS)
def test_sets(boot: Boot, devices: list[dict[str, Any]], cards: dict[tuple[str, str], int]) -> None:
    machine = boot(Card("0000:41:00", 6), Card("0000:c1:00", 6, numa_node=0))
    fits = machine.info(want=devices)["want"]
    assert all(one["fits"] for one in fits)
    planned: Counter[tuple[str, str]] = Counter()
    for one in fits:
        for each in one["placement"]:
            planned[each["parent"][5:7], one["type"]] += each["count"]
    assert planned == cards
    done = thrice(machine, machine.set, devices=devices)
    assert Counter((one["parent"][5:7], one["type"]) for one in done["devices"]) == cards
    assert {one["uuid"]: one["type"] for one in machine.info()["devices"]} == machine.host.devices()


def test_a_set_that_no_card_has_room_for_is_known_before_anything_is_written(boot: Boot) -> None:
    machine = boot(Card("0000:41:00", 6))
    [fit] = machine.info(want=[{"type": SMALL, "count": 6}])["want"]
    assert (fit["fits"], fit["fitting"]) == (False, 5)
    refused = machine.set(devices=[{"type": SMALL, "count": 6}])
    assert refused["error"]["kind"] == "no_room"
    assert "holds at most 5" in refused["msg"]
    assert machine.host.writes == []


def test_a_guest_that_runs_keeps_its_device_and_its_parameters(boot: Boot) -> None:
    machine = boot(Card("0000:41:00", 3))
    machine.device(**DEFINED)
    pid = machine.give_to_guest(UUID, "web")
    written = len(machine.host.writes)
    for request in ({"state": "absent"}, {"type": MIDDLE, "recreate": True}, {**DEFINED, "active": False}):
        refused = machine.device(**{"uuid": UUID, **request})
        assert refused["error"]["kind"] == "in_use"
        assert refused["error"]["used_by"] == [{"pid": pid, "command": "qemu-system-x86_64", "guest": "web"}]
    assert len(machine.host.writes) == written
    # The driver does not take parameters now (EPERM): they are for the next start.
    later = machine.device(**{**DEFINED, "attributes": params("frame_rate_limiter=1")})
    assert actions(later) == [f"define {SMALL} on {FIRST}"]
    assert "takes effect when the device is next started" in str(later["warnings"])
    refused = machine.device(**{**ACTIVE, "attributes": params("frame_rate_limiter=2")})
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", errno.EPERM)
    machine.stop_guests()
    assert machine.device(uuid=UUID, state="absent")["changed"]
    assert machine.host.devices() == {}


def test_after_a_boot_the_definition_says_what_was_there(boot: Boot) -> None:
    card = Card("0000:41:00", 3)
    machine = boot(card)
    machine.device(**DEFINED)
    machine.host.boot(card)
    assert machine.host.devices() == {}
    again = thrice(machine, machine.device, **DEFINED)
    assert actions(again) == [f"create {SMALL} on {FIRST}", f"write frame_rate_limiter=0 to {PARAMS}"]
    shown = device(machine, UUID)
    assert shown is not None
    assert (shown["active"], shown["drift"]) == (True, [])


def test_a_function_that_the_driver_refuses_at_the_last_moment_is_left_for_the_next(boot: Boot) -> None:
    """Somebody else has filled the card, or taken the function, since it was asked: NVIDIA's driver calls that EIO."""
    create = f"*/{FIRST}/mdev_supported_types/{SMALL}/create"
    machine = boot(Faulty({create: failing(errno.EIO)}, Card("0000:41:00", 3)))
    done = machine.device(uuid=UUID, type=SMALL)
    assert done["device"]["parent"] == SECOND
    [rejected] = [one for one in done["rejected_parents"] if one["parent"] == FIRST]
    assert "EIO (Input/output error)" in rejected["reason"]
    refused = machine.device(uuid=OTHER, type=SMALL, parent=FIRST)
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", errno.EIO)
    assert "of a type that the card can't take now" in refused["msg"]
