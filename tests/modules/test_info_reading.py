# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""mdev_info on incomplete and odd files: it shows what exists, names what is missing, and never fails."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tree import Tree

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
VF = "0000:41:00.4"


def unread(result: dict[str, Any]) -> dict[str, str]:
    return {os.path.basename(file["path"]): file["error"] for file in result["unread"]}


def test_a_host_without_mdevs(info: Any) -> None:
    result = info()
    assert (result["framework"], result["parents"], result["types"], result["devices"]) == ("none", [], [], [])
    assert result["unread"] == []
    assert "module mdev is not loaded" in result["hints"][0]
    assert not result["changed"]


def test_a_vf_with_a_device(tree: Tree, info: Any) -> None:
    folder = tree.parent(VF, nvidia_471="0", nvidia_472="0")
    for name, text in {"numa_node": "1", "vendor": "0x10de", "device": "0x20b0"}.items():
        tree.write(f"{folder}/{name}", f"{text}\n")
    tree.link(f"{folder}/physfn", "sys/devices/pci/0000:41:00.0")
    tree.link(f"{folder}/driver", "sys/bus/pci/drivers/nvidia")
    tree.link(f"{folder}/iommu_group", "sys/kernel/iommu_groups/97")
    tree.device(folder, UUID, "nvidia-471", group=117)
    result = info(xml=True)
    [parent] = result["parents"]
    [device] = result["devices"]
    assert parent.pop("xml").startswith("<device>")
    assert device.pop("xml").startswith("<device>")
    assert device.pop("hostdev_xml").startswith("<hostdev")
    [card] = result["cards"]
    assert card == {
        "address": "0000:41:00.0",
        "driver": "nvidia",
        "numa_node": 1,
        "pci_ids": None,
        "function_pci_ids": None,
        "framework": "mdev",
        "functions": None,
        "serial": None,
        "mig": None,
        "gpu_instances": [],
        "mixed_sizes": None,
        "parents": 1,
        "types": {},
        "room": {},
        "devices": [{"type": "nvidia-471", "active": 1, "defined": 0}],
        "in_use": 0,
        "idle": 1,
        "use_unknown": 0,
    }
    assert parent == {
        "address": VF,
        "nodedev": "pci_0000_41_00_4",
        "driver": "nvidia",
        "numa_node": 1,
        "physical_function": "0000:41:00.0",
        "iommu_group": 97,
        "vfs": None,
        "framework": "mdev",
        "current_type": None,
        "types": None,
        "devices": [UUID],
    }
    assert device == {
        "uuid": UUID,
        "nodedev": "mdev_11111111_2222_3333_4444_555555555555_0000_41_00_4",
        "framework": "mdev",
        "parent": VF,
        "parent_nodedev": "pci_0000_41_00_4",
        "type": "nvidia-471",
        "type_name": "Name of nvidia-471",
        "device_api": "vfio-pci",
        "active": True,
        "defined": False,
        "autostart": False,
        "removing": False,
        "attributes": [],
        "iommu_group": 117,
        "numa_node": 1,
        "gpu_instance_id": None,
        "placement_id": None,
        "in_use": False,
        "used_by": [],
        "drift": [],
    }
    assert result["unread"] == []


@pytest.mark.parametrize(
    ("file", "text", "errors", "field", "value"),
    [
        ("name", None, {}, "name", None),
        ("name", "", {}, "name", None),
        ("name", "No newline", {}, "name", "No newline"),
        ("name", b"\xff\xfeGPU\n", {}, "name", "\\xff\\xfeGPU"),
        ("description", "a: 1\nb: 2\n", {}, "description", "a: 1\nb: 2"),
        ("device_api", None, {"device_api": "ENOENT (No such file or directory)"}, "device_api", None),
        ("device_api", "", {"device_api": "empty"}, "device_api", None),
        (
            "available_instances",
            None,
            {"available_instances": "ENOENT (No such file or directory)"},
            "available_instances",
            None,
        ),
        ("available_instances", "\n", {"available_instances": "empty"}, "available_instances", None),
        ("available_instances", "many\n", {"available_instances": "not a number: 'many'"}, "available_instances", None),
        ("available_instances", "7", {}, "available_instances", 7),
    ],
)
def test_odd_files_of_a_type(
    tree: Tree, info: Any, file: str, text: Any, errors: dict[str, str], field: str, value: Any
) -> None:
    folder = tree.parent("mtty", "mtty", mtty_1="24")
    path = tree.root / folder / "mdev_supported_types/mtty-1" / file
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = info()
    assert unread(result) == errors
    assert result["types"][0][field] == value
    assert result["types"][0]["id"] == "mtty-1"


