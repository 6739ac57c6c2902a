# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's cards in each of their modes, from the bare card to devices, through a boot, and back."""

from __future__ import annotations

import importlib
import io
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from run_module import run_module

from drivers.kit.host_files import HostFiles
from drivers.kit.stand_in_host import StandInHost
from drivers.nvidia_modes import Card, Cards, rtx_pro

_UTILS = "ansible_collections.vfio.mdev.plugins.module_utils"
enable_vfs = importlib.import_module(f"{_UTILS}._boot.enable_vfs")
start_devices = importlib.import_module(f"{_UTILS}._boot.start_devices")
request = importlib.import_module(f"{_UTILS}._sriov.request")
modes = importlib.import_module(f"{_UTILS}._sriov.modes")
nvidia_modes = importlib.import_module(f"{_UTILS}._sriov.nvidia_modes")
paths = importlib.import_module(f"{_UTILS}._host.paths")
cards = importlib.import_module(f"{_UTILS}._sriov.cards")
errors = importlib.import_module(f"{_UTILS}._model.errors")


class CardHost(StandInHost):
    """A host with NVIDIA's cards and tools."""

    def __init__(self, files: Any, cards: Cards, paths: dict[str, str]) -> None:
        super().__init__(files, partial(run_module, **paths))
        self.tools = cards
        self.paths = paths

    def vfs(self, options: dict[str, Any], **more: Any) -> dict[str, Any]:
        address = self.tools.cards[0].address
        return run_module(
            "mdev_vfs",
            sysfs_path=self.paths["sysfs_path"],
            **{"cards": [{"address": address, **options}], "wait_timeout": 5, **more},
        )

    def done(self) -> list[str]:
        """The commands since the last call that change something."""
        reading = ("nvidia-smi -q", "nvidia-smi mig -lgi", "nvidia-smi vgpu -s")
        changing = [command for command in self.tools.commands if not command.startswith(reading)]
        self.tools.commands.clear()
        return changing

    @contextmanager
    def guest(self) -> Iterator[None]:
        """This process holds the first vGPU, as QEMU does."""
        groups = [device.group for device in self.files.kernel.devices.values()]
        groups += [function.group for function in self.tools.cards[0].functions if not groups and function.type]
        handle = os.open(self.files.root / "dev/vfio" / str(groups[0]), os.O_RDWR)
        try:
            yield
        finally:
            os.close(handle)

    def boot_vfs(self, boot_cards: list[dict[str, Any]]) -> tuple[int, str]:
        """What vfio-mdev-vfs.service does."""
        words = [str(card) for card in request.vfs_requests(boot_cards)]
        return self.program(enable_vfs, "--sysfs", self.paths["sysfs_path"], "--wait", "2", *words)

    def reboot(self, boot_cards: list[dict[str, Any]]) -> list[tuple[int, str]]:
        """What both units do after a boot."""
        self.files.boot(*self.files.drivers)
        return [self.boot_vfs(boot_cards), self.start()]

    def start(self) -> tuple[int, str]:
        """What vfio-mdev.service does."""
        folders = ("--sysfs", self.paths["sysfs_path"], "--definitions", self.paths["definitions_path"])
        return self.program(start_devices, *folders, "--wait", "1")

    def program(self, program: Any, *arguments: str) -> tuple[int, str]:
        output = io.StringIO()
        with mock.patch.object(sys, "argv", ["program", *arguments]), redirect_stdout(output), redirect_stderr(output):
            code = program.main()
        return code, output.getvalue()


Hosts = Callable[..., CardHost]


@pytest.fixture
def host(host_files: HostFiles, tmp_path: Path) -> Iterator[Hosts]:
    for folder in ("tools", "mdevctl.d"):
        (tmp_path / folder).mkdir()

    def boot(*cards: Card) -> CardHost:
        tools = Cards(host_files.root, tmp_path / "tools", *cards)
        host_files.boot(tools)
        paths = {"sysfs_path": str(host_files.sys), "definitions_path": str(tmp_path / "mdevctl.d")}
        return CardHost(host_files, tools, paths)

    yield boot
    host_files.boot()
    for path in host_files.run.iterdir():
        shutil.rmtree(path)


def a100() -> Card:
    return Card(count=8)


@dataclass(frozen=True)
class Mode:
    """A way to slice a card.

    commands: in order; shown: what mdev_info then reports about the card; reason: what an error says without the mode
    """

    card: Callable[[], Card]
    request: dict[str, Any]
    devices: list[dict[str, Any]]
    commands: list[str]
    shown: dict[str, Any] = field(default_factory=dict)
    off: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    @property
    def wanted(self) -> Counter[str]:
        return Counter({entry["type"]: entry.get("count", 1) for entry in self.devices})


