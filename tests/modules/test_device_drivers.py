# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mdev_device on hosts whose drivers answer as cards do."""

from __future__ import annotations

import errno

import pytest
from drivers.hostile import Idle, Liar, Refusing
from drivers.kit.asked import Build
from drivers.kit.nodes import refuse
from drivers.nvidia_sriov import Card
from drivers.samples import mtty

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev import kernel as _kernel

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"


def test_check_mode_the_real_run_and_again(on_host: Build) -> None:
    ask = on_host(mtty())
    checked = ask.device(uuid=UUID, type="mtty-2", check=True)
    assert ask.host.writes == []
    done = ask.device(uuid=UUID, type="mtty-2")
    again = ask.device(uuid=UUID, type="mtty-2")
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert checked["actions"] == done["actions"]
    assert done["device"]["iommu_group"] == 10
    assert ask.info()["types"][1]["available_instances"] == 11
    assert ask.device(uuid=UUID, state="absent")["device"] is None
    assert ask.host.devices() == {}


def test_a_parent_that_promises_room_it_has_not_is_left_for_the_next(on_host: Build) -> None:
    """Of SR-IOV parents the sum over the functions overstates, and numbers lag behind."""
    liar = Liar("0000:41:00.4", 0, promise=1)
    honest = Liar("0000:41:00.5", 1)
    ask = on_host(liar, honest)
    done = ask.device(uuid=UUID, type="nvidia-471")
    assert done["device"]["parent"] == "0000:41:00.5"
    [rejected] = done["rejected_parents"]
    assert rejected["parent"] == "0000:41:00.4"
    assert "ENOSPC" in rejected["reason"]
    assert ask.host.devices() == {UUID: "nvidia-471"}


def test_no_parent_keeps_its_promise(on_host: Build) -> None:
    liars = [Liar(f"0000:41:00.{number}", 0, promise=1) for number in (4, 5)]
    refused = on_host(*liars).device(uuid=UUID, type="nvidia-471")
    assert refused["error"]["kind"] == "no_room"
    assert "0000:41:00.4" in refused["msg"]
    assert "0000:41:00.5" in refused["msg"]


def test_a_named_parent_that_breaks_its_promise_is_an_error(on_host: Build) -> None:
    ask = on_host(Liar("0000:41:00.4", 0, promise=1), mtty())
    refused = ask.device(uuid=UUID, type="nvidia-471", parent="0000:41:00.4")
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", errno.ENOSPC)


def test_one_type_excludes_the_others_of_the_card(on_host: Build) -> None:
    ask = on_host(Card("0000:41:00", 3))
    assert ask.device(uuid=UUID, type="nvidia-471", parent="0000:41:00.0")["device"]["parent"] == "0000:41:00.4"
    assert ask.device(uuid=OTHER, type="nvidia-471", parent="41:00.0")["device"]["parent"] == "0000:41:00.5"
    refused = ask.device(name="third", type="nvidia-472")
    assert refused["error"]["kind"] == "no_room"
    assert "nvidia-471" in refused["msg"]


def test_attributes_are_written_in_order(on_host: Build) -> None:
    ask = on_host(mtty(settings={"first": lambda _value: None, "second": lambda _value: None}))
    attributes = [{"name": "second", "value": "1"}, {"name": "first", "value": "2"}]
    ask.device(uuid=UUID, type="mtty-1", attributes=attributes)
    written = [(path.rsplit("/", 1)[1], text) for path, text in ask.host.writes]
    assert written == [("create", UUID), ("second", "1\n"), ("first", "2\n")]


def test_an_attribute_that_fails_takes_the_device_back(on_host: Build) -> None:
    ask = on_host(mtty(settings={"limit": lambda _value: refuse(errno.EINVAL)}))
    refused = ask.device(uuid=UUID, type="mtty-1", attributes=[{"name": "limit", "value": "7"}])
    assert (refused["error"]["kind"], refused["error"]["attribute"]) == ("kernel_refused", "limit")
    assert ask.host.devices() == {}


def test_a_replacement_that_fails_leaves_the_old_device(on_host: Build) -> None:
    ask = on_host(mtty(settings={"limit": lambda _value: refuse(errno.EINVAL)}))
    ask.device(uuid=UUID, type="mtty-2")
    refused = ask.device(uuid=UUID, type="mtty-1", recreate=True, attributes=[{"name": "limit", "value": "7"}])
    assert refused["error"]["taken_back"] is True
    assert ask.host.devices() == {UUID: "mtty-2"}


def test_a_device_in_use_is_not_written_to(on_host: Build) -> None:
    ask = on_host(mtty())
    ask.device(uuid=UUID, type="mtty-2")
    ask.host.kernel.held.add(UUID)
    before = len(ask.host.writes)
    for request in ({"state": "absent"}, {"type": "mtty-1", "recreate": True}):
        assert ask.device(uuid=UUID, **request)["error"]["kind"] == "in_use"
    assert len(ask.host.writes) == before


def test_a_removal_that_hangs_is_given_up_and_named(on_host: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kernel, "REMOVE_SECONDS", 0.3)
    ask = on_host(mtty())
    ask.device(uuid=UUID, type="mtty-2")
    ask.host.kernel.removals_end.clear()
    refused = ask.device(uuid=UUID, state="absent")
    assert refused["error"]["kind"] == "removing"
    assert "did not finish the removal" in refused["msg"]
    [half] = ask.info()["devices"]
    assert (half["uuid"], half["removing"], half["parent"]) == (UUID, True, "mtty")
    assert ask.device(uuid=UUID, type="mtty-2")["error"]["kind"] == "removing"


def test_a_driver_that_says_yes_and_does_nothing(on_host: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kernel, "APPEAR_SECONDS", 0.1)
    refused = on_host(Idle()).device(uuid=UUID, type="mtty-1")
    assert refused["error"]["kind"] == "kernel_refused"
    assert "the device is not there" in refused["msg"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EIO, "EIO (Input/output error), the driver or the card failed: see the kernel log"),
        (errno.EEXIST, "EEXIST (File exists), a device with this UUID is already on the host"),
        (errno.ENODEV, "ENODEV (No such device), the parent's driver is being unloaded"),
        (errno.EUSERS, "EUSERS (Too many users), the parent has no instance of this type left"),
    ],
)
def test_what_the_kernel_said_and_what_it_means(on_host: Build, number: int, words: str) -> None:
    refused = on_host(Refusing(number)).device(uuid=UUID, type="mtty-1")
    assert refused["error"]["errno"] == number
    assert words in refused["msg"]
    assert "type mtty-1 on parent mtty" in refused["msg"]
    assert "has 24 of this type left" in refused["msg"]
