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
from drivers.kit.changes import Change, Refusal, actions, apply_and_repeat, check_change, check_refusal, device
from drivers.kit.isolated_host import Boot, IsolatedHost
from drivers.nvidia_sriov import Card

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"
FIRST, SECOND = "0000:41:00.4", "0000:41:00.5"
SMALL, MIDDLE, WHOLE = "nvidia-471", "nvidia-472", "nvidia-474"
PARAMS = "nvidia/vgpu_params"

# The functions of a card with six of them.
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
    "removed": Change(
        {"uuid": UUID, "state": "absent"},
        [f"remove {SMALL} on {FIRST}", f"undefine {SMALL} on {FIRST}"],
        None,
        before=(DEFINED,),
    ),
}

REFUSALS = {
    "a second device on a function": Refusal(
        {"uuid": OTHER, "type": SMALL, "parent": FIRST}, "no_room", ["already has its one device"], before=(ACTIVE,)
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
    check_change(boot(Card("0000:41:00", 3)), change)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refusals(boot: Boot, refusal: Refusal) -> None:
    check_refusal(boot(Card("0000:41:00", 3)), refusal)


def left(host: IsolatedHost) -> dict[str, str]:
    """The available instances of every function, one digit per type."""
    info = host.info()
    [card] = info["cards"]
    offers = {
        parent["address"][8:]: card["types"] if parent["types"] is None else parent["types"]
        for parent in info["parents"]
    }
    ids = [mdev_type["id"] for mdev_type in info["types"]]
    return {address: "".join(str(offer.get(type_id, 0)) for type_id in ids) for address, offer in offers.items()}


def test_each_creation_changes_the_capacity_of_all_functions_of_the_card(boot: Boot) -> None:
    host = boot(Card("0000:41:00", 6))
    assert left(host) == dict.fromkeys(FUNCTIONS, "111")
    host.device(uuid=UUID, type=SMALL, parent=SECOND)
    assert left(host) == {**dict.fromkeys(FUNCTIONS, "100"), "00.5": "000"}
    host.set(devices=[{"type": SMALL, "count": 4}])
    # The card holds five devices, although one function is still free.
    assert left(host) == dict.fromkeys(FUNCTIONS, "000")
    assert "No parent has room" in host.info()["hints"][0]
    host.set(devices=[], purge="all")
    assert left(host) == dict.fromkeys(FUNCTIONS, "111")


SETS: dict[str, tuple[list[dict[str, Any]], dict[tuple[str, str], int]]] = {
    "as many as a card holds": ([{"type": SMALL, "count": 5}], {("41", SMALL): 5}),
    "more than a card holds": ([{"type": SMALL, "count": 7}], {("41", SMALL): 5, ("c1", SMALL): 2}),
    "two types": ([{"type": SMALL, "count": 2}, {"type": WHOLE}], {("41", SMALL): 2, ("c1", WHOLE): 1}),
    "spread": ([{"type": SMALL, "count": 4, "placement": "spread"}], {("41", SMALL): 2, ("c1", SMALL): 2}),
    "on a NUMA node": ([{"type": SMALL, "count": 2, "numa_node": 0}], {("c1", SMALL): 2}),
}


@pytest.mark.parametrize(("devices", "cards"), SETS.values(), ids=SETS)
def test_sets(boot: Boot, devices: list[dict[str, Any]], cards: dict[tuple[str, str], int]) -> None:
    host = boot(Card("0000:41:00", 6), Card("0000:c1:00", 6, numa_node=0))
    answers = host.info(capacity=devices)["capacity"]
    assert all(answer["fits"] for answer in answers)
    planned: Counter[tuple[str, str]] = Counter()
    for answer in answers:
        for placement in answer["placements"]:
            planned[placement["parent"][5:7], answer["type"]] += placement["count"]
    assert planned == cards
    done = apply_and_repeat(host, host.set, devices=devices)
    assert Counter((device["parent"][5:7], device["type"]) for device in done["devices"]) == cards
    assert {shown["uuid"]: shown["type"] for shown in host.info()["devices"]} == host.files.devices()


def test_a_set_that_does_not_fit_is_refused_before_anything_is_written(boot: Boot) -> None:
    host = boot(Card("0000:41:00", 6))
    [answer] = host.info(capacity=[{"type": SMALL, "count": 6}])["capacity"]
    assert (answer["fits"], answer["fitting"]) == (False, 5)
    refused = host.set(devices=[{"type": SMALL, "count": 6}])
    assert refused["error"]["kind"] == "no_room"
    assert "holds at most 5" in refused["msg"]
    assert host.files.writes == []


def test_a_running_guest_keeps_its_device_and_parameters(boot: Boot) -> None:
    host = boot(Card("0000:41:00", 3))
    host.device(**DEFINED)
    pid = host.give_to_guest(UUID, "web")
    written = len(host.files.writes)
    for request in ({"state": "absent"}, {"type": MIDDLE, "recreate": True}, {**DEFINED, "active": False}):
        refused = host.device(**{"uuid": UUID, **request})
        assert refused["error"]["kind"] == "in_use"
        assert refused["error"]["used_by"] == [{"pid": pid, "command": "qemu-system-x86_64", "guest": "web"}]
    assert len(host.files.writes) == written
    # The driver does not accept parameters now (EPERM), so they apply at the next start.
    later = host.device(**{**DEFINED, "attributes": params("frame_rate_limiter=1")})
    assert actions(later) == [f"define {SMALL} on {FIRST}"]
    assert "takes effect when the device is next started" in str(later["warnings"])
    refused = host.device(**{**ACTIVE, "attributes": params("frame_rate_limiter=2")})
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", errno.EPERM)
    host.stop_guests()
    assert host.device(uuid=UUID, state="absent")["changed"]
    assert host.files.devices() == {}


def test_a_definition_restores_the_device_after_a_boot(boot: Boot) -> None:
    card = Card("0000:41:00", 3)
    host = boot(card)
    host.device(**DEFINED)
    host.files.boot(card)
    assert host.files.devices() == {}
    again = apply_and_repeat(host, host.device, **DEFINED)
    assert actions(again) == [f"create {SMALL} on {FIRST}", f"write frame_rate_limiter=0 to {PARAMS}"]
    shown = device(host, UUID)
    assert shown is not None
    assert (shown["active"], shown["drift"]) == (True, [])


def test_the_next_function_is_used_if_the_driver_refuses_the_first(boot: Boot) -> None:
    """If the card or the function was taken in between, NVIDIA's driver answers EIO."""
    create = f"*/{FIRST}/mdev_supported_types/{SMALL}/create"
    host = boot(Faulty({create: failing(errno.EIO)}, Card("0000:41:00", 3)))
    done = host.device(uuid=UUID, type=SMALL)
    assert done["device"]["parent"] == SECOND
    [rejected] = [parent for parent in done["rejected_parents"] if parent["parent"] == FIRST]
    assert "EIO (Input/output error)" in rejected["reason"]
    refused = host.device(uuid=OTHER, type=SMALL, parent=FIRST)
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", errno.EIO)
    assert "for a type that the card can't take now" in refused["msg"]
