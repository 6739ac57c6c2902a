# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on drivers that are broken: nothing hangs, nothing crashes, and what could not be read is told.

An order to the machine that takes more than half a minute fails, and so does a module that ends with a traceback.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from drivers import hostile
from drivers.hostile import Fault, Faulty
from drivers.kit.changes import thrice
from drivers.kit.machine import Boot
from drivers.nvidia import t4
from drivers.samples import mtty
from drivers.vfio_ccw import Subchannel

UUID = "11111111-2222-3333-4444-555555555555"
TYPE = "*/mdev_supported_types/mtty-1"
DEVICE = f"*/mtty/{UUID}"

EIO = "EIO (Input/output error)"
ENOENT = "ENOENT (No such file or directory)"
ENODEV = "ENODEV (No such device)"

# Faults, what is told of which files, and what is shown of type mtty-1.
READING: dict[str, tuple[dict[str, Fault], dict[str, str], dict[str, Any]]] = {
    "slow": ({f"{TYPE}/*": hostile.slow(0.01)}, {}, {"available_instances": 24}),
    "interrupted": ({"*": hostile.interrupted(3)}, {}, {"available_instances": 24}),
    "in pieces": ({"*": hostile.in_pieces(1)}, {}, {"name": "Single port serial", "available_instances": 24}),
    "a name that can't be read": ({f"{TYPE}/name": hostile.failing(errno.EIO)}, {"name": EIO}, {"name": None}),
    "a name that vanishes": ({f"{TYPE}/name": hostile.ghost}, {}, {"name": None}),
    "a name of bytes": ({f"{TYPE}/name": hostile.saying(b"\xff\xfe\x1b[31m\0\n")}, {}, {"name": "\\xff\\xfe\x1b[31m"}),
    "a name of nothing": ({f"{TYPE}/name": hostile.saying("")}, {}, {"name": None}),
    "a name of many lines": ({f"{TYPE}/name": hostile.saying("a\n\n</name>&lt;\n")}, {}, {"name": "a\n\n</name>&lt;"}),
    "a name that is a folder": (
        {f"{TYPE}/name": hostile.a_folder},
        {"name": "EISDIR (Is a directory)"},
        {"name": None},
    ),
    "no interface": ({f"{TYPE}/device_api": hostile.failing(errno.EIO)}, {"device_api": EIO}, {"device_api": None}),
    "an interface of nothing": (
        {f"{TYPE}/device_api": hostile.saying("\n")},
        {"device_api": "empty"},
        {"device_api": None},
    ),
    "another type that vanishes": (
        {"*/mtty-2": hostile.ghost},
        {"device_api": ENOENT, "available_instances": ENOENT},
        {"available_instances": 24},
    ),
    "a parent that vanishes": ({"*/mdev_bus/0.0.0052": hostile.ghost}, {"0.0.0052": ENOENT}, {}),
    "a parent that leads nowhere": ({"*/mdev_bus/0.0.0052": hostile.leading_nowhere}, {"0.0.0052": ENOENT}, {}),
    "a parent whose driver is going": (
        {"*/css0/0.0.0052/*": hostile.failing(errno.ENODEV)},
        dict.fromkeys(("device_api", "name", "available_instances"), ENODEV),
        {},
    ),
}

# What makes a type unusable, and what is told.
UNUSABLE: dict[str, tuple[Fault, str]] = {
    "not readable": (hostile.failing(errno.EIO), EIO),
    "gone": (hostile.ghost, ENOENT),
    "nothing": (hostile.saying("\n"), "empty"),
    "words": (hostile.saying("many\n"), "not a number: 'many'"),
    "a fraction": (hostile.saying("1.5\n"), "not a number: '1.5'"),
    "endless": (hostile.saying("9" * 100_000), f"not a number: '{'9' * 40}'"),
}

# What is wrong around a device that was made: it is shown as far as it can be, and goes when it is asked to.
AROUND: dict[str, tuple[dict[str, Fault], dict[str, str], dict[str, Any]]] = {
    "a group that comes late": ({f"{DEVICE}/iommu_group": hostile.late(0.3)}, {}, {"iommu_group": 10}),
    "a group that is none": (
        {f"{DEVICE}/iommu_group": hostile.leading_nowhere},
        {},
        {"iommu_group": None, "active": True},
    ),
    "no driver": ({f"{DEVICE}/driver": hostile.ghost}, {}, {"active": True}),
    "no VFIO node": ({"dev/vfio/10": hostile.ghost}, {}, {"in_use": False}),
}

