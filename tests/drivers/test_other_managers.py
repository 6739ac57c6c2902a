# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that oVirt or Proxmox VE create when a guest starts, and remove when it stops, beside a set on one card.

Both write the files of the kernel, and define nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from drivers.kit.isolated_host import Boot, IsolatedHost
from drivers.nvidia import t4

CARD, TYPE = "0000:3b:00.0", "nvidia-232"
ROOM = 4

# oVirt's engine gives a device a random UUID, Proxmox VE makes it from the number of the device and the guest's id
# (generate_mdev_uuid() in PVE::QemuServer::PCI::Mdev).
OVIRT = "0f4f2a6c-86a4-4e35-9d3e-1d0c4f2d7a11"
PROXMOX = "00000000-0000-0000-0000-000000000100"


def start_in_ovirt(host: IsolatedHost) -> str:
    """Source: mdev_create() in vdsm's lib/vdsm/supervdsm_api/virt.py."""
    (host.files.sys / f"class/mdev_bus/{CARD}/mdev_supported_types/{TYPE}/create").write_text(OVIRT)
    (host.files.sys / f"bus/mdev/devices/{OVIRT}/nvidia/vgpu_params").write_text("frame_rate_limiter=0\n")
    return OVIRT


def stop_in_ovirt(host: IsolatedHost) -> None:
    """Source: mdev_delete() in the same file."""
    (host.files.sys / f"class/mdev_bus/{CARD}/{OVIRT}/remove").write_text("1")


def start_in_proxmox(host: IsolatedHost) -> str:
    """Source: pci_create_mdev_device() in PVE::QemuServer::PCI::Mdev (qemu-server)."""
    (host.files.sys / f"bus/pci/devices/{CARD}/mdev_supported_types/{TYPE}/create").write_text(PROXMOX)
    return PROXMOX


def stop_in_proxmox(host: IsolatedHost) -> None:
    """Source: cleanup_pci_devices() in PVE::QemuServer."""
    (host.files.sys / f"bus/mdev/devices/{PROXMOX}/remove").write_text("1")


Start = Callable[[IsolatedHost], str]
Stop = Callable[[IsolatedHost], None]
MANAGERS = pytest.mark.parametrize(
    ("start", "stop"),
    [
        pytest.param(start_in_ovirt, stop_in_ovirt, id="oVirt"),
        pytest.param(start_in_proxmox, stop_in_proxmox, id="Proxmox VE"),
    ],
)
OF_SET: dict[str, Any] = {"devices": [{"type": TYPE, "parent": CARD, "count": 2}]}
EMPTY: dict[str, Any] = {"devices": []}


def uuids(host: IsolatedHost) -> set[str]:
    return {device["uuid"] for device in host.info()["devices"]}


@MANAGERS
def test_its_device_is_shown_as_used_by_its_guest(boot: Boot, start: Start, stop: Stop) -> None:
    host = boot(t4())
    foreign = start(host)
    [starting] = host.info()["devices"]
    assert (starting["active"], starting["defined"], starting["in_use"]) == (True, False, False)
    host.give_to_guest(foreign, "vm-7")
    [running] = host.info()["devices"]
    assert (running["uuid"], running["type"], running["in_use"]) == (foreign, TYPE, True)
    assert [user["guest"] for user in running["used_by"]] == ["vm-7"]
    assert running["drift"] == []
    host.stop_guests()
    stop(host)
    assert host.info()["devices"] == []


@MANAGERS
@pytest.mark.parametrize("purge", ["none", "owned"])
@pytest.mark.parametrize("is_running", [True, False], ids=["running", "starting"])
def test_a_set_leaves_its_device_alone(boot: Boot, start: Start, stop: Stop, purge: str, is_running: bool) -> None:
    host = boot(t4())
    own = {device["uuid"] for device in host.set(**OF_SET, purge=purge)["devices"]}
    foreign = start(host)
    if is_running:
        host.give_to_guest(foreign)
    assert host.set(**OF_SET, purge=purge)["changed"] is False
    assert uuids(host) == {*own, foreign}
    host.set(**EMPTY, purge=purge)
    assert uuids(host) == {foreign} | (own if purge == "none" else set())
    host.stop_guests()
    stop(host)


@MANAGERS
def test_only_a_purge_of_all_removes_its_device_and_never_from_a_guest(boot: Boot, start: Start, stop: Stop) -> None:
    host = boot(t4())
    foreign = start(host)
    host.give_to_guest(foreign, "vm-7")
    refused = host.set(**EMPTY, purge="all")
    assert refused["error"]["kind"] == "in_use" and "vm-7" in refused["msg"]
    purged = host.set(**EMPTY, purge="all", on_in_use="skip")
    assert [device["uuid"] for device in purged["kept"]] == [foreign]
    assert uuids(host) == {foreign}
    host.stop_guests()
    assert host.set(**EMPTY, purge="all")["changed"] is True
    assert uuids(host) == set()


@MANAGERS
def test_its_device_takes_room_and_gives_it_back(boot: Boot, start: Start, stop: Stop) -> None:
    host = boot(t4())
    start(host)
    question = [{"type": TYPE, "count": ROOM}]
    assert host.info(capacity=question)["capacity"][0]["fitting"] == ROOM - 1
    refused = host.set(devices=[{"type": TYPE, "count": ROOM}])
    assert refused["error"]["kind"] == "no_room"
    stop(host)
    assert host.set(devices=[{"type": TYPE, "count": ROOM}])["changed"] is True
