# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mdev_device on hosts with stand-in drivers."""

from __future__ import annotations

import errno
import time

import pytest
from drivers.hostile import Faulty, MisleadingDriver, NoOpDriver, RefusingDriver, slow
from drivers.kit.nodes import refuse
from drivers.kit.stand_in_host import MakeHost
from drivers.nvidia_sriov import Card
from drivers.samples import mtty

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks import device_files
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev import kernel

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"


def test_check_mode_real_run_and_repeat(make_host: MakeHost) -> None:
    host = make_host(mtty())
    checked = host.device(uuid=UUID, type="mtty-2", check=True)
    assert host.files.writes == []
    done = host.device(uuid=UUID, type="mtty-2")
    again = host.device(uuid=UUID, type="mtty-2")
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert checked["actions"] == done["actions"]
    assert done["device"]["iommu_group"] == 10
    assert host.info()["types"][1]["available_instances"] == 11
    assert host.device(uuid=UUID, state="absent")["device"] is None
    assert host.files.devices() == {}


def test_the_next_parent_is_used_if_one_is_full_despite_its_numbers(make_host: MakeHost) -> None:
    """For SR-IOV parents the sum over the functions overstates, and numbers lag."""
    full = MisleadingDriver("0000:41:00.4", 0, promise=1)
    free = MisleadingDriver("0000:41:00.5", 1)
    host = make_host(full, free)
    done = host.device(uuid=UUID, type="nvidia-471")
    assert done["device"]["parent"] == "0000:41:00.5"
    [rejected] = done["rejected_parents"]
    assert rejected["parent"] == "0000:41:00.4"
    assert "ENOSPC" in rejected["reason"]
    assert host.files.devices() == {UUID: "nvidia-471"}


def test_no_room_if_all_parents_are_full_despite_their_numbers(make_host: MakeHost) -> None:
    drivers = [MisleadingDriver(f"0000:41:00.{number}", 0, promise=1) for number in (4, 5)]
    refused = make_host(*drivers).device(uuid=UUID, type="nvidia-471")
    assert refused["error"]["kind"] == "no_room"
    assert "0000:41:00.4" in refused["msg"]
    assert "0000:41:00.5" in refused["msg"]


def test_a_named_parent_that_is_full_despite_its_numbers_is_an_error(make_host: MakeHost) -> None:
    host = make_host(MisleadingDriver("0000:41:00.4", 0, promise=1), mtty())
    refused = host.device(uuid=UUID, type="nvidia-471", parent="0000:41:00.4")
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", errno.ENOSPC)


def test_one_type_excludes_the_others_of_the_card(make_host: MakeHost) -> None:
    host = make_host(Card("0000:41:00", 3))
    assert host.device(uuid=UUID, type="nvidia-471", parent="0000:41:00.0")["device"]["parent"] == "0000:41:00.4"
    assert host.device(uuid=OTHER, type="nvidia-471", parent="41:00.0")["device"]["parent"] == "0000:41:00.5"
    refused = host.device(name="third", type="nvidia-472")
    assert refused["error"]["kind"] == "no_room"
    assert "nvidia-471" in refused["msg"]


def test_attributes_are_written_in_order(make_host: MakeHost) -> None:
    host = make_host(mtty(settings={"first": lambda _value: None, "second": lambda _value: None}))
    attributes = [{"name": "second", "value": "1"}, {"name": "first", "value": "2"}]
    host.device(uuid=UUID, type="mtty-1", attributes=attributes)
    written = [(path.rsplit("/", 1)[1], text) for path, text in host.files.writes]
    assert written == [("create", UUID), ("second", "1\n"), ("first", "2\n")]


def test_a_failed_attribute_rolls_the_device_back(make_host: MakeHost) -> None:
    host = make_host(mtty(settings={"limit": lambda _value: refuse(errno.EINVAL)}))
    refused = host.device(uuid=UUID, type="mtty-1", attributes=[{"name": "limit", "value": "7"}])
    assert (refused["error"]["kind"], refused["error"]["attribute"]) == ("kernel_refused", "limit")
    assert host.files.devices() == {}


def test_a_failed_replacement_leaves_the_old_device(make_host: MakeHost) -> None:
    host = make_host(mtty(settings={"limit": lambda _value: refuse(errno.EINVAL)}))
    host.device(uuid=UUID, type="mtty-2")
    refused = host.device(uuid=UUID, type="mtty-1", recreate=True, attributes=[{"name": "limit", "value": "7"}])
    assert refused["error"]["rolled_back"] is True
    assert host.files.devices() == {UUID: "mtty-2"}