def enable(address: str) -> str:
    return f"sriov-manage -e {address}"


A, B = "0000:41:00.0", "0001:c8:00.0"
PRO = "NVIDIA RTX Pro 6000 Blackwell DC"
MODES = {
    "equal sizes, mdev": Mode(
        a100, {}, [{"type": "NVIDIA A100-8C", "count": 5}], [enable(A)], {"mixed_sizes": False, "mig": False}
    ),
    "equal sizes, vendor VFIO": Mode(
        rtx_pro,
        {},
        [{"type": f"{PRO}-3Q", "count": 2}, {"type": f"{PRO}-3A", "count": 2}],
        [enable(B)],
        {"mixed_sizes": False},
    ),
    "mixed sizes, mdev": Mode(
        a100,
        {"mixed_sizes": True},
        [{"type": "NVIDIA A100-8C", "count": 2}, {"type": "NVIDIA A100-10C", "count": 2}],
        [enable(A), f"nvidia-smi vgpu -i {A} -shm 1"],
        {"mixed_sizes": True},
        {"mixed_sizes": False},
        "takes types of one size at a time (mixed_sizes is off)",
    ),
    "mixed sizes, vendor VFIO": Mode(
        rtx_pro,
        {"mixed_sizes": True},
        [{"type": f"{PRO}-3Q", "count": 2}, {"type": f"{PRO}-6Q", "count": 2}],
        [enable(B), f"nvidia-smi vgpu -i {B} -shm 1"],
        {"mixed_sizes": True},
        {"mixed_sizes": False},
        "takes types of one size at a time (mixed_sizes is off)",
    ),
    "MIG, mdev": Mode(
        a100,
        {"mig": ["3g.20gb", "1g.5gb", "1g.5gb"]},
        [{"type": "NVIDIA A100-3-20C"}, {"type": "NVIDIA A100-1-5C", "count": 2}],
        [f"nvidia-smi -i {A} -mig 1", enable(A), f"nvidia-smi mig -i {A} -cgi 3g.20gb,1g.5gb,1g.5gb -C"],
        {"mig": True, "gpu_instances": ["3g.20gb", "1g.5gb", "1g.5gb"], "mixed_sizes": None},
        {"mig": []},
    ),
    "MIG, derived, vendor VFIO": Mode(
        rtx_pro,
        {"mig": ["auto"]},
        [{"type": f"{PRO}-1-12Q", "count": 3}, {"type": f"{PRO}-1-24Q"}],
        [f"nvidia-smi -i {B} -mig 1", enable(B), f"nvidia-smi mig -i {B} -cgi 47,47,47 -C"],
        {"mig": True, "gpu_instances": ["1g.24gb"] * 3},
        {"mig": []},
    ),
}


