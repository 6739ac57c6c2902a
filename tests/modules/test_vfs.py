# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mdev_vfs, and what runs at boot, on cards that answer as the kernel and NVIDIA's tool do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import run_module
from sriov_fs import CARD, NVIDIA, PhysicalFunction, manager, sriov_card
from tree import Tree

UUID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def card(tree: Tree) -> Iterator[PhysicalFunction]:
    with sriov_card(tree) as found:
        yield found


@pytest.fixture
def gpu(tree: Tree) -> Iterator[PhysicalFunction]:
    with sriov_card(tree, vendor=NVIDIA) as found:
        yield found


def ask(card: PhysicalFunction, vfs: str = "max", **arguments: Any) -> dict[str, Any]:
    cards = [{"address": CARD, "vfs": vfs}]
    return run_module("mdev_vfs", **{"sysfs_path": str(card.tree.sys), "cards": cards, "wait_seconds": 10, **arguments})


def test_check_mode_the_real_run_and_again(card: PhysicalFunction) -> None:
    checked = ask(card, check=True, diff=True)
    assert card.written == []
    done = ask(card, diff=True)
    again = ask(card)
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert checked["actions"] == done["actions"]
    assert (
        checked["diff"]
        == done["diff"]
        == {
            "before": f"{CARD}: 0 virtual functions\n",
            "after": f"{CARD}: 4 virtual functions\n",
        }
    )
    assert checked["cards"][0]["vfs"] == done["cards"][0]["vfs"] == {"enabled": 4, "total": 4}
    assert done["cards"] == again["cards"]
    assert done["cards"][0]["functions"] == [card.function(number) for number in range(4)]
    assert card.written == ["4"]


def test_another_number_goes_by_zero(card: PhysicalFunction) -> None:
    ask(card)
    done = ask(card, "2", diff=True)
    assert card.written == ["4", "0", "2"]
    assert [(one["before"], one["after"]) for one in done["actions"]] == [(4, 0), (0, 2)]
    assert done["diff"]["after"] == f"{CARD}: 2 virtual functions\n"
    assert ask(card, "0")["cards"][0]["functions"] == []


def test_the_address_may_be_written_as_nvidia_smi_does(card: PhysicalFunction) -> None:
    assert ask(card, cards=[{"address": "00000000:41:00.0"}])["cards"][0]["address"] == CARD


