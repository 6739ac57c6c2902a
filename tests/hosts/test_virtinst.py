# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""virt-xml and virt-install take the node device of a result, and the guest starts with the device.

They know types by their ids and refuse those of the kernel's samples (virtinst/devices/hostdev.py), so the device has a
type of a sample driver that was built under the name of NVIDIA's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Host, sh

UUID = "11111111-2222-3333-4444-555555555555"
TYPE = "nvidia-32"
# A guest that needs no disk, network or firmware of its own, as small as the lab's other guests.
NEW_GUEST = (
    "virt-install --connect qemu:///system --name web --memory 64 --vcpus 1 --virt-type qemu --arch x86_64 "
    "--machine q35 --cpu qemu64 --osinfo detect=off,require=off --install no_install=yes --disk none --network none "
    "--graphics none --controller usb,model=none --noautoconsole"
)


@pytest.fixture(scope="module", autouse=True)
def nvidia_driver() -> Iterator[None]:
    sh("modprobe nvidia_sample")
    yield
    sh("modprobe --remove nvidia_sample")


@pytest.fixture(autouse=True)
def defined_guests(host: Host) -> Iterator[None]:
    """Undefines what a test defined, while the device still exists."""
    yield
    sh("for guest in $(virsh list --all --uuid); do virsh destroy $guest; virsh undefine $guest; done", fails=True)


@pytest.fixture
def device(host: Host) -> dict[str, Any]:
    created: dict[str, Any] = host.device(uuid=UUID, type=TYPE, persistent=False)["device"]
    return created


def users(host: Host) -> list[str]:
    """The guests that use the device."""
    [shown] = host.info(uuids=[UUID])["devices"]
    return [user["guest"] for user in shown["used_by"]]


def test_virt_xml_adds_the_device_to_a_guest(host: Host, device: dict[str, Any]) -> None:
    sh(f"{NEW_GUEST} --print-xml > /run/web.xml && virsh define /run/web.xml")
    Path("/run/web.xml").unlink()
    sh(f"virt-xml --connect qemu:///system web --add-device --hostdev {device['nodedev']}")
    assert f"uuid='{UUID}'" in sh("virsh dumpxml --inactive web")
    sh("virsh start web")
    assert users(host) == ["web"]
    host.expect_refusal("in_use", "guest 'web'", uuid=UUID, state="absent")


def test_virt_install_starts_a_guest_with_the_device(host: Host, device: dict[str, Any]) -> None:
    sh(f"{NEW_GUEST} --transient --hostdev {device['nodedev']}")
    assert sh("virsh domstate web").strip() == "running"
    assert users(host) == ["web"]


def test_the_hostdev_of_the_result_works_for_types_that_they_refuse(host: Host) -> None:
    created = host.device(uuid=UUID, type="mtty-2", persistent=False)["device"]
    sh(f"{NEW_GUEST} --print-xml > /run/web.xml && virsh define /run/web.xml")
    Path("/run/web.xml").unlink()
    refused = f"virt-xml --connect qemu:///system web --add-device --hostdev {created['nodedev']} 2>&1"
    assert "Don't know how to generate nodedev for mdev type id 'mtty-2'" in sh(refused, fails=True)
    sh("virsh attach-device web /dev/stdin --config", created["hostdev_xml"])
    sh("virsh start web")
    assert users(host) == ["web"]