def placed(host: CardHost) -> Counter[str]:
    return Counter(device["type_name"] for device in host.info()["devices"] if device["active"])


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_from_the_bare_card_to_devices_through_a_boot_and_back(host: Hosts, mode: Mode) -> None:
    on = host(mode.card())
    sets = [{"name": "tenant-a", "devices": mode.devices}]
    wanted = mode.wanted
    # Check mode, for real, and again.
    checked = on.vfs(mode.request, sets=sets, check=True, diff=True)
    assert on.done() == []
    done = on.vfs(mode.request, sets=sets, diff=True)
    assert not done.get("failed"), done["msg"]
    assert on.done() == mode.commands
    assert (checked["changed"], checked["actions"], checked["diff"]) == (True, done["actions"], done["diff"])
    again = on.vfs(mode.request, sets=sets)
    assert (again["changed"], again["actions"], on.done()) == (False, [], [])
    assert again["boot_cards"] == done["boot_cards"] == checked["boot_cards"]
    # Devices, and again.
    made = on.set(devices=mode.devices, persistent=True, purge="owned")
    assert not made.get("failed"), made["msg"]
    assert on.set(devices=mode.devices, persistent=True, purge="owned")["changed"] is False
    assert placed(on) == wanted
    [card] = on.info()["cards"]
    assert mode.shown.items() <= card.items()
    assert on.vfs(mode.request, sets=sets)["changed"] is False
    # A boot loses everything but MIG mode, and the units bring it back.
    assert [code for code, _output in on.reboot(done["boot_cards"])] == [0, 0]
    assert placed(on) == wanted
    assert on.vfs(mode.request, sets=sets)["changed"] is False
    assert on.set(devices=mode.devices, persistent=True, purge="owned")["changed"] is False
    # And back to the bare card.
    assert on.vfs({"num_vfs": "0", **mode.off})["error"]["kind"] == "has_devices"
    assert on.set(devices=[], purge="owned")["changed"] is True
    assert not on.vfs({"num_vfs": "0", **mode.off}).get("failed")
    assert (on.tools.cards[0].enabled, on.tools.cards[0].mig, on.tools.cards[0].mixed_sizes) == (False, False, False)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_card_with_a_vgpu_keeps_its_mode(host: Hosts, mode: Mode) -> None:
    on = host(mode.card())
    on.vfs(mode.request, sets=[{"name": "a", "devices": mode.devices}])
    on.set(devices=mode.devices)
    on.done()
    off = mode.off or {"num_vfs": "0"}
    for check in (True, False):
        refused = on.vfs(off, check=check)
        assert refused["error"]["kind"] == "has_devices"
        assert "Nothing was changed" in refused["msg"]
        assert ("is only possible while the card has no device" in refused["msg"]) is bool(mode.off)
        with on.guest():
            refused = on.vfs(off, check=check)
            kept = on.set(devices=[], purge="owned", check=check)
        assert refused["error"]["kind"] == "in_use"
        assert f"(pid {os.getpid()})" in refused["msg"]
        assert kept["error"]["kind"] == "in_use"
    assert on.done() == []
    assert placed(on) == mode.wanted


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_devices_before_the_functions(host: Hosts, mode: Mode) -> None:
    """On a bare card, and at a boot whose units run in the wrong order. The next run mends it."""
    on = host(mode.card())
    sets = [{"name": "tenant-a", "devices": mode.devices}]
    for check in (True, False):
        refused = on.set(devices=mode.devices, persistent=True, check=check)
        assert refused["error"]["kind"] == "not_found", refused["msg"]
    assert on.info()["hints"][0].startswith(f"NVIDIA GPU {on.tools.cards[0].address} has 0 of ")
    done = on.vfs(mode.request, sets=sets)
    assert not on.set(devices=mode.devices, persistent=True).get("failed")
    on.files.boot(*on.files.drivers)
    code, output = on.start()
    assert (code, placed(on)) == (1, Counter())
    assert output.count("0000:41:00.4" if mode.card is a100 else "0001:c8:00.4")
    assert [on.boot_vfs(done["boot_cards"])[0], on.start()[0]] == [0, 0]
    assert placed(on) == mode.wanted


@pytest.mark.parametrize("mode", [mode for mode in MODES.values() if mode.off], ids=[n for n in MODES if MODES[n].off])
def test_devices_before_the_mode(host: Hosts, mode: Mode) -> None:
    """The functions are on, the mode is not. Devices of another mode keep it from being changed."""
    on = host(mode.card())
    sets = [{"name": "tenant-a", "devices": mode.devices}]
    on.vfs({})
    for check in (True, False):
        refused = on.set(devices=mode.devices, check=check)
        assert refused["error"]["kind"] in ("no_room", "not_found", "multiple"), refused["msg"]
        assert mode.reason in refused["msg"]
    assert placed(on) == Counter()
    sliced = [{"type": "NVIDIA A100-8C" if mode.card is a100 else f"{PRO}-3Q"}]
    assert not on.set(name="early", devices=sliced).get("failed")
    on.done()
    for check in (True, False):
        assert on.vfs(mode.request, sets=sets, check=check)["error"]["kind"] == "has_devices"
        with on.guest():
            assert on.vfs(mode.request, sets=sets, check=check)["error"]["kind"] == "in_use"
    assert on.done() == []
    on.set(name="early", devices=[], purge="owned")
    changed = on.vfs(mode.request, sets=sets)
    assert not changed.get("failed"), changed["msg"]
    made = on.set(devices=mode.devices)
    assert not made.get("failed"), made["msg"]
    assert placed(on) == mode.wanted


@pytest.mark.parametrize("mode", [mode for mode in MODES.values() if mode.off], ids=[n for n in MODES if MODES[n].off])
def test_a_mode_before_the_functions(host: Hosts, mode: Mode) -> None:
    """By hand: the mode reads as set, then the functions end it, then only what is missing is done again."""
    on = host(mode.card())
    card = on.tools.cards[0]
    sets = [{"name": "tenant-a", "devices": mode.devices}]
    if "mixed_sizes" in mode.request:
        card.set_mixed_sizes("1")
    else:
        card.set_mig("1")
        card.create_instances("1g.5gb" if mode.card is a100 else "47")
    card.sriov_manage("-e")
    for check in (True, False):
        refused = on.set(devices=mode.devices, check=check)
        assert refused["error"]["kind"] in ("no_room", "not_found", "multiple"), refused["msg"]
        assert ("mixed_sizes is off" if "mixed_sizes" in mode.request else "has no GPU instance") in refused["msg"]
    on.done()
    assert not on.vfs(mode.request, sets=sets).get("failed")
    assert on.done() == mode.commands[-1:]
    assert not on.set(devices=mode.devices).get("failed")
    assert placed(on) == mode.wanted


