# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a tree like /sys of a host with many parents: make_tree.py FOLDER PARENTS TYPES DEVICES [FUNCTIONS].

With FUNCTIONS, the parents are virtual functions, so many on each card.
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path

_DESCRIPTION = "num_heads=4, frl_config=60, framebuffer=4096M, max_resolution=5120x2880, max_instance=10\n"


def build(root: Path, parents: int, types: int, devices: int, functions: int = 1) -> None:
    """Write the tree. The devices are spread evenly over the parents, and those of a card have the same type."""
    for number in range(parents):
        _parent(root, number, types, functions)
    for number in range(devices):
        parent = number * parents // devices
        _device(root, number, _folder(root, parent, functions), parent // functions % types)


def device_uuid(number: int) -> str:
    """The UUID of a device."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def _address(number: int, functions: int) -> str:
    if functions == 1:
        return f"0000:{0x40 + number // 32:02x}:{number // 8 % 4:02x}.{number % 8}"
    card, function = divmod(number, functions)
    return f"0000:{0x40 + card:02x}:{(function + 4) // 8:02x}.{(function + 4) % 8}"


def _folder(root: Path, number: int, functions: int) -> Path:
    return root / "devices" / "pci0000:40" / _address(number, functions)


def _parent(root: Path, number: int, types: int, functions: int) -> None:
    folder = _pci_device(root, _folder(root, number, functions), number // functions % 2)
    _link(root / "class/mdev_bus" / folder.name, folder)
    if functions > 1:
        card = folder.with_name(f"0000:{0x40 + number // functions:02x}:00.0")
        _link(folder / "physfn", card)
        if number % functions == 0:
            _pci_device(root, card, number // functions % 2)
    for type_number in range(types):
        files = {
            "name": f"NVIDIA A100-{type_number}C\n",
            "description": _DESCRIPTION,
            "device_api": "vfio-pci\n",
            "available_instances": "4\n",
            "create": "",
        }
        place = folder / "mdev_supported_types" / f"nvidia-{400 + type_number}"
        (place / "devices").mkdir(parents=True)
        for name, text in files.items():
            (place / name).write_text(text)


def _pci_device(root: Path, folder: Path, numa_node: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("vendor", "0x10de"), ("device", "0x20f1"), ("numa_node", str(numa_node))):
        (folder / name).write_text(f"{text}\n")
    _link(folder / "driver", root / "bus/pci/drivers/nvidia")
    _link(folder / "subsystem", root / "bus/pci")
    _link(root / "bus/pci/devices" / folder.name, folder)
    return folder


def _device(root: Path, number: int, parent: Path, type_number: int) -> None:
    folder = parent / device_uuid(number)
    folder.mkdir()
    (folder / "remove").write_text("")
    _link(folder / "mdev_type", parent / "mdev_supported_types" / f"nvidia-{400 + type_number}")
    _link(folder / "iommu_group", root / "kernel/iommu_groups" / str(number))
    _link(folder / "driver", root / "bus/mdev/drivers/nvidia-vgpu-vfio")
    _link(root / "bus/mdev/devices" / folder.name, folder)


def _link(link: Path, target: Path) -> None:
    """Relative, as the kernel's are."""
    link.parent.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))


if __name__ == "__main__":
    build(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:]))
