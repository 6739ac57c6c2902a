# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's file systems as plain files below one folder, enough for reading."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional


class Tree:
    """Builds /sys, /dev, /proc and /etc of a host step by step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sys = root / "sys"
        self.sys.mkdir()
        # Only this process: other processes of the tester's machine are not part of this host.
        (root / "proc").mkdir()
        (root / "proc" / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
        self.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")

    def write(self, path: str, text: str | bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def link(self, path: str, target: str) -> None:
        """A symbolic link between two paths below the root; relative, as in sysfs."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(os.path.relpath(self.root / target, file.parent))

    def parent(self, name: str, subsystem: str = "pci", **types: str) -> str:
        """Add a parent with types: name=available instances. Returns its folder."""
        folder = f"sys/devices/{subsystem}/{name}"
        self.link(f"sys/class/mdev_bus/{name}", folder)
        (self.root / "sys/bus" / subsystem).mkdir(parents=True, exist_ok=True)
        (self.root / folder).mkdir(parents=True)
        self.link(f"{folder}/subsystem", f"sys/bus/{subsystem}")
        for type_id, instances in types.items():
            self.type(folder, type_id.replace("_", "-"), instances)
        return folder

    def type(self, folder: str, type_id: str, instances: str) -> str:
        path = f"{folder}/mdev_supported_types/{type_id}"
        self.write(f"{path}/name", f"Name of {type_id}\n")
        self.write(f"{path}/device_api", "vfio-pci\n")
        self.write(f"{path}/available_instances", f"{instances}\n")
        return path

    def device(self, folder: str, uuid: str, type_id: str, group: Optional[int] = None) -> str:
        path = f"{folder}/{uuid}"
        self.link(f"{path}/mdev_type", f"{folder}/mdev_supported_types/{type_id}")
        self.link(f"{path}/driver", "sys/bus/mdev/drivers/some_driver")
        self.link(f"sys/bus/mdev/devices/{uuid}", path)
        if group is not None:
            self.link(f"{path}/iommu_group", f"sys/kernel/iommu_groups/{group}")
            self.write(f"dev/vfio/{group}", "")
        return path