def test_a_device_in_use_is_not_written_to(make_host: MakeHost) -> None:
    host = make_host(mtty())
    host.device(uuid=UUID, type="mtty-2")
    host.files.kernel.held.add(UUID)
    before = len(host.files.writes)
    for request in ({"state": "absent"}, {"type": "mtty-1", "recreate": True}):
        assert host.device(uuid=UUID, **request)["error"]["kind"] == "in_use"
    assert len(host.files.writes) == before


def test_a_removal_that_hangs_is_stopped_and_reported(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_files, "REMOVE_SECONDS", 0.3)
    host = make_host(mtty())
    host.device(uuid=UUID, type="mtty-2")
    host.files.kernel.removals_end.clear()
    refused = host.device(uuid=UUID, state="absent")
    assert (refused["error"]["kind"], refused["error"]["rolled_back"]) == ("removing", False)
    assert "did not finish the removal" in refused["msg"]
    [device] = host.info()["devices"]
    assert (device["uuid"], device["removing"], device["parent"]) == (UUID, True, "mtty")
    assert host.device(uuid=UUID, type="mtty-2")["error"]["kind"] == "removing"


def test_a_driver_that_accepts_a_device_and_does_nothing(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_files, "APPEAR_SECONDS", 0.1)
    refused = make_host(NoOpDriver()).device(uuid=UUID, type="mtty-1")
    assert refused["error"]["kind"] == "kernel_refused"
    assert "the device is not there" in refused["msg"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EIO, "EIO (Input/output error), the driver or the card failed: see the kernel log"),
        (errno.EEXIST, "EEXIST (File exists), a device with this UUID already exists on the host"),
        (errno.ENODEV, "ENODEV (No such device), the parent's driver is being unloaded"),
        (errno.EUSERS, "EUSERS (Too many users), the parent has no instance of this type left"),
    ],
)
def test_the_errno_and_its_meaning(make_host: MakeHost, number: int, words: str) -> None:
    refused = make_host(RefusingDriver(number)).device(uuid=UUID, type="mtty-1")
    assert refused["error"]["errno"] == number
    assert words in refused["msg"]
    assert "type mtty-1 on parent mtty" in refused["msg"]
    assert "has 24 of this type left" in refused["msg"]


def test_a_creation_that_hangs_leaves_others_and_the_lock(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_files, "WRITE_SECONDS", 0.2)
    card = Faulty({"*0000:41:00.5/*/nvidia-471/create": slow(1.0)}, Card("0000:41:00", 3))
    host = make_host(card, mtty())
    devices = [{"uuid": OTHER, "type": "mtty-1"}, {"uuid": UUID, "type": "nvidia-471", "parent": "0000:41:00.5"}]
    refused = host.set(name="a", devices=devices)
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", None)
    assert refused["error"]["rolled_back"] is False
    assert "the driver did not answer within 0.2 s, and the write still waits" in refused["msg"]
    assert "NOT rolled back: the driver may still create the device" in refused["msg"]
    assert "Rolled back by removing the new device" in refused["msg"]
    assert host.files.devices() == {}
    assert host.device(uuid=OTHER, type="mtty-1", lock_timeout=0)["changed"] is True


def test_an_attribute_that_hangs_is_an_error(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_files, "WRITE_SECONDS", 0.2)
    host = make_host(mtty(settings={"limit": lambda _value: time.sleep(0.5)}))
    refused = host.device(uuid=UUID, type="mtty-1", attributes=[{"name": "limit", "value": "7"}])
    assert (refused["error"]["errno"], refused["error"]["attribute"]) == (None, "limit")
    assert "The new device was removed again" in refused["msg"]


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "-0.5", "1e300"])
@pytest.mark.parametrize("option", ["lock_timeout", "wait_timeout"])
def test_times_that_nothing_can_wait_for(make_host: MakeHost, option: str, value: str) -> None:
    host = make_host(mtty())
    for refused in (
        host.device(uuid=UUID, type="mtty-1", **{option: value}),
        host.set(name="a", devices=[], **{option: value}),
    ):
        assert refused["error"] == {"kind": "invalid_input", "option": option}
        assert f"{option} is {float(value)}: it must be 0 or more seconds" in refused["msg"]
    assert host.files.writes == []


def test_a_new_device_that_cannot_be_read_is_reported(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host = make_host(mtty())
    monkeypatch.setattr(kernel, "read_mdev", lambda *_arguments: None)
    refused = host.device(uuid=UUID, type="mtty-1", persistent=False)
    assert list(host.files.devices()) == [UUID]
    assert "NOT rolled back: if it exists" in refused["msg"]
    assert refused["error"]["rolled_back"] is False