def test_mixed_sizes_on_a_card_in_mig_mode_are_refused_before_the_functions(host: Hosts) -> None:
    on = host(a100())
    on.tools.cards[0].set_mig("1")
    for check in (True, False):
        refused = on.vfs({"mixed_sizes": True}, check=check)
        assert refused["error"]["kind"] == "invalid_input"
        assert f"card {A} is in MIG mode, where mixed_sizes is not possible" in refused["msg"]
    assert on.done() == []
    assert not on.vfs({"mixed_sizes": True, "mig": []}).get("failed")
    assert (on.tools.cards[0].mig, on.tools.cards[0].mixed_sizes) == (False, True)


def test_a_mode_that_cannot_be_read_is_left_to_the_driver(host: Hosts) -> None:
    """Without the answer of the tool, both sizes are tried on one card, and the driver takes them."""
    card = a100()
    on = host(card)
    on.vfs({"mixed_sizes": True})
    on.tools.is_broken = True
    made = on.set(devices=[{"type": "NVIDIA A100-8C"}, {"type": "NVIDIA A100-10C"}])
    assert not made.get("failed"), made["msg"]
    assert on.info()["cards"][0]["mixed_sizes"] is None
    assert on.info()["framework"] == "mdev"


def test_a_run_asks_for_the_types_once(host: Hosts) -> None:
    """Also one that reads the host again and again, because it waits."""
    on = host(rtx_pro())
    done = on.vfs({})
    listing = "nvidia-smi vgpu -s -v"
    for options in ({"type": f"{PRO}-3Q"}, {"type": f"{PRO}-7Q"}):
        on.tools.commands.clear()
        on.set(devices=[options], persistent=True, wait_timeout=1.2)
        assert on.tools.commands.count(listing) == 1
    on.reboot(done["boot_cards"])
    on.tools.commands.clear()
    assert on.start()[0] == 0
    assert on.tools.commands.count(listing) == 1
    # An empty answer, as of a driver that starts, is asked again.
    on.tools.is_broken = True
    on.tools.commands.clear()
    on.set(devices=[{"type": f"{PRO}-7Q"}], wait_timeout=1.2)
    assert on.tools.commands.count(listing) > 1


def test_another_card_of_the_same_model_is_named_and_serves(host: Hosts) -> None:
    first, second = a100(), Card("0000:c1:00", 8)
    second.serial = "2222"
    on = host(first, second)
    word = f"{A}=max,id=10de:20f1,serial=2222"
    code, output = on.program(enable_vfs, "--sysfs", on.paths["sysfs_path"], "--wait", "0", word)
    assert (code, first.enabled) == (0, True)
    assert (
        f"card {A}: another card of this model is at the address: 10de:20f1 with serial number 1650522009999" in output
    )
    assert "but 10de:20f1 with serial number 2222 was declared. The declared card" in output
    assert "is at 0000:c1:00.0." in output
    code, output = on.program(
        enable_vfs, "--sysfs", on.paths["sysfs_path"], "--wait", "0", f"{A}=max,id=10de:20f1,serial=1650522009999"
    )
    assert (code, "another card" in output) == (0, False)


def test_a_card_that_lost_mig_mode_in_a_reboot_gets_it_again(host: Hosts) -> None:
    on = host(a100())
    on.tools.cards[0].mig_survives = False
    done = on.vfs({"mig": ["1g.5gb"]})
    on.set(devices=[{"type": "NVIDIA A100-1-5C"}], persistent=True)
    assert [code for code, _output in on.reboot(done["boot_cards"])] == [0, 0]
    assert placed(on) == {"NVIDIA A100-1-5C": 1}
    # The unit can run again, also with devices.
    assert on.boot_vfs(done["boot_cards"])[0] == 0


def test_a_mode_without_an_effect_is_an_error(host: Hosts) -> None:
    on = host(rtx_pro())
    on.tools.cards[0].silent = True
    refused = on.vfs({"mixed_sizes": True})
    assert refused["error"]["kind"] == "backend_failed"
    assert (
        "changing mixed sizes from off to on failed: nvidia-smi succeeded, but the card reports off" in refused["msg"]
    )
    assert "Heterogeneous Time-Slice Sizes: Supported" in refused["msg"]
    assert f"Earlier changes were not rolled back: {B} from 0 to 4" in refused["msg"]