def test_a_file_that_is_a_folder_and_a_huge_one(tree: Tree, info: Any) -> None:
    folder = tree.parent("mtty", "mtty", mtty_1="24")
    type_folder = tree.root / folder / "mdev_supported_types/mtty-1"
    (type_folder / "device_api").unlink()
    (type_folder / "device_api").mkdir()
    (type_folder / "description").write_bytes(b"x" * 10_000_000)
    result = info()
    assert unread(result) == {"device_api": "EISDIR (Is a directory)"}
    assert len(result["types"][0]["description"]) == 65536


def test_a_parent_that_disappeared(tree: Tree, info: Any) -> None:
    tree.parent("mtty", "mtty", mtty_1="24")
    tree.link("sys/class/mdev_bus/mdpy", "sys/devices/nowhere")
    result = info()
    assert [parent["address"] for parent in result["parents"]] == ["mtty"]
    assert unread(result) == {"mdpy": "ENOENT (No such file or directory)"}


def test_a_parent_without_types(tree: Tree, info: Any) -> None:
    tree.parent("mtty", "mtty")
    result = info()
    assert result["parents"][0]["types"] == {}
    assert unread(result) == {"mdev_supported_types": "ENOENT (No such file or directory)"}
    assert any("offers no types" in hint for hint in result["hints"])


def test_a_half_removed_device(tree: Tree, info: Any) -> None:
    """The kernel only leaves the folder with the link to the group."""
    folder = tree.parent("mtty", "mtty", mtty_1="23")
    tree.link(f"{folder}/{UUID}/iommu_group", "sys/kernel/iommu_groups/0")
    group = tree.write("dev/vfio/0", "")
    with group.open():
        [device] = info(xml=True)["devices"]
    assert device["removing"] is True
    assert device["active"] is False
    assert (device["type"], device["xml"]) == (None, None)
    assert device["in_use"] is True
    assert [user["pid"] for user in device["used_by"]] == [os.getpid()]


def test_a_device_that_is_being_created_is_not_reported_as_half_removed(tree: Tree, info: Any) -> None:
    folder = tree.parent("mtty", "mtty", mtty_1="23")
    tree.link(f"{folder}/{UUID}/iommu_group", "sys/kernel/iommu_groups/0")
    finish = threading.Timer(0.03, tree.link, (f"{folder}/{UUID}/mdev_type", f"{folder}/mdev_supported_types/mtty-1"))
    finish.start()
    [device] = info()["devices"]
    finish.join()
    assert (device["removing"], device["type"]) == (False, "mtty-1")


def test_users_by_group_and_by_device_node(tree: Tree, info: Any) -> None:
    folder = tree.parent("mtty", "mtty", mtty_1="22")
    tree.device(folder, UUID, "mtty-1", group=0)
    other = tree.device(folder, OTHER, "mtty-1")
    (tree.root / other / "vfio-dev/vfio3").mkdir(parents=True)
    node = tree.write("dev/vfio/devices/vfio3", "")
    with node.open():
        devices = {device["uuid"]: device for device in info()["devices"]}
    assert devices[UUID]["in_use"] is False
    assert devices[OTHER]["in_use"] is True
    assert devices[OTHER]["used_by"][0]["guest"] is None
    assert info(gather=["devices"])["devices"][0]["in_use"] is None


def test_an_o_path_handle_is_not_a_use(tree: Tree, info: Any) -> None:
    """udev holds one for a moment after each new device."""
    tree.device(tree.parent("mtty", "mtty", mtty_1="22"), UUID, "mtty-1", group=0)
    handle = os.open(tree.root / "dev/vfio/0", os.O_PATH)
    assert info()["devices"][0]["in_use"] is False
    os.close(handle)
    with (tree.root / "dev/vfio/0").open():
        assert info()["devices"][0]["in_use"] is True


def test_a_host_without_proc(tree: Tree, info: Any) -> None:
    folder = tree.parent("mtty", "mtty", mtty_1="22")
    tree.device(folder, UUID, "mtty-1", group=0)
    (tree.root / "proc" / str(os.getpid())).unlink()
    (tree.root / "proc").rmdir()
    result = info()
    assert result["devices"][0]["in_use"] is None
    assert unread(result) == {"proc": "ENOENT (No such file or directory)"}


def test_devices_that_appear_and_disappear_while_reading(tree: Tree, info: Any) -> None:
    folder = tree.parent("mtty", "mtty", mtty_1="20")
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            device = tree.root / tree.device(folder, UUID, "mtty-1")
            for path in (device / "mdev_type", device / "driver", tree.root / "sys/bus/mdev/devices" / UUID):
                path.unlink()
            device.rmdir()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            result = info(gather=["devices"])
            assert len(result["devices"]) <= 1
    finally:
        stop.set()
        thread.join()


