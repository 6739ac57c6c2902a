# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration for programs that give devices to guests, compared with the examples of their documentation."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.filter.kubevirt_devices import kubevirt_devices
from ansible_collections.vfio.mdev.plugins.filter.nova_config import nova_config


def parent(address: str, card: Optional[str] = None, framework: str = "mdev", **more: Any) -> dict[str, Any]:
    return {"address": address, "physical_function": card, "framework": framework, "current_type": None, **more}


def mdev_type(type_id: str, name: Optional[str], framework: str = "mdev") -> dict[str, Any]:
    return {"id": type_id, "name": name, "framework": framework}


GPUS = [parent(f"0000:{bus}:00.0") for bus in ("84", "85", "86")]
HOST = {"parents": GPUS, "types": [mdev_type("nvidia-35", "GRID A"), mdev_type("nvidia-36", "GRID B")]}

L40S = {
    "parents": [
        parent("0000:41:00.4", "0000:41:00.0", "vendor_vfio", current_type="1148"),
        parent("0000:41:00.5", "0000:41:00.0", "vendor_vfio"),
    ],
    "types": [mdev_type("1148", "NVIDIA L40S-2Q", "vendor_vfio")],
}


def test_nova_gets_the_example_of_its_documentation() -> None:
    """Source: the help of enabled_mdev_types in nova/conf/devices.py."""
    places = {"nvidia-35": ["0000:84:00.0", "0000:85:00.0"], "GRID B": ["0000:86:00.0"]}
    assert nova_config(HOST, places) == (
        "[devices]\n"
        "enabled_mdev_types = nvidia-35, nvidia-36\n"
        "\n"
        "[mdev_nvidia-35]\n"
        "device_addresses = 0000:84:00.0,0000:85:00.0\n"
        "\n"
        "[mdev_nvidia-36]\n"
        "device_addresses = 0000:86:00.0\n"
    )


def test_a_card_stands_for_its_functions() -> None:
    functions = [parent(f"0000:41:00.{number}", "0000:41:00.0") for number in (4, 5)]
    text = nova_config({**HOST, "parents": functions}, {"nvidia-35": ["0000:41:00.0"]})
    assert "device_addresses = 0000:41:00.4,0000:41:00.5\n" in text


def test_nova_gets_functions_that_have_the_vgpu() -> None:
    """Source: device_spec with managed and resource_class in nova/conf/pci.py."""
    assert nova_config(L40S, {"NVIDIA L40S-2Q": ["0000:41:00.0"]}) == (
        '[pci]\ndevice_spec = {"address": "0000:41:00.4", "resource_class": "CUSTOM_NVIDIA_L40S_2Q", "managed": "no"}\n'
    )


@pytest.mark.parametrize(
    ("host", "types", "words"),
    [
        (HOST, {"nvidia-3": []}, "type 'nvidia-3': the host offers no such type. Types of this host: nvidia-35"),
        (HOST, {"nvidia-35": ["0000:99:00.0"]}, "'0000:99:00.0' is neither a card nor a parent"),
        (
            HOST,
            {"nvidia-35": ["0000:84:00.0"], "nvidia-36": ["0000:84:00.0"]},
            "parent 0000:84:00.0 has types nvidia-35 and nvidia-36, and nova accepts one type only",
        ),
        (L40S, {"1148": ["0000:41:00.5"]}, "is not set on any virtual function"),
        ({}, {"1148": []}, "expected a result of vfio.mdev.mdev_info"),
        (HOST, ["nvidia-35"], "and a dictionary of types"),
    ],
)
def test_what_does_not_match_the_host_is_refused(host: Any, types: Any, words: str) -> None:
    with pytest.raises(AnsibleFilterError) as refused:
        nova_config(host, types)
    assert words in str(refused.value)


def test_kubevirt_gets_the_example_of_its_documentation() -> None:
    types = [mdev_type("nvidia-222", "GRID T4-1Q"), mdev_type("odd", None), *L40S["types"]]
    assert kubevirt_devices({"types": types}, "nvidia.com") == {
        "mediatedDevices": [
            {"mdevNameSelector": "GRID T4-1Q", "resourceName": "nvidia.com/GRID_T4-1Q"},
            {"mdevNameSelector": "odd", "resourceName": "nvidia.com/odd"},
        ]
    }
    with pytest.raises(AnsibleFilterError, match="expected a result"):
        kubevirt_devices({"types": None}, "nvidia.com")
