# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on broken drivers: nothing hangs, nothing crashes, and unreadable files are reported.

A command to the host that takes more than half a minute fails, and so does a module that ends with a traceback.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from drivers import hostile
from drivers.hostile import Fault, Faulty
from drivers.kit.changes import apply_and_repeat
from drivers.kit.isolated_host import Boot
from drivers.nvidia import t4
from drivers.samples import mtty
from drivers.vfio_ccw import Subchannel

UUID = "11111111-2222-3333-4444-555555555555"
TYPE = "*/mdev_supported_types/mtty-1"
DEVICE = f"*/mtty/{UUID}"

EIO = "EIO (Input/output error)"
ENOENT = "ENOENT (No such file or directory)"
ENODEV = "ENODEV (No such device)"

# Faults, the reported errors by file, and the values shown for type mtty-1.
READING: dict[str, tuple[dict[str, Fault], dict[str, str], dict[str, Any]]] = {
    "slow": ({f"{TYPE}/*": hostile.slow(0.01)}, {}, {"available_instances": 24}),
    "interrupted": ({"*": hostile.interrupted(3)}, {}, {"available_instances": 24}),
    "in pieces": ({"*": hostile.in_pieces(1)}, {}, {"name": "Single port serial", "available_instances": 24}),
    "a name that cannot be read": ({f"{TYPE}/name": hostile.failing(errno.EIO)}, {"name": EIO}, {"name": None}),
    "a name that vanishes": ({f"{TYPE}/name": hostile.vanished}, {}, {"name": None}),
    "a binary name": (
        {f"{TYPE}/name": hostile.returning(b"\xff\xfe\x1b[31m\0\n")},
        {},
        {"name": "\\xff\\xfe\x1b[31m"},
    ),
    "an empty name": ({f"{TYPE}/name": hostile.returning("")}, {}, {"name": None}),
    "a name with lines": (
        {f"{TYPE}/name": hostile.returning("a\n\n</name>&lt;\n")},
        {},
        {"name": "a\n\n</name>&lt;"},
    ),
    "a name that is a folder": (
        {f"{TYPE}/name": hostile.a_folder},
        {"name": "EISDIR (Is a directory)"},
        {"name": None},
    ),
    "no device API": ({f"{TYPE}/device_api": hostile.failing(errno.EIO)}, {"device_api": EIO}, {"device_api": None}),
    "an empty device API": (
        {f"{TYPE}/device_api": hostile.returning("\n")},
        {"device_api": "empty"},
        {"device_api": None},
    ),
    "another type that vanishes": (
        {"*/mtty-2": hostile.vanished},
        {"device_api": ENOENT, "available_instances": ENOENT},
        {"available_instances": 24},
    ),
    "a parent that vanishes": ({"*/mdev_bus/0.0.0052": hostile.vanished}, {"0.0.0052": ENOENT}, {}),
    "a parent that leads nowhere": ({"*/mdev_bus/0.0.0052": hostile.dangling_link}, {"0.0.0052": ENOENT}, {}),
    "a parent whose driver is being unloaded": (
        {"*/css0/0.0.0052/*": hostile.failing(errno.ENODEV)},
        dict.fromkeys(("device_api", "name", "available_instances"), ENODEV),
        {},
    ),
}

# Faults that make a type unusable, and the reported error.
UNUSABLE: dict[str, tuple[Fault, str]] = {
    "not readable": (hostile.failing(errno.EIO), EIO),
    "gone": (hostile.vanished, ENOENT),
    "empty": (hostile.returning("\n"), "empty"),
    "words": (hostile.returning("many\n"), "not a number: 'many'"),
    "a fraction": (hostile.returning("1.5\n"), "not a number: '1.5'"),
    "endless": (hostile.returning("9" * 100_000), f"not a number: '{'9' * 40}'"),
}

# Faults around an existing device: it is shown as far as possible, and can be removed.
AROUND: dict[str, tuple[dict[str, Fault], dict[str, str], dict[str, Any]]] = {
    "a group that appears late": ({f"{DEVICE}/iommu_group": hostile.late(0.3)}, {}, {"iommu_group": 10}),
    "a dangling group link": (
        {f"{DEVICE}/iommu_group": hostile.dangling_link},
        {},
        {"iommu_group": None, "active": True},
    ),
    "no driver": ({f"{DEVICE}/driver": hostile.vanished}, {}, {"active": True}),
    "no VFIO node": ({"dev/vfio/10": hostile.vanished}, {}, {"in_use": False}),
}

