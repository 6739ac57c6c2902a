# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on s390 crypto adapters: devices are created with their attributes in order."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from drivers.kit.changes import Change, Refusal, apply_and_repeat, check_change, check_refusal
from drivers.kit.isolated_host import Boot
from drivers.vfio_ap import Adapters, Matrix

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"
AP = "vfio_ap-passthrough"


def shared() -> Adapters:
    """Adapters 5 and 6, and domains 0x04 and 0x47 of all adapters, do not belong to the default drivers."""
    return Adapters(set(range(256)) - {5, 6}, set(range(256)) - {0x04, 0x47})


def assign(*pairs: str) -> list[dict[str, str]]:
    """ "adapter 5" is attribute assign_adapter with value 5."""
    words = (pair.split() for pair in pairs)
    return [{"name": f"assign_{unit}", "value": value} for unit, value in words]


def request(*pairs: str, uuid: str = UUID, **more: Any) -> dict[str, Any]:
    return {"uuid": uuid, "type": AP, "attributes": assign(*pairs), **more}


FIRST = request("adapter 5", "domain 4")

CHANGES = {
    "a queue": (
        Change(
            FIRST,
            [f"create {AP} on matrix", "write 5 to assign_adapter", "write 4 to assign_domain"],
            {
                "parent": "matrix",
                "parent_nodedev": "ap_matrix",
                "type_name": "VFIO AP Passthrough Device",
                "device_api": "vfio-ap",
                "nodedev": "mdev_11111111_2222_3333_4444_555555555555_matrix",
            },
        ),
        Matrix({5}, {4}),
    ),
    "by its node device's name": (
        Change({"uuid": UUID, "type": AP, "parent": "ap_matrix"}, [f"create {AP} on matrix"], {"parent": "matrix"}),
        Matrix(),
    ),
    "numbers as people write them": (
        Change(
            request("adapter 0x05", "adapter 06", "domain 0x47"),
            [
                f"create {AP} on matrix",
                "write 0x05 to assign_adapter",
                "write 06 to assign_adapter",
                "write 0x47 to assign_domain",
            ],
            {"active": True},
        ),
        Matrix({5, 6}, {0x47}),
    ),
    "with control domains": (
        Change(
            request("control_domain 4", "domain 4", "adapter 5", persistent=True),
            [
                f"create {AP} on matrix",
                "write 4 to assign_control_domain",
                "write 4 to assign_domain",
                "write 5 to assign_adapter",
                f"define {AP} on matrix",
            ],
            {"defined": True, "attributes": assign("control_domain 4", "domain 4", "adapter 5")},
        ),
        Matrix({5}, {4}, {4}),
    ),
    "beside another": (
        Change(
            request("adapter 5", "domain 0x47", "control_domain 4", uuid=OTHER),
            [
                f"create {AP} on matrix",
                "write 5 to assign_adapter",
                "write 0x47 to assign_domain",
                "write 4 to assign_control_domain",
            ],
            {"active": True},
            before=(FIRST,),
        ),
        Matrix({5}, {0x47}, {4}),
    ),
    "removed": (Change({"uuid": UUID, "state": "absent"}, [f"remove {AP} on matrix"], None, before=(FIRST,)), None),
}


@pytest.mark.parametrize(("change", "matrix"), CHANGES.values(), ids=CHANGES)
def test_changes(boot: Boot, change: Change, matrix: Matrix | None) -> None:
    adapters = shared()
    check_change(boot(adapters), change)
    assert adapters.matrixes.get(change.request["uuid"]) == matrix


def refused(number: int, attribute: str, *pairs: str, before: tuple[dict[str, Any], ...] = ()) -> Refusal:
    words = [errno.errorcode[number], f"to 'assign_{attribute}'"]
    return Refusal(request(*pairs, uuid=OTHER), "kernel_refused", words, number, before, writes=True)


# The refused write shows the order: of a pair it is the later one.
REFUSALS = {
    "an adapter that no host has": refused(errno.ENODEV, "adapter", "adapter 256", "domain 4"),
    "a domain that this host does not have": refused(errno.ENODEV, "domain", "adapter 5", "domain 0x55"),
    "a control domain that this host does not have": refused(errno.ENODEV, "control_domain", "control_domain 85"),
    "a queue of the default drivers, the domain last": refused(
        errno.EADDRNOTAVAIL, "domain", "adapter 5", "adapter 7", "domain 4", "domain 8"
    ),
    "a queue of the default drivers, the adapter last": refused(
        errno.EADDRNOTAVAIL, "adapter", "domain 8", "adapter 5", "adapter 7"
    ),
    "a queue of another device": refused(
        errno.EADDRINUSE, "domain", "adapter 5", "domain 0x47", "domain 4", before=(FIRST,)
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_device_is_not_left_behind(boot: Boot, refusal: Refusal) -> None:
    adapters = shared()
    check_refusal(boot(adapters), refusal)
    assert adapters.matrixes == ({UUID: Matrix({5}, {4})} if refusal.before else {})


def test_a_set_with_one_queue_too_many_is_rolled_back(boot: Boot) -> None:
    host = boot(shared())
    devices = [
        {"name": name, "type": AP, "attributes": assign(*pairs)}
        for name, pairs in (("one", ("adapter 5", "domain 4")), ("two", ("adapter 6", "adapter 5", "domain 4")))
    ]
    answer = host.set(devices=devices)
    assert (answer["error"]["kind"], answer["error"]["errno"]) == ("kernel_refused", errno.EADDRINUSE)
    assert answer["msg"].startswith("devices[1] (two): ")
    assert host.files.devices() == {}
    devices[1]["attributes"] = assign("adapter 6", "domain 4")
    apply_and_repeat(host, host.set, devices=devices)


def test_available_instances(boot: Boot) -> None:
    host = boot(shared())
    host.device(**FIRST)
    assert host.info()["types"][0]["available_instances"] == 65535


FILES = {
    "nothing": (Matrix(), "", "", ("", "", "")),
    "queues": (
        Matrix({5, 0xFF}, {4, 0x47}),
        "05.0004\n05.0047\nff.0004\nff.0047\n",
        "",
        ("04" + 61 * "0" + "1", "08" + 15 * "0" + "1", ""),
    ),
    "adapters": (Matrix({5, 6}), "05.\n06.\n", "", ("06", "", "")),
    "domains": (Matrix(set(), {4}, {4, 8}), ".0004\n", "0004\n0008\n", ("", "08", "088")),
}


@pytest.mark.parametrize(("matrix", "queues", "control_domains", "masks"), FILES.values(), ids=FILES)
def test_files_of_the_driver(
    boot: Boot, matrix: Matrix, queues: str, control_domains: str, masks: tuple[str, str, str]
) -> None:
    adapters = shared()
    host = boot(adapters)
    host.device(uuid=UUID, type=AP)
    folder = host.files.sys / "devices/vfio_ap/matrix" / UUID
    adapters.matrixes[UUID] = matrix
    host.files.kernel.changed()
    assert (folder / "matrix").read_text() == queues
    assert (folder / "control_domains").read_text() == control_domains
    config = ",".join(f"0x{mask:0<64}" for mask in masks) + "\n"
    assert (folder / "ap_config").read_text() == config
    adapters.matrixes[UUID] = Matrix()
    host.files.kernel.changed()
    (folder / "ap_config").write_text(",".join(mask or "0" for mask in masks))
    assert adapters.matrixes[UUID] == matrix