def test_other_gpu_instances_replace_those_that_exist(host: Hosts) -> None:
    on = host(a100())
    on.vfs({"mig": ["3g.20gb"]})
    on.done()
    added = on.vfs({"mig": ["3g.20gb", "14"]})
    assert [(action["before"], action["after"]) for action in added["actions"]] == [(["3g.20gb"], ["3g.20gb", "14"])]
    assert on.done() == [f"nvidia-smi mig -i {A} -cgi 14 -C"]
    on.vfs({"mig": ["1g.5gb"]})
    commands = on.done()
    assert [command.split()[4] for command in commands] == ["-dci", "-dgi", "-cgi"]
    refused = on.vfs({"mig": ["3g.20gb", "3g.20gb", "1g.5gb", "1g.5gb"]})
    assert (refused["error"]["kind"], refused["error"]["exit_code"]) == ("backend_failed", 23)


REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "both": ({"mig": ["1g.5gb"], "mixed_sizes": True}, "can't have mixed_sizes and mig"),
    "auto with others": ({"mig": ["auto", "1g.5gb"]}, "give 'auto' alone"),
    "no functions": ({"num_vfs": "0", "mixed_sizes": True}, "should have no virtual functions"),
    "no profile": ({"mig": ["1g 5gb; reboot"]}, "give 'auto' alone, or GPU instance profiles"),
}


@pytest.mark.parametrize(("request_", "text"), REQUESTS.values(), ids=REQUESTS)
def test_requests_that_no_card_can_fulfil(host: Hosts, request_: dict[str, Any], text: str) -> None:
    on = host(a100())
    refused = on.vfs(request_)
    assert (refused["error"]["kind"], on.tools.commands) == ("invalid_input", [])
    assert text in refused["msg"]


def test_a_card_is_packed_with_both_sizes_only_in_the_mode_for_that(host: Hosts) -> None:
    """Two cards: without mixed sizes, each gets one size, and the driver is not even asked."""
    devices = [{"type": "NVIDIA A100-8C", "count": 2}, {"type": "NVIDIA A100-10C", "count": 2}]
    for mixed_sizes, cards in ((False, 2), (True, 1)):
        on = host(a100(), Card("0000:c1:00", 8))
        both = [{"address": card.address, "mixed_sizes": mixed_sizes} for card in on.tools.cards]
        assert not on.vfs({}, cards=both).get("failed")
        checked = on.set(devices=devices, placement="pack", check=True)
        made = on.set(devices=devices, placement="pack")
        assert not made.get("failed"), made["msg"]
        for result in (checked, made):
            assert len({device["parent"].split(":")[1] for device in result["devices"]}) == cards
        assert all("EIO" not in rejected["reason"] for rejected in made["rejected_parents"])


def test_another_size_is_named_before_the_driver_is_asked(host: Hosts) -> None:
    on = host(rtx_pro())
    on.vfs({})
    on.set(name="small", devices=[{"type": f"{PRO}-3Q"}])
    for check in (True, False):
        refused = on.set(devices=[{"type": f"{PRO}-6Q"}], check=check)
        assert refused["error"]["kind"] == "no_room"
        assert (
            f"card {B} takes types of one size at a time (mixed_sizes is off), and has or will get 1519"
            in refused["msg"]
        )
    refused = on.set(devices=[{"name": "a", "type": f"{PRO}-3A"}, {"name": "b", "type": f"{PRO}-6Q"}])
    assert refused["error"]["kind"] == "no_room"
    assert on.tools.cards[0].types_set() == {"0001:c8:00.4": 1519}


def test_a_card_is_sliced_another_way(host: Hosts) -> None:
    """The driver hides the type of the whole card while there are others. nvidia-smi knows it."""
    on = host(rtx_pro())
    on.vfs({})
    on.set(devices=[{"name": "v", "type": f"{PRO}-3Q", "count": 4}], persistent=True)
    whole = [{"name": "v", "type": f"{PRO}-96Q", "count": 1}]
    checked = on.set(devices=whole, persistent=True, recreate=True, purge="owned", check=True)
    assert not checked.get("failed"), checked["msg"]
    done = on.set(devices=whole, persistent=True, recreate=True, purge="owned")
    assert not done.get("failed"), done["msg"]
    assert list(on.tools.cards[0].types_set().values()) == [1537]


def test_mig_mode_without_instances_is_named_once(host: Hosts) -> None:
    for card, mdev_type in ((a100(), "NVIDIA A100-1-5C"), (rtx_pro(), f"{PRO}-1-24Q"), (rtx_pro(), f"{PRO}-3Q")):
        on = host(card)
        card.set_mig("1")
        card.sriov_manage("-e")
        refused = on.set(devices=[{"type": mdev_type, "count": 2}])
        assert refused["error"]["kind"] in ("no_room", "not_found")
        assert refused["msg"].count("is in MIG mode and has no GPU instance") == 1, refused["msg"]
        assert on.info()["cards"][0]["gpu_instances"] == []


