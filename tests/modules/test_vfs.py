# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mdev_vfs and its boot program, on cards that behave as the kernel and NVIDIA's tool do."""

from __future__ import annotations

import builtins
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from run_module import run_module
from sriov_fs import CARD, NVIDIA, PhysicalFunction, manager, sriov_card
from tree import Tree

from ansible_collections.vfio.mdev.plugins.module_utils._host import users
from ansible_collections.vfio.mdev.plugins.module_utils._sriov import host_use

UUID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def card(tree: Tree) -> Iterator[PhysicalFunction]:
    with sriov_card(tree) as card:
        yield card


@pytest.fixture
def gpu(tree: Tree) -> Iterator[PhysicalFunction]:
    with sriov_card(tree, vendor=NVIDIA) as card:
        yield card


def run_vfs(card: PhysicalFunction, num_vfs: str = "max", **arguments: Any) -> dict[str, Any]:
    cards = [{"address": CARD, "num_vfs": num_vfs}]
    return run_module("mdev_vfs", **{"sysfs_path": str(card.tree.sys), "cards": cards, "wait_timeout": 10, **arguments})


def test_check_mode_real_run_and_repeat(card: PhysicalFunction) -> None:
    checked = run_vfs(card, check=True, diff=True)
    assert card.written == []
    done = run_vfs(card, diff=True)
    again = run_vfs(card)
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


def test_another_number_is_set_through_zero(card: PhysicalFunction) -> None:
    run_vfs(card)
    done = run_vfs(card, "2", diff=True)
    assert card.written == ["4", "0", "2"]
    assert [(action["before"], action["after"]) for action in done["actions"]] == [(4, 0), (0, 2)]
    assert done["diff"]["after"] == f"{CARD}: 2 virtual functions\n"
    assert run_vfs(card, "0")["cards"][0]["functions"] == []


def test_the_address_may_be_written_as_nvidia_smi_does(card: PhysicalFunction) -> None:
    assert run_vfs(card, cards=[{"address": "00000000:41:00.0"}])["cards"][0]["address"] == CARD