# Faults while a device is created or removed: error kind, errno, words, and whether a device remains.
ACTING: dict[str, tuple[dict[str, Fault], dict[str, Any], str, int | None, str, bool]] = {
    "a creation that fails": (
        {f"{TYPE}/create": hostile.failing(errno.EIO)},
        {},
        "kernel_refused",
        errno.EIO,
        "EIO",
        False,
    ),
    "a creation without effect": (
        {f"{TYPE}/create": hostile.ignoring_writes},
        {},
        "kernel_refused",
        None,
        "the device is not there",
        False,
    ),
    "a type whose create file vanishes": (
        {f"{TYPE}/create": hostile.vanished},
        {},
        "kernel_refused",
        errno.ENOENT,
        "the parent or the type no longer exists",
        False,
    ),
    "a removal that fails": (
        {f"{DEVICE}/remove": hostile.failing(errno.EIO)},
        {"state": "absent"},
        "kernel_refused",
        errno.EIO,
        "EIO",
        True,
    ),
    "a removal without effect": (
        {f"{DEVICE}/remove": hostile.ignoring_writes},
        {"state": "absent"},
        "removing",
        None,
        "the device still exists",
        True,
    ),
    "a VFIO node that cannot be opened": (
        {"dev/vfio/10": hostile.unopenable(errno.EIO)},
        {"state": "absent"},
        "kernel_refused",
        errno.EIO,
        "can't determine whether device",
        True,
    ),
}


def unread(result: dict[str, Any]) -> dict[str, str]:
    return {file["path"].rsplit("/", 1)[1]: file["error"] for file in result["unread"]}


@pytest.mark.parametrize(("faults", "reported", "shown"), READING.values(), ids=READING)
def test_unreadable_files_are_reported_and_the_rest_works(
    boot: Boot, faults: dict[str, Fault], reported: dict[str, str], shown: dict[str, Any]
) -> None:
    faulty = Faulty(faults, mtty(), Subchannel("0.0.0052"))
    host = boot(faulty)
    info = host.info(xml=True)
    assert unread(info) == reported
    [mtty_1] = [mdev_type for mdev_type in info["types"] if mdev_type["id"] == "mtty-1"]
    assert shown.items() <= mtty_1.items()
    apply_and_repeat(host, host.device, uuid=UUID, type="mtty-1", parent="mtty")
    assert [device["uuid"] for device in host.info(xml=True)["devices"]] == [UUID]
    apply_and_repeat(host, host.device, uuid=UUID, state="absent")
    assert host.files.devices() == {}
    assert not faulty.unused


@pytest.mark.parametrize(("fault", "reported"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_type_with_unknown_capacity_is_not_used(boot: Boot, fault: Fault, reported: str) -> None:
    host = boot(Faulty({f"{TYPE}/available_instances": fault}, mtty()))
    assert unread(host.info()) == {"available_instances": reported}
    refused = host.device(uuid=UUID, type="mtty-1")
    assert refused["error"]["kind"] == "no_room"
    assert "available_instances of mtty-1 could not be read" in refused["msg"]
    assert host.files.writes == []
    apply_and_repeat(host, host.device, uuid=UUID, type="mtty-2")


@pytest.mark.parametrize(("faults", "reported", "shown"), AROUND.values(), ids=AROUND)
def test_a_device_with_odd_files_can_be_created_and_removed(
    boot: Boot, faults: dict[str, Fault], reported: dict[str, str], shown: dict[str, Any]
) -> None:
    faulty = Faulty(faults, mtty())
    host = boot(faulty)
    apply_and_repeat(host, host.device, uuid=UUID, type="mtty-1")
    info = host.info(xml=True)
    assert unread(info) == reported
    assert shown.items() <= info["devices"][0].items()
    apply_and_repeat(host, host.device, uuid=UUID, state="absent")
    assert host.files.devices() == {}
    assert not faulty.unused


@pytest.mark.parametrize(
    ("faults", "request_", "error_kind", "number", "words", "remains"), ACTING.values(), ids=ACTING
)
def test_faults_while_acting_are_clear_errors(
    boot: Boot,
    faults: dict[str, Fault],
    request_: dict[str, Any],
    error_kind: str,
    number: int | None,
    words: str,
    remains: bool,
) -> None:
    faulty = Faulty(faults, mtty())
    host = boot(faulty)
    if request_:
        host.device(uuid=UUID, type="mtty-1")
    refused = host.device(**{"uuid": UUID, "type": "mtty-1", **request_})
    assert (refused["error"]["kind"], refused["error"].get("errno")) == (error_kind, number), refused["msg"]
    assert words in refused["msg"]
    assert (UUID in host.files.devices()) is remains
    assert not faulty.unused


def test_long_descriptions_are_truncated(boot: Boot) -> None:
    """Eight cards with three types each and ten megabytes per description."""
    cards = (t4(f"0000:{bus:02x}:00.0") for bus in range(0x10, 0x18))
    host = boot(Faulty({"*/description": hostile.returning(b"x" * 10_000_000)}, *cards))
    host.info()
    host.peak_memory()
    before = host.peak_memory()
    assert {mdev_type["description"] for mdev_type in host.info()["types"]} == {"x" * 65536}
    assert host.peak_memory() - before < 20_000


def test_a_file_in_place_of_a_folder_is_not_a_device(boot: Boot) -> None:
    host = boot(Faulty({DEVICE: hostile.a_file}, mtty()))
    (host.files.sys / "class/mdev_bus/mtty/mdev_supported_types/mtty-1/create").write_text(UUID)
    assert host.info()["devices"] == []