def test_the_result_shows_where_a_vgpu_landed(host: Hosts) -> None:
    on = host(rtx_pro())
    on.vfs({"mig": ["47", "47"]})
    on.set(devices=[{"type": f"{PRO}-1-24Q", "count": 2}])
    shown = [(device["gpu_instance_id"], device["placement_id"]) for device in on.info()["devices"]]
    assert shown == [(1, 0), (2, 1)]


def test_a_function_that_cannot_be_read_is_neither_free_nor_empty(host: Hosts) -> None:
    card = rtx_pro()
    on = host(card)
    on.vfs({})
    on.set(devices=[{"name": "a", "type": f"{PRO}-3Q"}], persistent=True)
    card.unreadable = True
    on.files.kernel.changed()
    function = "0001:c8:00.4"
    for request_ in ({"name": "a", "state": "absent"}, {"parent": function, "state": "absent"}):
        refused = on.set(devices=[request_])
        assert refused["error"]["kind"] == "file_error", refused
        assert f"whether {function} has a device can't be read" in refused["msg"]
    # The driver still lists types there.
    refused = on.set(name="b", devices=[{"type": f"{PRO}-3Q", "parent": "0001:c8:00.5"}])
    assert refused["error"]["kind"] == "no_room"
    assert "available_instances of 1519 could not be read" in refused["msg"]
    refused = on.vfs({"num_vfs": "0"})
    assert refused["error"]["kind"] == "in_use"
    assert "it is unknown whether these are in use: virtual function 0001:c8:00.4, whose vGPU type" in refused["msg"]
    card.unreadable = False
    on.files.kernel.changed()
    assert on.set(devices=[{"name": "a", "state": "absent"}])["changed"] is True


def test_another_card_at_the_address_is_named_with_both(host: Hosts) -> None:
    on = host(a100())
    done = on.vfs({})
    word = f"{A}=max,id=10de:26b9"
    on.vfs({"num_vfs": "0"})
    code, output = on.program(enable_vfs, "--sysfs", on.paths["sysfs_path"], "--wait", "0", word)
    assert (code, on.tools.cards[0].enabled) == (1, False)
    assert "another card is at this address: 10de:20f1, but 10de:26b9 was declared" in output
    on.files.boot(Cards(on.files.root, on.tools._folder, Card("0000:42:00", 8)))
    code, output = on.program(enable_vfs, "--sysfs", on.paths["sysfs_path"], "--wait", "0", f"{A}=max,id=10de:20f1")
    assert code == 1
    assert "no such PCI device. The declared card, or one of its model, is at 0000:42:00.0" in output
    assert done["boot_cards"][0]["address"] == A


def test_what_was_done_in_the_wrong_order_is_done_again(host: Hosts) -> None:
    """By hand: the mode before the functions, GPU instances before the functions, functions off and on again."""
    on = host(rtx_pro())
    card = on.tools.cards[0]
    card.set_mixed_sizes("1")
    card.sriov_manage("-e")
    assert on.info()["cards"][0]["mixed_sizes"] is False
    refused = on.set(devices=[{"type": f"{PRO}-3Q"}, {"type": f"{PRO}-6Q"}])
    assert refused["error"]["kind"] == "no_room"
    assert "mixed_sizes is off" in refused["msg"]
    on.done()
    assert on.vfs({"mixed_sizes": True})["changed"] is True
    assert on.done() == [f"nvidia-smi vgpu -i {B} -shm 1"]
    assert not on.set(devices=[{"type": f"{PRO}-3Q"}, {"type": f"{PRO}-6Q"}]).get("failed")
    on.set(devices=[], purge="owned")

    card.sriov_manage("-d")
    card.set_mig("1")
    card.create_instances("47")
    card.sriov_manage("-e")
    assert card.instances == []
    assert "has no GPU instance" in on.set(devices=[{"type": f"{PRO}-1-24Q"}])["msg"]
    on.done()
    assert on.vfs({"mig": ["47"]})["changed"] is True
    assert on.done() == [f"nvidia-smi mig -i {B} -cgi 47 -C"]
    assert not on.set(devices=[{"type": f"{PRO}-1-24Q"}]).get("failed")


def test_mig_mode_changes_without_functions_only(host: Hosts) -> None:
    """The functions are on already: they are disabled for the change, and enabled again."""
    on = host(a100())
    on.vfs({"mixed_sizes": True})
    on.done()
    done = on.vfs({"mig": ["1g.5gb"]}, diff=True)
    assert on.done() == [
        f"sriov-manage -d {A}",
        f"nvidia-smi -i {A} -mig 1",
        f"sriov-manage -e {A}",
        f"nvidia-smi mig -i {A} -cgi 1g.5gb -C",
    ]
    assert done["diff"]["before"] == f"{A}: GPU instances none\n{A}: MIG mode off\n{A}: 8 virtual functions\n"
    assert done["diff"]["after"] == f"{A}: GPU instances 1g.5gb\n{A}: MIG mode on\n{A}: 8 virtual functions\n"


