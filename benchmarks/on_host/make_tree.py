# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a tree like /sys of a host with many parents: make_tree.py FOLDER PARENTS TYPES DEVICES."""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path

_DESCRIPTION = "num_heads=4, frl_config=60, framebuffer=4096M, max_resolution=5120x2880, max_instance=10\n"


def build(root: Path, parents: int, types: int, devices: int) -> None:
    """Write the tree. The devices are spread evenly over the parents and types."""
    for number in range(parents):
        _parent(root, number, types)
    for number in range(devices):
        _device(root, number, number % parents, number % types)


def _address(number: int) -> str:
    return f"0000:{0x40 + number // 32:02x}:{number // 8 % 4:02x}.{number % 8}"


def _folder(root: Path, number: int) -> Path:
    return root / "devices" / "pci0000:40" / _address(number)


def _parent(root: Path, number: int, types: int) -> None:
    folder = _folder(root, number)
    folder.mkdir(parents=True)
    for name, text in (("vendor", "0x10de"), ("device", "0x20f1"), ("numa_node", str(number % 2))):
        (folder / name).write_text(f"{text}\n")
    _link(folder / "driver", root / "bus/pci/drivers/nvidia")
    _link(folder / "subsystem", root / "bus/pci")
    _link(root / "class/mdev_bus" / _address(number), folder)
    _link(root / "bus/pci/devices" / _address(number), folder)
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


def _device(root: Path, number: int, parent: int, type_number: int) -> None:
    name = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
    folder = _folder(root, parent) / name
    folder.mkdir()
    (folder / "remove").write_text("")
    _link(folder / "mdev_type", folder.parent / "mdev_supported_types" / f"nvidia-{400 + type_number}")
    _link(folder / "iommu_group", root / "kernel/iommu_groups" / str(number))
    _link(folder / "driver", root / "bus/mdev/drivers/nvidia-vgpu-vfio")
    _link(root / "bus/mdev/devices" / name, folder)


def _link(link: Path, target: Path) -> None:
    """Relative, as the kernel's are."""
    link.parent.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))


if __name__ == "__main__":
    build(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:]))
