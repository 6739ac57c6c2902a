# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in card with SR-IOV: its folder in sysfs is a file system in user space (FUSE), the rest are plain files.

Rules: sriov_numvfs_store() in the kernel's drivers/pci/iov.c. The current number is accepted, another one only from
zero, none without a driver, and a driver may enable fewer than requested without an error.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mfusepy
from tree import Tree

CARD = "0000:41:00.0"
NVIDIA = "0x10de"
_FOLDER = "sys/devices/pci0000:40"


class PhysicalFunction(mfusepy.Operations):
    """The card. Tests change its behavior through its fields while it is mounted."""

    use_ns = True

    def __init__(self, tree: Tree, vendor: str, total: int) -> None:
        self.tree = tree
        self.vendor = vendor
        self.total = total
        self.enabled = 0
        self.driver: str | None = "nvidia"
        # The largest number that the driver enables, whatever is requested.
        self.maximum = total
        self.refusal: int | None = None
        self.written: list[str] = []
        self.blocked = threading.Event()
        self.blocked.set()

    def function(self, number: int) -> str:
        """The address of a virtual function."""
        return f"0000:41:00.{number + 4}"

    def _files(self) -> dict[str, str]:
        return {
            "vendor": f"{self.vendor}\n",
            "class": "0x030200\n",
            "sriov_totalvfs": f"{self.total}\n",
            "sriov_numvfs": f"{self.enabled}\n",
        }

    def _links(self) -> dict[str, str]:
        links = {f"virtfn{number}": f"../{self.function(number)}" for number in range(self.enabled)}
        return {**links, "driver": f"../../../bus/pci/drivers/{self.driver}"} if self.driver else links

    def _set(self, text: str) -> None:
        self.written.append(text)
        self.blocked.wait(20)
        number = int(text)
        if self.refusal is not None:
            raise mfusepy.FuseOSError(self.refusal)
        if number > self.total:
            raise mfusepy.FuseOSError(errno.ERANGE)
        if number == self.enabled:
            return
        if self.driver is None:
            raise mfusepy.FuseOSError(errno.ENOENT)
        if number and self.enabled:
            raise mfusepy.FuseOSError(errno.EBUSY)
        self._change(min(number, self.maximum))

    def _change(self, number: int) -> None:
        """Add functions as parents with one type each, or remove them with everything on them."""
        for index in range(number):
            folder = f"{_FOLDER}/{self.function(index)}"
            self.tree.link(f"sys/class/mdev_bus/{self.function(index)}", folder)
            self.tree.link(f"{folder}/physfn", f"{_FOLDER}/{CARD}")
            self.tree.link(f"{folder}/subsystem", "sys/bus/pci")
            self.tree.link(f"sys/bus/pci/devices/{self.function(index)}", folder)
            self.tree.type(folder, "nvidia-471", "1")
        for index in range(number, self.enabled):
            (self.tree.sys / "class/mdev_bus" / self.function(index)).unlink()
            (self.tree.sys / "bus/pci/devices" / self.function(index)).unlink()
            shutil.rmtree(self.tree.root / _FOLDER / self.function(index))
        self.enabled = number

    # Called by FUSE.

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        name = path.strip("/")
        if not name:
            mode = stat.S_IFDIR | 0o755
        elif name in self._links():
            mode = stat.S_IFLNK | 0o777
        elif name in self._files():
            mode = stat.S_IFREG | 0o644
        else:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return {"st_mode": mode, "st_nlink": 1, "st_size": 4096}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *self._files(), *self._links()]

    def readlink(self, path: str) -> str:
        return self._links()[path.strip("/")]

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return self._files()[path.strip("/")].encode()[offset : offset + size]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._set(data.decode())
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        """Called by echo before it writes."""


@contextmanager
def sriov_card(tree: Tree, vendor: str = "0x1234", total: int = 4) -> Iterator[PhysicalFunction]:
    """A card on this host while the block runs."""
    folder = tree.root / _FOLDER / CARD
    folder.mkdir(parents=True)
    tree.link(f"sys/bus/pci/devices/{CARD}", f"{_FOLDER}/{CARD}")
    card = PhysicalFunction(tree, vendor, total)
    options = {"foreground": True, "attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0, "direct_io": True}
    server = threading.Thread(target=mfusepy.FUSE, args=(card, str(folder)), kwargs=options, daemon=True)
    server.start()
    end = time.monotonic() + 10
    while not os.path.ismount(folder):
        assert time.monotonic() < end, "the stand-in was not mounted in 10 s"
        time.sleep(0.01)
    try:
        yield card
    finally:
        card.blocked.set()
        subprocess.run(["fusermount3", "-u", "-z", str(folder)], check=False, timeout=20)
        server.join(20)


def manager(tree: Tree, script: str) -> Path:
    """A stand-in for NVIDIA's sriov-manage as a shell script. $numvfs is the file of the card that it is called for."""
    path = tree.write(
        "usr/lib/nvidia/sriov-manage",
        f'#!/bin/sh\nset -u\nnumvfs="{tree.sys}/bus/pci/devices/$2/sriov_numvfs"\n{script}\n',
    )
    path.chmod(0o755)
    return path