def test_modes_that_were_set_before_the_functions_are_set_again_after_them(host: Hosts) -> None:
    """They read as set, and enabling the functions ends them."""
    on = host(rtx_pro())
    card = on.tools.cards[0]
    card.set_mixed_sizes("1")
    assert on.vfs({"mixed_sizes": True})["changed"] is True
    assert on.done() == [enable(B), f"nvidia-smi vgpu -i {B} -shm 1"]
    card.sriov_manage("-d")
    card.set_mig("1")
    card.create_instances("47")
    assert on.vfs({"mig": ["47"]})["changed"] is True
    assert on.done() == [enable(B), f"nvidia-smi mig -i {B} -cgi 47 -C"]


def test_another_program_that_uses_the_card_is_named_as_the_reason(host: Hosts) -> None:
    on = host(a100())
    on.tools.cards[0].busy = True
    refused = on.vfs({"mig": ["1g.5gb"]})
    assert (refused["error"]["kind"], refused["error"]["exit_code"]) == ("in_use", 19)
    assert "stop other programs, such as monitoring" in refused["msg"]


def test_a_mig_mode_that_needs_a_reset_is_named(host: Hosts) -> None:
    on = host(a100())
    on.tools.cards[0].needs_reset = True
    refused = on.vfs({"mig": ["1g.5gb"]})
    assert refused["error"]["kind"] == "backend_failed"
    assert "the card reports off. The new mode is pending: the card must be reset" in refused["msg"]


def test_a_card_that_the_driver_does_not_know_yet(host: Hosts) -> None:
    on = host(a100())
    here = nvidia_modes.NvidiaModes(paths.Host(on.paths["sysfs_path"]), 1)
    with pytest.raises(errors.NotFound, match="it may still be starting"):
        here.set(modes.SetMode(modes.SET_MIXED_SIZES, "0000:99:00.0", False, True))


def test_the_functions_take_the_gpu_instances_with_them(host: Hosts) -> None:
    on = host(a100())
    on.vfs({"mig": ["1g.5gb"]})
    on.done()
    assert not on.vfs({"mig": []}).get("failed")
    assert on.done() == [f"sriov-manage -d {A}", f"nvidia-smi -i {A} -mig 0", enable(A)]


def test_gpu_instances_that_are_not_listed_go_and_derived_ones_stay(host: Hosts) -> None:
    on = host(a100())
    on.vfs({"mig": ["3g.20gb", "1g.5gb"]})
    on.done()
    sets = [{"name": "tenant-a", "devices": [{"type": "NVIDIA A100-3-20C"}]}]
    assert on.vfs({"mig": ["auto"]}, sets=sets)["changed"] is False
    code, output = on.boot_vfs([{"address": A, "num_vfs": "max", "mig": ["3g.20gb"]}])
    assert (code, on.done()) == (0, []), output
    changed = on.vfs({"mig": ["3g.20gb"]})
    assert changed["cards"][0]["gpu_instances"] == ["3g.20gb"]
    assert [command.split()[4] for command in on.done()] == ["-dci", "-dgi", "-cgi"]


def test_the_tool_is_not_asked_if_nobody_asks_for_modes(host: Hosts) -> None:
    on = host(a100())
    on.vfs({})
    assert on.tools.commands == [enable(A)]


def test_a_bare_card_has_modes(host: Hosts) -> None:
    on = host(a100())
    on.tools.cards[0].set_mig("1")
    [card] = on.info()["cards"]
    assert (card["address"], card["mig"], card["gpu_instances"], card["serial"]) == (A, True, [], "1650522009999")


def test_a_card_has_the_types_of_its_mode(host: Hosts) -> None:
    """nvidia-smi lists all of them in each mode."""
    on = host(rtx_pro())
    on.vfs({})
    assert {mdev_type["id"] for mdev_type in on.info()["types"]} == {"1519", "1520", "1523", "1537"}
    on.vfs({"mig": ["47"]})
    assert {mdev_type["id"] for mdev_type in on.info()["types"]} == {"1550", "1561"}


def test_modes_without_the_tool_are_refused_before_anything_is_changed(host: Hosts, tmp_path: Path) -> None:
    on = host(a100())
    (tmp_path / "tools/nvidia-smi").chmod(0o644)
    for request_ in ({"mixed_sizes": True}, {"mig": ["1g.5gb"]}):
        refused = on.vfs(request_)
        assert (refused["error"]["kind"], on.done()) == ("not_found", [])
        assert "need nvidia-smi, which is not installed" in refused["msg"]