@pytest.mark.parametrize(
    ("cards", "error_kind", "words"),
    [
        (
            [{"address": CARD, "num_vfs": "5"}],
            "invalid_input",
            "5 virtual functions are requested, but the card can have at most 4",
        ),
        ([{"address": CARD, "num_vfs": "-1"}], "invalid_input", "a whole number or 'max'"),
        ([{"address": "gpu0"}], "invalid_input", "not a PCI address"),
        ([{"address": CARD}, {"address": "41:00.0"}], "invalid_input", "more than once: 0000:41:00.0"),
        ([{"address": "0000:42:00.0"}], "not_found", f"no such PCI device. Devices with SR-IOV on this host: {CARD}."),
        (
            [{"address": CARD, "num_vfs": "5"}, {"address": "0000:42:00.0"}],
            "multiple",
            "2 problems, nothing was changed",
        ),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(
    card: PhysicalFunction, cards: list[dict[str, str]], error_kind: str, words: str
) -> None:
    refused = run_vfs(card, cards=cards, wait_timeout=0.5)
    assert refused["error"]["kind"] == error_kind
    assert words in refused["msg"]
    assert card.written == []


def test_a_function_is_not_a_card(card: PhysicalFunction) -> None:
    run_vfs(card)
    refused = run_vfs(card, cards=[{"address": card.function(0)}], wait_timeout=0.5)
    assert refused["error"]["kind"] == "not_found"
    assert "is a virtual function" in refused["msg"]


def add_device(card: PhysicalFunction) -> None:
    """Add a device on the second function, in group 7."""
    card.tree.device(f"sys/devices/pci0000:40/{card.function(1)}", UUID, "nvidia-471", group=7)


def test_unused_devices_are_not_removed_implicitly(card: PhysicalFunction) -> None:
    run_vfs(card)
    add_device(card)
    refused = run_vfs(card, "2")
    assert refused["error"]["kind"] == "has_devices"
    assert refused["error"]["devices"] == [f"device {UUID} on {card.function(1)} of type nvidia-471"]
    assert f"Remove these first, or request {card.enabled}" in refused["msg"]
    assert run_vfs(card, "4")["changed"] is False
    assert card.written == ["4"]


def test_devices_in_use_are_not_removed(card: PhysicalFunction) -> None:
    run_vfs(card)
    add_device(card)
    holder = os.open(card.tree.root / "dev/vfio/7", os.O_RDONLY)
    try:
        refused = run_vfs(card, "0")
        checked = run_vfs(card, "0", check=True)
    finally:
        os.close(holder)
    assert refused["error"]["kind"] == checked["error"]["kind"] == "in_use"
    assert f"device {UUID} on {card.function(1)} of type nvidia-471, used by " in refused["msg"]
    assert f"(pid {os.getpid()})" in refused["msg"]
    assert card.written == ["4"]


def test_a_function_assigned_to_a_guest_is_in_use(card: PhysicalFunction) -> None:
    run_vfs(card)
    card.tree.link(f"sys/devices/pci0000:40/{card.function(2)}/iommu_group", "sys/kernel/iommu_groups/9")
    holder = os.open(card.tree.write("dev/vfio/9", ""), os.O_RDONLY)
    try:
        refused = run_vfs(card, "0")
    finally:
        os.close(holder)
    assert refused["error"]["kind"] == "in_use"
    assert refused["error"]["devices"] == [f"virtual function {card.function(2)}"]


def add_render_node(card: PhysicalFunction, folder: str) -> int:
    """Returns an open file of it."""
    card.tree.write(f"{folder}/drm/renderD129/dev", "226:129\n")
    return os.open(card.tree.write("dev/dri/renderD129", ""), os.O_RDONLY)


def add_interface(card: PhysicalFunction, folder: str) -> None:
    card.tree.write(f"{folder}/net/ens1v1/flags", "0x1003\n")
    card.tree.write(f"{folder}/net/ens1v1/operstate", "down\n")


def add_mounted(card: PhysicalFunction, folder: str) -> None:
    for name, number in (("nvme1n1", "259:0"), ("nvme1n1/nvme1n1p1", "259:1")):
        card.tree.write(f"{folder}/nvme/nvme1/{name}/dev", f"{number}\n")
        card.tree.write(f"{folder}/nvme/nvme1/{name}/size", "1\n")
    card.tree.write("proc/1/mountinfo", "36 35 259:1 / /srv rw,noatime shared:1 - ext4 /dev/nvme1n1p1 rw\n")


def add_swap(card: PhysicalFunction, folder: str) -> None:
    """A head of several paths, which is below the subsystem."""
    card.tree.link("sys/class/nvme-subsystem/nvme-subsys1", "sys/devices/virtual/nvme-subsystem/nvme-subsys1")
    card.tree.write(f"{folder}/nvme/nvme1/state", "live\n")
    card.tree.link("sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1", f"{folder}/nvme/nvme1")
    for name in ("dev", "size"):
        card.tree.write(f"sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1/{name}", "259:0\n")
    card.tree.write("proc/swaps", "Filename Type Size Used Priority\n/dev/nvme1n1 partition 1 0 -2\n")


HOST_USES: dict[str, tuple[Callable[[PhysicalFunction, str], Any], str]] = {
    "render node": (add_render_node, "/dev/dri/renderD129"),
    "interface": (add_interface, "the host through its network interface ens1v1, which is up"),
    "mounted": (add_mounted, "the host through its block device nvme1n1p1, which is mounted on /srv"),
    "swap": (add_swap, "the host through its block device nvme1n1, which is swap space"),
}


@pytest.mark.parametrize(("add", "words"), HOST_USES.values(), ids=HOST_USES)
def test_functions_that_the_host_itself_uses_are_not_removed(
    card: PhysicalFunction, add: Callable[[PhysicalFunction, str], Any], words: str
) -> None:
    run_vfs(card)
    handle = add(card, f"sys/devices/pci0000:40/{card.function(1)}")
    try:
        refused = run_vfs(card, "2")
    finally:
        if handle is not None:
            os.close(handle)
    assert refused["error"]["kind"] == "in_use"
    assert refused["error"]["devices"] == [f"virtual function {card.function(1)}"]
    assert words in refused["msg"]
    assert "not visible" not in refused["msg"]
    assert card.written == ["4"]


def test_functions_that_the_host_does_not_use_are_removed(card: PhysicalFunction) -> None:
    run_vfs(card)
    folder = f"sys/devices/pci0000:40/{card.function(1)}"
    os.close(add_render_node(card, folder))
    card.tree.write(f"{folder}/net/ens1v1/flags", "0x1002\n")
    card.tree.write(f"{folder}/net/ens1v1/operstate", "down\n")
    card.tree.write("proc/1/mountinfo", "36 35 8:1 / /srv rw,noatime shared:1 - ext4 /dev/sda1 rw\n")
    assert run_vfs(card, "2")["changed"] is True


def test_a_list_of_mounts_without_end_is_not_read_whole(
    card: PhysicalFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is beyond the part that is read may be a use."""
    run_vfs(card)
    for name in ("dev", "size"):
        card.tree.write(f"sys/devices/pci0000:40/{card.function(1)}/nvme/nvme1/nvme1n1/{name}", "259:0\n")
    card.tree.write("proc/1/mountinfo", "36 35 8:1 / /srv rw - ext4 /dev/sda1 rw\n" * 10)
    monkeypatch.setattr(host_use, "_MAX_BYTES", 100)
    refused = run_vfs(card, "2")
    assert refused["error"]["kind"] == "in_use"
    assert (
        f"nvme1n1, which is perhaps mounted: {card.tree.root}/proc/1/mountinfo can't be read: EFBIG" in refused["msg"]
    )
    monkeypatch.setattr(host_use, "_MAX_BYTES", 1000)
    assert run_vfs(card, "2")["changed"] is True


@pytest.mark.parametrize("mode", [{"mixed_sizes": True}, {"mig": ["1g.5gb"]}, {"mig": []}])
def test_cards_of_others_have_no_modes(card: PhysicalFunction, mode: dict[str, Any]) -> None:
    refused = run_vfs(card, cards=[{"address": CARD, **mode}])
    assert refused["error"]["kind"] == "invalid_input"
    assert "mig and mixed_sizes are modes of NVIDIA's cards" in refused["msg"]


@pytest.mark.parametrize(
    ("function", "broken", "words"),
    [
        ("open", "net/ens1v1/flags", "perhaps the host: {} can't be read: EIO"),
        ("scandir", "nvme/nvme1", "perhaps the host: {} can't be read: EIO"),
        ("stat", "dev/dri/renderD129", "perhaps the host: {} can't be read: EIO"),
        ("open", "proc/1/mountinfo", "nvme1n1, which is perhaps mounted: {} can't be read: EIO"),
        ("open", "proc/swaps", "nvme1n1, which is perhaps mounted: {} can't be read: EIO"),
    ],
)
def test_functions_whose_use_cannot_be_read_are_not_removed(
    card: PhysicalFunction, monkeypatch: pytest.MonkeyPatch, function: str, broken: str, words: str
) -> None:
    run_vfs(card)
    folder = f"sys/devices/pci0000:40/{card.function(1)}"
    os.close(add_render_node(card, folder))
    card.tree.write(f"{folder}/net/ens1v1/flags", "0x1002\n")
    for name in ("dev", "size"):
        card.tree.write(f"{folder}/nvme/nvme1/nvme1n1/{name}", "259:0\n")
    card.tree.write("proc/1/mountinfo", "")
    card.tree.write("proc/swaps", "")
    place = broken if broken.startswith(("dev/", "proc/")) else f"{folder}/{broken}"
    path = str(card.tree.root / place)
    targets = (os, builtins) if function == "open" else (os,)
    for module in targets:
        monkeypatch.setattr(module, function, _failing(getattr(module, function), path))
    refused = run_vfs(card, "2", check=True)
    assert refused["error"]["kind"] == "in_use"
    assert words.format(path) in refused["msg"]
    monkeypatch.undo()
    assert run_vfs(card, "2")["changed"]


def _failing(real: Callable[..., Any], broken: str) -> Callable[..., Any]:
    def call(path: Any, *arguments: Any, **named: Any) -> Any:
        if path == broken:
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *arguments, **named)

    return call


def test_unknown_use_is_reported_as_unknown(card: PhysicalFunction, monkeypatch: pytest.MonkeyPatch) -> None:
    run_vfs(card)

    def refuse(_folder: str, _prefixes: object) -> None:
        raise PermissionError(errno.EACCES, "")

    monkeypatch.setattr(users, "_open_nodes", refuse)
    refused = run_vfs(card, "2", check=True)
    assert refused["error"]["kind"] == "in_use"
    assert f"it is unknown whether these are in use: virtual function {card.function(0)}, " in refused["msg"]
    assert "used by" not in refused["msg"]
    assert "run as root" in refused["msg"]


@pytest.mark.parametrize(
    ("option", "value"), [("wait_timeout", "nan"), ("lock_timeout", "inf"), ("wait_timeout", "-1")]
)
def test_times_that_nothing_can_wait_for(card: PhysicalFunction, option: str, value: str) -> None:
    refused = run_vfs(card, **{option: value})
    assert refused["error"] == {"kind": "invalid_input", "option": option}
    assert card.written == []


def test_a_vgpu_of_the_vendors_own_framework_counts_as_a_device(gpu: PhysicalFunction) -> None:
    run_vfs(gpu, backend="sysfs")
    for number, profile in ((0, "0"), (3, "1145")):
        gpu.tree.write(f"sys/devices/pci0000:40/{gpu.function(number)}/nvidia/current_vgpu_type", f"{profile}\n")
    refused = run_vfs(gpu, "0", backend="sysfs")
    assert refused["error"]["kind"] == "has_devices"
    assert refused["error"]["devices"] == [f"vGPU on {gpu.function(3)} of type 1145"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOMEM, "above 4G decoding"), (errno.EBUSY, "already has virtual functions"), (errno.EIO, "kernel log")],
)
def test_the_kernels_errno_is_reported(card: PhysicalFunction, number: int, words: str) -> None:
    card.refusal = number
    refused = run_vfs(card)
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", number)
    assert f"card {CARD}: changing the number of virtual functions from 0 to 4 failed: " in refused["msg"]
    assert f" failed: the kernel answered {errno.errorcode[number]}" in refused["msg"]
    assert words in refused["msg"]


def test_changes_before_a_failure_are_reported(card: PhysicalFunction) -> None:
    run_vfs(card)
    card.maximum = 1
    refused = run_vfs(card, "2", wait_timeout=1)
    assert refused["error"]["kind"] == "vfs_missing"
    assert refused["msg"].endswith(f"Earlier changes were not rolled back: {CARD} from 4 to 0")


def test_a_driver_that_enables_fewer_is_an_error(card: PhysicalFunction) -> None:
    card.maximum = 3
    refused = run_vfs(card, wait_timeout=1)
    assert refused["error"] == {"kind": "vfs_missing", "card": CARD, "num_vfs": 4, "enabled": 3}
    assert (
        "the kernel accepted the number, but after 1 s the kernel reports 3 of 4 as enabled and shows 3"
        in refused["msg"]
    )


def test_waits_for_a_late_driver(card: PhysicalFunction) -> None:
    card.driver = None
    threading.Timer(0.3, lambda: setattr(card, "driver", "nvidia")).start()
    assert run_vfs(card)["changed"] is True


def test_a_driver_that_does_not_appear(card: PhysicalFunction) -> None:
    card.driver = None
    refused = run_vfs(card, wait_timeout=1)
    assert refused["error"]["errno"] == errno.ENOENT
    assert "no driver is bound to the card" in refused["msg"]


def test_a_write_that_blocks_is_left_behind(card: PhysicalFunction) -> None:
    card.blocked.clear()
    refused = run_vfs(card, wait_timeout=0.3)
    assert refused["error"] == {"kind": "kernel_refused", "card": CARD, "errno": None, "attribute": None}
    assert "did not finish in 0.3 s" in refused["msg"]


ENABLES = 'test "$1" = -e && echo 4 > "$numvfs" || echo 0 > "$numvfs"'


def test_nvidias_tool_enables_and_disables(gpu: PhysicalFunction) -> None:
    manager(gpu.tree, ENABLES)
    done = run_vfs(gpu)
    assert done["actions"] == [{"action": "set_vfs", "card": CARD, "before": 0, "after": 4, "backend": "sriov-manage"}]
    assert run_vfs(gpu)["changed"] is False
    assert run_vfs(gpu, "0")["cards"][0]["vfs"]["enabled"] == 0
    assert gpu.written == ["4\n", "0\n"]


def test_nvidias_tool_is_only_for_nvidias_cards(card: PhysicalFunction) -> None:
    manager(card.tree, "exit 7")
    assert run_vfs(card)["actions"][0]["backend"] == "sysfs"


def test_nvidias_tool_enables_all_or_none(gpu: PhysicalFunction) -> None:
    manager(gpu.tree, ENABLES)
    refused = run_vfs(gpu, "2")
    assert refused["error"]["kind"] == "invalid_input"
    assert "Request 'max', or set backend to 'sysfs'" in refused["msg"]
    assert run_vfs(gpu, "2", backend="sysfs")["cards"][0]["vfs"]["enabled"] == 2


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo Enabling VFs on $2", "exited with code 0 with this output: Enabling VFs on 0000:41:00.0, but after 2 s"),
        ("exit 0", "exited with code 0 with this output: none, but after 2 s the kernel reports 0 of 4 as enabled"),
        ('echo 3 > "$numvfs"', "the kernel reports 3 of 4 as enabled and shows 3"),
    ],
)
def test_exit_code_0_proves_nothing(gpu: PhysicalFunction, script: str, words: str) -> None:
    manager(gpu.tree, script)
    refused = run_vfs(gpu, wait_timeout=2)
    assert refused["error"]["kind"] == "vfs_missing"
    assert words in refused["msg"]


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (
            "echo no such GPU >&2; exit 3",
            3,
            "exited with code 3 with this output: no such GPU. The card has 0 virtual functions now",
        ),
        (
            'echo 2 > "$numvfs"; exit 1',
            1,
            "exited with code 1 with this output: none. The card has 2 virtual functions now",
        ),
        ("sleep 60", None, "did not finish in 1 s with this output: none"),
    ],
)
def test_a_tool_that_fails(gpu: PhysicalFunction, script: str, code: int | None, words: str) -> None:
    tool = manager(gpu.tree, script)
    refused = run_vfs(gpu, wait_timeout=10 if code else 1)
    assert (refused["error"]["kind"], refused["error"]["exit_code"]) == ("backend_failed", code)
    assert f"'{tool} -e {CARD}' {words}" in refused["msg"]


def test_a_missing_tool(gpu: PhysicalFunction) -> None:
    refused = run_vfs(gpu, backend="sriov-manage")
    assert refused["error"]["kind"] == "backend_failed"
    assert "ENOENT" in refused["msg"]


def test_a_driver_that_the_tool_unbound_is_bound_again(gpu: PhysicalFunction) -> None:
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
    refused = run_vfs(gpu)
    thread.join(10)
    assert refused["error"]["exit_code"] == 1
    assert probe.read_text() == CARD


def boot_command(card: PhysicalFunction, wait: str, *cards: str) -> list[str]:
    checkout = Path(__file__).parents[2]
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import conftest; "
        "from ansible_collections.vfio.mdev.plugins.module_utils._boot.enable_vfs import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, str(checkout / "tests"), "--sysfs", str(card.tree.sys), "--wait", wait]
    return [*command, *cards]


def at_boot(card: PhysicalFunction, wait: str, *cards: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(boot_command(card, wait, *cards), check=False, capture_output=True, text=True, timeout=60)


def test_at_boot_a_tool_that_fails_is_retried(gpu: PhysicalFunction) -> None:
    first = gpu.tree.root / "first"
    manager(gpu.tree, f"if mkdir {first} 2>/dev/null; then echo too early; exit 1; fi; {ENABLES}")
    done = at_boot(gpu, "20", f"{CARD}=max")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"card {CARD}: enabled 4 virtual functions\n", "")
    assert at_boot(gpu, "20", f"{CARD}=4").stdout == f"card {CARD}: already has 4 virtual functions\n"


def test_at_boot_a_missing_card_does_not_delay_others(card: PhysicalFunction) -> None:
    command = boot_command(card, "300", "0000:42:00.0=max", f"{CARD}=2")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        killer = threading.Timer(60, program.kill)
        killer.start()
        assert program.stdout is not None
        assert program.stdout.readline() == f"card {CARD}: enabled 2 virtual functions\n"
        killer.cancel()
        program.kill()


def test_at_boot_failures_are_reported_with_their_reason(card: PhysicalFunction) -> None:
    done = at_boot(card, "0", "0000:42:00.0=max", f"{CARD}=2")
    assert (done.returncode, done.stdout) == (1, f"card {CARD}: enabled 2 virtual functions\n")
    assert done.stderr.startswith("FAILED 0000:42:00.0: this host has no such PCI device")
    assert done.stderr.endswith("tried for 0 s\n")
