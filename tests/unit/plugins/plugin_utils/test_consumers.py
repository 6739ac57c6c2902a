# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration for programs that give devices to guests, compared with the examples of their documentation."""

from __future__ import annotations

import re
from typing import Any, Optional

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.filter.kubevirt_devices import kubevirt_devices
from ansible_collections.vfio.mdev.plugins.filter.nova_config import nova_config
from ansible_collections.vfio.mdev.plugins.filter.proxmox_mapping import proxmox_mapping


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


A100_IDS, FUNCTION_IDS = "10de:20f1:10de:145f", "10de:20f1:10de:0000"

NODE = {
    "cards": [
        {"address": "0000:41:00.0", "pci_ids": A100_IDS, "function_pci_ids": FUNCTION_IDS},
        {"address": "0000:84:00.0", "pci_ids": "10de:1eb8", "function_pci_ids": None},
        {"address": "mtty", "pci_ids": None, "function_pci_ids": None},
    ],
    "parents": [
        parent("0000:41:00.4", "0000:41:00.0", iommu_group=97),
        parent("0000:41:00.5", "0000:41:00.0", iommu_group=98),
        parent("0000:84:00.0", iommu_group=None),
        parent("mtty", iommu_group=None),
    ],
}

# $map_fmt of PVE::Mapping::PCI (pve-guest-common).
_ADDRESS = "[a-f0-9]{4,}:[a-f0-9]{2}:[a-f0-9]{2}(?:.[a-f0-9])?"
_IDS = "[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}"
MAP_FORMAT = {
    "node": "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?",
    "path": f"(?:{_ADDRESS};)*{_ADDRESS}",
    "id": _IDS,
    "subsystem-id": _IDS,
    "iommugroup": "[+-]?[0-9]+",
}


def test_proxmox_gets_entries_of_its_format() -> None:
    entries = proxmox_mapping(NODE, "pve-1", ["0000:41:00.0", "0000:41:00.5", "0000:84:00.0"])
    assert entries == [
        "node=pve-1,path=0000:41:00.4,id=10de:20f1,subsystem-id=10de:0000,iommugroup=97",
        "node=pve-1,path=0000:41:00.5,id=10de:20f1,subsystem-id=10de:0000,iommugroup=98",
        "node=pve-1,path=0000:84:00.0,id=10de:1eb8",
    ]
    for entry in entries:
        properties = dict(pair.split("=") for pair in entry.split(","))
        assert {"node", "path", "id"} <= set(properties)
        assert all(re.fullmatch(MAP_FORMAT[name], value) for name, value in properties.items())


@pytest.mark.parametrize(
    ("info", "node", "parents", "words"),
    [
        (NODE, "pve_1", ["0000:41:00.0"], "'pve_1' is not a valid name of a node"),
        (NODE, "pve-1", ["0000:99:00.0"], "'0000:99:00.0' is neither a card nor a parent"),
        (NODE, "pve-1", ["mtty"], "the PCI ids of mtty are unknown. Proxmox VE maps PCI devices only"),
        ({**NODE, "cards": None}, "pve-1", ["mtty"], "expected a result of vfio.mdev.mdev_info with cards"),
    ],
)
def test_what_proxmox_cannot_map_is_refused(info: Any, node: str, parents: list[str], words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        proxmox_mapping(info, node, parents)