def test_a_card_without_functions_can_have_mixed_sizes(host: Hosts) -> None:
    on = host(Card(count=0))
    checked = on.vfs({"mixed_sizes": True}, check=True)
    done = on.vfs({"mixed_sizes": True})
    assert on.done() == [f"nvidia-smi vgpu -i {A} -shm 1"]
    assert checked["cards"] == done["cards"]
    [card] = done["cards"]
    assert (card["vfs"], card["functions"], card["mixed_sizes"]) == (None, [], True)
    code, output = on.boot_vfs(done["boot_cards"])
    assert (code, "already has 0 virtual functions, mixed sizes on" in output) == (0, True)
    here = cards.Sriov(paths.Host(on.paths["sysfs_path"]), 1)
    assert here.is_ready(request.VfsRequest(A, mixed_sizes=True))
    # Without modes, there is nothing to do on such a card.
    assert not here.is_ready(request.VfsRequest(A))
    assert on.vfs({})["error"]["kind"] == "not_found"


def test_gpu_instances_are_removed_before_mig_mode_ends(host: Hosts) -> None:
    on = host(a100())
    card = on.tools.cards[0]
    card.set_mig("1")
    card.create_instances("1g.5gb,19")
    checked = on.vfs({"num_vfs": "0", "mig": []}, check=True)
    done = on.vfs({"num_vfs": "0", "mig": []})
    assert on.done() == [f"nvidia-smi mig -i {A} -dci", f"nvidia-smi mig -i {A} -dgi", f"nvidia-smi -i {A} -mig 0"]
    assert checked["cards"] == done["cards"]
    assert (done["cards"][0]["mig"], done["cards"][0]["gpu_instances"]) == (False, [])


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_check_mode_shows_the_modes_that_the_card_will_have(host: Hosts, mode: Mode) -> None:
    on = host(mode.card())
    sets = [{"name": "tenant-a", "devices": mode.devices}]
    for options in (mode.request, {"num_vfs": "0", **mode.off}):
        [checked] = on.vfs(options, sets=sets, check=True)["cards"]
        [card] = on.vfs(options, sets=sets)["cards"]
        assert (checked["vfs"], checked["mig"], checked["mixed_sizes"]) == (
            card["vfs"],
            card["mig"],
            card["mixed_sizes"],
        )
        assert len(checked["gpu_instances"]) == len(card["gpu_instances"])


@pytest.mark.parametrize("framework", ["mdev", "vendor_vfio"])
def test_a_set_without_parents_finds_a_place_again_when_its_card_has_moved(host: Hosts, framework: str) -> None:
    """After a boot, the card is at another address. The definition names a parent that is gone."""
    on = host(Card(count=2, framework=framework))
    on.vfs({})
    devices = [{"name": "v", "type": "NVIDIA A100-8C"}]
    on.set(devices=devices, persistent=True, purge="owned")
    moved = Cards(on.files.root, on.tools._folder, Card("0000:42:00", 2, framework=framework))
    on.files.boot(moved)
    on.tools = moved
    code, output = on.start()
    assert (code, A[:-1] in output) == (1, True)
    on.vfs({})
    for check in (True, False):
        made = on.set(devices=devices, persistent=True, purge="owned", check=check)
        assert not made.get("failed"), made["msg"]
    assert [device["parent"] for device in on.info()["devices"] if device["active"]] == ["0000:42:00.4"]
    assert on.set(devices=devices, persistent=True, purge="owned")["changed"] is False
    on.files.boot(moved)
    on.boot_vfs([{"address": "0000:42:00.0", "num_vfs": "max"}])
    code, output = on.start()
    assert code == 0, output


@pytest.mark.parametrize("card", [a100, rtx_pro])
def test_a_set_without_parents_finds_a_place_again_when_its_place_is_taken(
    host: Hosts, card: Callable[[], Card]
) -> None:
    """After a boot, somebody else was faster. The definition names a parent that has no room."""
    on = host(card())
    boot_cards = on.vfs({})["boot_cards"]
    devices = [{"name": "v", "type": "NVIDIA A100-8C" if card is a100 else f"{PRO}-3Q"}]
    on.set(devices=devices, persistent=True, purge="owned")
    on.files.boot(on.tools)
    on.boot_vfs(boot_cards)
    first, second = (function.address for function in on.tools.cards[0].functions[:2])
    if card is a100:
        on.set(name="other", devices=[{"type": "NVIDIA A100-8C", "parent": first}])
    else:
        on.tools.cards[0].functions[0].set_by_hand(1520)
    for check in (True, False):
        made = on.set(devices=devices, persistent=True, purge="owned", check=check)
        assert not made.get("failed"), made["msg"]
    assert [device["parent"] for device in made["devices"]] == [second]
    assert len(placed(on)) == (1 if card is a100 else 2)
    assert on.set(devices=devices, persistent=True, purge="owned")["changed"] is False