# What goes wrong when a device is made or removed: kind of error, errno, words, and whether a device is left.
ACTING: dict[str, tuple[dict[str, Fault], dict[str, Any], str, int | None, str, bool]] = {
    "a creation that fails": (
        {f"{TYPE}/create": hostile.failing(errno.EIO)},
        {},
        "kernel_refused",
        errno.EIO,
        "EIO",
        False,
    ),
    "a creation that nothing comes of": (
        {f"{TYPE}/create": hostile.deaf},
        {},
        "kernel_refused",
        None,
        "the device is not there",
        False,
    ),
    "a type that can't be made into a device": (
        {f"{TYPE}/create": hostile.ghost},
        {},
        "kernel_refused",
        errno.ENOENT,
        "the parent or the type is gone",
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
    "a removal that nothing comes of": (
        {f"{DEVICE}/remove": hostile.deaf},
        {"state": "absent"},
        "removing",
        None,
        "the device is still there",
        True,
    ),
    "a VFIO node that can't be opened": (
        {"dev/vfio/10": hostile.shut(errno.EIO)},
        {"state": "absent"},
        "kernel_refused",
        errno.EIO,
        "can't tell whether device",
        True,
    ),
}


def unread(result: dict[str, Any]) -> dict[str, str]:
    return {one["path"].rsplit("/", 1)[1]: one["error"] for one in result["unread"]}


@pytest.mark.parametrize(("faults", "told", "shows"), READING.values(), ids=READING)
def test_what_can_t_be_read_is_told_and_the_rest_works(
    boot: Boot, faults: dict[str, Fault], told: dict[str, str], shows: dict[str, Any]
) -> None:
    faulty = Faulty(faults, mtty(), Subchannel("0.0.0052"))
    machine = boot(faulty)
    shown = machine.info(xml=True)
    assert unread(shown) == told
    [kind] = [one for parent in shown["parents"] for one in parent["types"] if one["id"] == "mtty-1"]
    assert shows.items() <= kind.items()
    thrice(machine, machine.device, uuid=UUID, type="mtty-1", parent="mtty")
    assert [one["uuid"] for one in machine.info(xml=True)["devices"]] == [UUID]
    thrice(machine, machine.device, uuid=UUID, state="absent")
    assert machine.host.devices() == {}
    assert not faulty.unused


@pytest.mark.parametrize(("fault", "told"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_type_whose_room_nobody_knows_is_not_used(boot: Boot, fault: Fault, told: str) -> None:
    machine = boot(Faulty({f"{TYPE}/available_instances": fault}, mtty()))
    assert unread(machine.info()) == {"available_instances": told}
    refused = machine.device(uuid=UUID, type="mtty-1")
    assert refused["error"]["kind"] == "no_room"
    assert "available_instances of mtty-1 could not be read" in refused["msg"]
    assert machine.host.writes == []
    thrice(machine, machine.device, uuid=UUID, type="mtty-2")


@pytest.mark.parametrize(("faults", "told", "shows"), AROUND.values(), ids=AROUND)
def test_a_device_with_odd_files_can_be_made_and_removed(
    boot: Boot, faults: dict[str, Fault], told: dict[str, str], shows: dict[str, Any]
) -> None:
    faulty = Faulty(faults, mtty())
    machine = boot(faulty)
    thrice(machine, machine.device, uuid=UUID, type="mtty-1")
    shown = machine.info(xml=True)
    assert unread(shown) == told
    assert shows.items() <= shown["devices"][0].items()
    thrice(machine, machine.device, uuid=UUID, state="absent")
    assert machine.host.devices() == {}
    assert not faulty.unused


@pytest.mark.parametrize(("faults", "request_", "kind", "number", "words", "left"), ACTING.values(), ids=ACTING)
def test_what_goes_wrong_is_an_error_that_says_so(
    boot: Boot,
    faults: dict[str, Fault],
    request_: dict[str, Any],
    kind: str,
    number: int | None,
    words: str,
    left: bool,
) -> None:
    faulty = Faulty(faults, mtty())
    machine = boot(faulty)
    if request_:
        machine.device(uuid=UUID, type="mtty-1")
    refused = machine.device(**{"uuid": UUID, "type": "mtty-1", **request_})
    assert (refused["error"]["kind"], refused["error"].get("errno")) == (kind, number), refused["msg"]
    assert words in refused["msg"]
    assert (UUID in machine.host.devices()) is left
    assert not faulty.unused


def test_what_a_driver_says_at_length_is_cut(boot: Boot) -> None:
    """Eight cards with three types each, ten megabytes a description."""
    cards = (t4(f"0000:{bus:02x}:00.0") for bus in range(0x10, 0x18))
    machine = boot(Faulty({"*/description": hostile.saying(b"x" * 10_000_000)}, *cards))
    machine.info()
    machine.peak_memory()
    before = machine.peak_memory()
    described = {kind["description"] for parent in machine.info()["parents"] for kind in parent["types"]}
    assert described == {"x" * 65536}
    assert machine.peak_memory() - before < 20_000


def test_a_folder_that_is_a_file_is_no_device(boot: Boot) -> None:
    machine = boot(Faulty({DEVICE: hostile.a_file}, mtty()))
    (machine.host.sys / "class/mdev_bus/mtty/mdev_supported_types/mtty-1/create").write_text(UUID)
    assert machine.info()["devices"] == []