def test_definitions_beside_the_kernel(tree: Tree, info: Any) -> None:
    folder = tree.parent("mtty", "mtty", mtty_1="22")
    tree.device(folder, UUID, "mtty-1", group=0)
    tree.write(f"etc/mdevctl.d/mtty/{UUID}", '{"mdev_type": "mtty-2", "start": "auto", "attrs": [{"a": "1"}]}')
    tree.write(f"etc/mdevctl.d/mtty/{OTHER}", '{"mdev_type": "mtty-1", "start": "auto", "attrs": []}')
    tree.write(f"etc/mdevctl.d/gone/{OTHER}", '{"mdev_type": "mtty-1", "start": "manual", "attrs": []}')
    broken = tree.write("etc/mdevctl.d/mtty/77777777-2222-3333-4444-555555555555", "")
    result = info()
    devices = result["devices"]
    assert [
        (device["parent"], device["uuid"], device["active"], device["defined"], device["autostart"])
        for device in devices
    ] == [
        ("gone", OTHER, False, True, False),
        ("mtty", UUID, True, True, True),
        ("mtty", OTHER, False, True, True),
    ]
    without_parent, active, inactive = devices
    assert [drift["field"] for drift in without_parent["drift"]] == ["defined"]
    assert active["drift"] == [{"field": "type", "wanted": "mtty-2", "actual": "mtty-1"}]
    assert [drift["field"] for drift in inactive["drift"]] == ["active", "defined"]
    assert active["attributes"] == [{"name": "a", "value": "1"}]
    assert [definition["path"] for definition in result["broken_definitions"]] == [str(broken)]
    assert any("is not a valid definition" in hint for hint in result["hints"])
    assert result["types"][0]["defined"] == 2


NIL = "00000000-0000-0000-0000-000000000000"
GOOD = '{"mdev_type": "mtty-1", "start": "auto", "attrs": []}'


def test_a_device_with_the_nil_uuid_can_be_named(tree: Tree, info: Any) -> None:
    tree.device(tree.parent("mtty", "mtty", mtty_1="22"), NIL, "mtty-1")
    assert [device["uuid"] for device in info(uuids=[NIL])["devices"]] == [NIL]


@pytest.mark.parametrize("neighbour", [f"mtty/{UUID}.bak", f"mtty/{UUID}~", f"mtty/{UUID}.dpkg-old", "README"])
def test_neighbours_of_definitions_are_passed_over(tree: Tree, info: Any, neighbour: str) -> None:
    tree.parent("mtty", "mtty", mtty_1="22")
    tree.write(f"etc/mdevctl.d/mtty/{UUID}", GOOD)
    tree.write(f"etc/mdevctl.d/{neighbour}", "x")
    (tree.root / "etc/mdevctl.d/mtty/old").mkdir()
    result = info()
    assert (result["broken_definitions"], result["hints"], result["unread"]) == ([], [], [])
    assert len(result["devices"]) == 1


@pytest.mark.parametrize(
    ("text", "blocks"), [("", True), ('{"mdev_type":"a","attrs":[]}', True), ('{"mdev_type":"","start":"x"}', False)]
)
def test_the_hint_about_mdevctl_is_true(tree: Tree, info: Any, text: str, blocks: bool) -> None:
    tree.parent("mtty", "mtty", mtty_1="22")
    tree.write(f"etc/mdevctl.d/mtty/{UUID}", text)
    [hint] = info()["hints"]
    assert ("mdevctl lists none while it exists" in hint) == blocks


@pytest.mark.parametrize("text", ["1_000", "+5", "٣", "0x3", "1 2", "007"])
def test_numbers_are_those_of_the_kernel(tree: Tree, info: Any, text: str) -> None:
    tree.parent("mtty", "mtty", mtty_1=text)
    result = info()
    assert result["parents"][0]["types"] == {"mtty-1": None}
    assert (result["types"][0]["available_instances"], result["types"][0]["room"]) == (None, None)
    assert [f"not a number: '{text}'" in unread["error"] for unread in result["unread"]] == [True]