@pytest.mark.parametrize(
    ("cards", "kind", "words"),
    [
        (
            [{"address": CARD, "vfs": "5"}],
            "invalid_input",
            "5 virtual functions are asked for, and the card can have 4",
        ),
        ([{"address": CARD, "vfs": "-1"}], "invalid_input", "a number or 'max'"),
        ([{"address": "gpu0"}], "invalid_input", "no PCI address"),
        ([{"address": CARD}, {"address": "41:00.0"}], "invalid_input", "more than once: 0000:41:00.0"),
        ([{"address": "0000:42:00.0"}], "not_found", f"no such PCI device. Devices with SR-IOV here: {CARD}."),
        ([{"address": CARD, "vfs": "5"}, {"address": "0000:42:00.0"}], "several", "2 problems, nothing was changed"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_touched(
    card: PhysicalFunction, cards: list[dict[str, str]], kind: str, words: str
) -> None:
    refused = ask(card, cards=cards)
    assert refused["error"]["kind"] == kind
    assert words in refused["msg"]
    assert card.written == []


def test_a_function_is_no_card(card: PhysicalFunction) -> None:
    ask(card)
    refused = ask(card, cards=[{"address": card.function(0)}])
    assert refused["error"]["kind"] == "not_found"
    assert "is a virtual function" in refused["msg"]


def a_device(card: PhysicalFunction) -> None:
    """On the second function, in group 7."""
    card.tree.device(f"sys/devices/pci0000:40/{card.function(1)}", UUID, "nvidia-471", group=7)


def test_unused_devices_are_not_taken_away_unasked(card: PhysicalFunction) -> None:
    ask(card)
    a_device(card)
    refused = ask(card, "2")
    assert refused["error"]["kind"] == "has_devices"
    assert refused["error"]["devices"] == [f"device {UUID} on {card.function(1)} of type nvidia-471"]
    assert f"Remove that first, or ask for {card.enabled}" in refused["msg"]
    assert ask(card, "4")["changed"] is False
    assert card.written == ["4"]


def test_nothing_in_use_is_taken_away(card: PhysicalFunction) -> None:
    ask(card)
    a_device(card)
    holder = os.open(card.tree.root / "dev/vfio/7", os.O_RDONLY)
    try:
        refused = ask(card, "0")
        checked = ask(card, "0", check=True)
    finally:
        os.close(holder)
    assert refused["error"]["kind"] == checked["error"]["kind"] == "in_use"
    assert f"device {UUID} on {card.function(1)} of type nvidia-471, used by " in refused["msg"]
    assert f"(pid {os.getpid()})" in refused["msg"]
    assert card.written == ["4"]


def test_a_function_that_a_guest_has_is_in_use(card: PhysicalFunction) -> None:
    ask(card)
    card.tree.link(f"sys/devices/pci0000:40/{card.function(2)}/iommu_group", "sys/kernel/iommu_groups/9")
    holder = os.open(card.tree.write("dev/vfio/9", ""), os.O_RDONLY)
    try:
        refused = ask(card, "0")
    finally:
        os.close(holder)
    assert refused["error"]["kind"] == "in_use"
    assert refused["error"]["devices"] == [f"virtual function {card.function(2)}"]


def test_a_vgpu_of_the_vendors_own_framework_counts_as_a_device(gpu: PhysicalFunction) -> None:
    ask(gpu, tool="sysfs")
    for number, profile in ((0, "0"), (3, "1145")):
        gpu.tree.write(f"sys/devices/pci0000:40/{gpu.function(number)}/nvidia/current_vgpu_type", f"{profile}\n")
    refused = ask(gpu, "0", tool="sysfs")
    assert refused["error"]["kind"] == "has_devices"
    assert refused["error"]["devices"] == [f"vGPU on {gpu.function(3)} of type 1145"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOMEM, "above 4G decoding"), (errno.EBUSY, "has virtual functions already"), (errno.EIO, "kernel log")],
)
def test_the_kernels_answer_is_told(card: PhysicalFunction, number: int, words: str) -> None:
    card.refusal = number
    refused = ask(card)
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", number)
    assert (
        f"card {CARD}: going from 0 to 4 virtual functions failed: the kernel answered {errno.errorcode[number]}"
        in (refused["msg"])
    )
    assert words in refused["msg"]


def test_what_was_done_before_a_failure_is_told(card: PhysicalFunction) -> None:
    ask(card)
    card.most = 1
    refused = ask(card, "2", wait_seconds=1)
    assert refused["error"]["kind"] == "vfs_missing"
    assert refused["msg"].endswith(f"Done before, and not taken back: {CARD} from 4 to 0")


def test_a_driver_that_enables_fewer_is_no_success(card: PhysicalFunction) -> None:
    card.most = 3
    refused = ask(card, wait_seconds=1)
    assert refused["error"] == {"kind": "vfs_missing", "card": CARD, "vfs": 4, "enabled": 3}
    assert "the kernel took it, but after 1 s the kernel has 3 of 4 enabled and shows 3" in refused["msg"]


def test_a_late_driver_is_waited_for(card: PhysicalFunction) -> None:
    card.driver = None
    threading.Timer(0.3, lambda: setattr(card, "driver", "nvidia")).start()
    assert ask(card)["changed"] is True


def test_a_driver_that_does_not_come(card: PhysicalFunction) -> None:
    card.driver = None
    refused = ask(card, wait_seconds=1)
    assert refused["error"]["errno"] == errno.ENOENT
    assert "no driver is bound to the card" in refused["msg"]


def test_a_write_that_blocks_is_left_behind(card: PhysicalFunction) -> None:
    card.blocked.clear()
    refused = ask(card, wait_seconds=0.3)
    assert refused["error"] == {"kind": "kernel_refused", "card": CARD, "errno": None}
    assert "did not finish in 0.3 s" in refused["msg"]


ENABLES = 'test "$1" = -e && echo 4 > "$numvfs" || echo 0 > "$numvfs"'


def test_nvidias_tool_enables_and_disables(gpu: PhysicalFunction) -> None:
    manager(gpu.tree, ENABLES)
    done = ask(gpu)
    assert done["actions"] == [{"action": "set_vfs", "card": CARD, "before": 0, "after": 4, "tool": "sriov-manage"}]
    assert ask(gpu)["changed"] is False
    assert ask(gpu, "0")["cards"][0]["vfs"]["enabled"] == 0
    assert gpu.written == ["4\n", "0\n"]


def test_nvidias_tool_is_for_nvidias_cards(card: PhysicalFunction) -> None:
    manager(card.tree, "exit 7")
    assert ask(card)["actions"][0]["tool"] == "sysfs"


def test_nvidias_tool_knows_all_or_none(gpu: PhysicalFunction) -> None:
    manager(gpu.tree, ENABLES)
    refused = ask(gpu, "2")
    assert refused["error"]["kind"] == "invalid_input"
    assert "ask for 'max', or set tool to 'sysfs'" in refused["msg"]
    assert ask(gpu, "2", tool="sysfs")["cards"][0]["vfs"]["enabled"] == 2


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo Enabling VFs on $2", "ended with exit code 0 and said: Enabling VFs on 0000:41:00.0, but after 2 s"),
        ("exit 0", "ended with exit code 0 and said: nothing, but after 2 s the kernel has 0 of 4 enabled"),
        ('echo 3 > "$numvfs"', "the kernel has 3 of 4 enabled and shows 3"),
    ],
)
def test_exit_code_0_proves_nothing(gpu: PhysicalFunction, script: str, words: str) -> None:
    manager(gpu.tree, script)
    refused = ask(gpu, wait_seconds=2)
    assert refused["error"]["kind"] == "vfs_missing"
    assert words in refused["msg"]


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("echo no such GPU >&2; exit 3", 3, "ended with exit code 3 and said: no such GPU. The card has 0 now"),
        ('echo 2 > "$numvfs"; exit 1', 1, "ended with exit code 1 and said: nothing. The card has 2 now"),
        ("sleep 60", None, "did not end in 1 s and said: nothing"),
    ],
)
def test_a_tool_that_fails(gpu: PhysicalFunction, script: str, code: int | None, words: str) -> None:
    tool = manager(gpu.tree, script)
    refused = ask(gpu, wait_seconds=10 if code else 1)
    assert (refused["error"]["kind"], refused["error"]["exit_code"]) == ("backend_failed", code)
    assert f"'{tool} -e {CARD}' {words}" in refused["msg"]