def test_other_open_files_are_not_looked_at(tree: Tree, info: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file on a server that no longer answers would stop the reader, if it is only asked for its state."""
    tree.device(tree.parent("mtty", "mtty", mtty_1="22"), UUID, "mtty-1", group=7)
    dead = tree.write("dead/vfio/data", "")
    stat = os.stat

    def blocking(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(f"{tree.root}/proc/"):
            assert "dead" not in os.readlink(path)
        return stat(path, *arguments, **options)

    with dead.open(), (tree.root / "dev/vfio/7").open():
        monkeypatch.setattr(os, "stat", blocking)
        [device] = info()["devices"]
    assert device["used_by"][0]["pid"] == os.getpid()


def test_filters_that_match_nothing_are_hints(tree: Tree, info: Any) -> None:
    tree.parent("mtty", "mtty", mtty_1="22")
    result = info(parents=["0000:41:00.0"], types=["x"], uuids=[UUID])
    assert result["hints"] == [
        "Nothing on this host matches parent '0000:41:00.0'.",
        "Nothing on this host matches type 'x'.",
        f"Nothing on this host matches device '{UUID}'.",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"uuids": ["zz"]}, "'zz' is not a UUID"),
        ({"parents": ["../x"]}, "is not a valid parent name"),
        ({"sysfs_path": "/nowhere"}, "'/nowhere' is not a folder"),
    ],
)
def test_invalid_arguments(info: Any, arguments: dict[str, Any], words: str) -> None:
    result = info(**arguments)
    assert result["failed"]
    assert words in result["msg"]
    assert result["error"]["kind"] == "invalid_input"


def test_parts_that_are_not_gathered_are_null(info: Any) -> None:
    result = info(gather=["types"])
    assert (result["cards"], result["parents"], result["types"], result["devices"]) == (None, None, [], None)


def test_nvidias_own_framework(tree: Tree, info: Any) -> None:
    tree.write("sys/bus/pci/devices/0000:41:00.4/nvidia/current_vgpu_type", "0\n")
    result = info()
    assert result["framework"] == "vendor_vfio"
    assert "0000:41:00.4" in result["hints"][0]


def test_vfs_off(tree: Tree, info: Any) -> None:
    card = "sys/bus/pci/devices/0000:41:00.0"
    for name, text in {"class": "0x030200", "vendor": "0x10de", "sriov_numvfs": "0", "sriov_totalvfs": "16"}.items():
        tree.write(f"{card}/{name}", f"{text}\n")
    tree.link(f"{card}/driver", "sys/bus/pci/drivers/nvidia")
    assert "0 of 16 virtual functions (SR-IOV) enabled" in info()["hints"][0]


def test_nothing_is_written(tree: Tree, info: Any) -> None:
    folder = tree.parent("mtty", "mtty", mtty_1="22")
    tree.device(folder, UUID, "mtty-1", group=0)
    before = snapshot(tree.root)
    info(xml=True)
    assert snapshot(tree.root) == before


def snapshot(root: Path) -> dict[str, float]:
    return {str(path): path.lstat().st_mtime for path in root.rglob("*")}


@pytest.mark.parametrize("is_function", [True, False])
def test_functions_of_a_card_describe_their_types_once(tree: Tree, info: Any, is_function: bool) -> None:
    opened: list[str] = []
    for number, instances in enumerate("12"):
        folder = tree.parent(f"0000:41:00.{number + 4}", nvidia_471=instances)
        tree.write(f"{folder}/mdev_supported_types/nvidia-471/description", "max_instance=5\n")
        if is_function:
            tree.link(f"{folder}/physfn", "sys/devices/pci/0000:41:00.0")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "open", recording(opened, os.open))
        [row] = info()["types"]
    assert (row["name"], row["available_instances"]) == ("Name of nvidia-471", 3)
    files = [os.path.basename(path) for path in opened if "mdev_supported_types" in path]
    described = 1 if is_function else 2
    assert [files.count(name) for name in ("name", "description", "device_api")] == [described] * 3
    assert files.count("available_instances") == 2


def test_what_a_function_does_not_say_is_asked_of_the_next(tree: Tree, info: Any) -> None:
    for number in (4, 5):
        folder = tree.parent(f"0000:41:00.{number}", nvidia_471="1")
        tree.link(f"{folder}/physfn", "sys/devices/pci/0000:41:00.0")
        tree.write(f"{folder}/mdev_supported_types/nvidia-471/description", "max_instance=5\n")
    missing = tree.root / "sys/devices/pci/0000:41:00.4/mdev_supported_types/nvidia-471/device_api"
    missing.unlink()
    opened: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "open", recording(opened, os.open))
        unread_paths = [file["path"] for file in info()["unread"]]
    assert [path for path in unread_paths if path.endswith("device_api")] == [str(missing)]
    assert [path.split("/")[-4] for path in opened if path.endswith("device_api")] == ["0000:41:00.4", "0000:41:00.5"]


def recording(opened: list[str], open_file: Callable[..., int]) -> Callable[..., int]:
    """open(2) that notes what it opens."""

    def noted(path: str, *values: Any, **options: Any) -> int:
        opened.append(str(path))
        return open_file(path, *values, **options)

    return noted