def test_a_tool_that_is_not_there(gpu: PhysicalFunction) -> None:
    refused = ask(gpu, tool="sriov-manage")
    assert refused["error"]["kind"] == "backend_failed"
    assert "ENOENT" in refused["msg"]


def test_a_driver_that_the_tool_took_off_is_asked_for_again(gpu: PhysicalFunction) -> None:
    probe = gpu.tree.write("sys/bus/pci/drivers_probe", "")
    mark = gpu.tree.root / "unbound"
    manager(gpu.tree, f"touch {mark}; while test -e {mark}; do sleep 0.05; done; exit 1")

    def unbind() -> None:
        while not mark.exists():
            pass
        gpu.driver = None
        mark.unlink()

    thread = threading.Thread(target=unbind)
    thread.start()
    refused = ask(gpu)
    thread.join(10)
    assert refused["error"]["exit_code"] == 1
    assert probe.read_text() == CARD


def boot_words(card: PhysicalFunction, wait: str, *cards: str) -> list[str]:
    checkout = Path(__file__).parents[2]
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import conftest; "
        "from ansible_collections.vfio.mdev.plugins.module_utils._boot.enable_vfs import main; sys.exit(main())"
    )
    words = [sys.executable, "-c", program, str(checkout / "tests"), "--sysfs", str(card.tree.sys), "--wait", wait]
    return [*words, *cards]


def at_boot(card: PhysicalFunction, wait: str, *cards: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(boot_words(card, wait, *cards), check=False, capture_output=True, text=True, timeout=60)


def test_at_boot_a_tool_that_fails_at_first_gets_another_try(gpu: PhysicalFunction) -> None:
    first = gpu.tree.root / "first"
    manager(gpu.tree, f"if mkdir {first} 2>/dev/null; then echo too early; exit 1; fi; {ENABLES}")
    done = at_boot(gpu, "20", f"{CARD}=max")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"card {CARD}: enabled 4\n", "")
    assert at_boot(gpu, "20", f"{CARD}=4").stdout == f"card {CARD}: has already 4\n"


def test_at_boot_a_dead_card_keeps_no_other_waiting(card: PhysicalFunction) -> None:
    words = boot_words(card, "300", "0000:42:00.0=max", f"{CARD}=2")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        killer = threading.Timer(60, program.kill)
        killer.start()
        assert program.stdout is not None
        assert program.stdout.readline() == f"card {CARD}: enabled 2\n"
        killer.cancel()
        program.kill()


def test_at_boot_what_failed_is_told_with_its_reason(card: PhysicalFunction) -> None:
    done = at_boot(card, "0", "0000:42:00.0=max", f"{CARD}=2")
    assert (done.returncode, done.stdout) == (1, f"card {CARD}: enabled 2\n")
    assert done.stderr.startswith("FAILED 0000:42:00.0: there is no such PCI device")
    assert done.stderr.endswith("tried for 0 s\n")
