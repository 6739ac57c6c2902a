# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's /sys and /dev/vfio as a file system in user space (FUSE): real files, real errnos, real blocking."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import mfusepy

from drivers.kit.kernel import Kernel
from drivers.kit.nodes import FOLDER, Node, Nodes, refuse, with_folders

MACHINE_ID = "0123456789abcdef0123456789abcdef"

# Present on every host, whatever its hardware.
_ALWAYS = ("sys/class/mdev_bus", "sys/bus/mdev/devices", "sys/bus/pci/devices", "sys/module", "dev/vfio")


class Driver(Protocol):
    """A part of a host's hardware."""

    def plug(self, kernel: Kernel) -> None: ...

    def nodes(self) -> Nodes: ...


class HostFiles(mfusepy.Operations):  # type: ignore[misc]
    """The files of a host with these drivers. Tests change the drivers while it is mounted."""

    use_ns = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._opened: dict[int, Node] = {}
        self._handles = iter(range(1, 1 << 62))
        self.boot()

    def boot(self, *drivers: Driver) -> None:
        """Restart the host with this hardware."""
        self.drivers = drivers
        self.kernel = Kernel(self._changed)
        self.writes: list[tuple[str, str]] = []
        # Times that somebody gave to files. The kernel keeps them (kernfs_iop_setattr), and writes don't change them.
        self.times: dict[str, int] = {}
        for driver in drivers:
            driver.plug(self.kernel)
        self._changed()

    @property
    def sys(self) -> Path:
        return self.root / "sys"

    @property
    def run(self) -> Path:
        """The folder behind /run, which holds files of its own."""
        return self.root.with_name(f"{self.root.name}-run")

    def devices(self) -> dict[str, str]:
        """The mediated devices in the kernel: UUID and type."""
        return {device.uuid: device.type_id for device in self.kernel.devices.values()}

    def _changed(self) -> None:
        with self._lock:
            self._cached: Nodes | None = None

    def _nodes(self) -> Nodes:
        """All nodes. Cached until something changes: one module run asks thousands of times."""
        with self._lock:
            if self._cached is None:
                self._cached = self._build()
                self._children: dict[str, list[str]] = {}
                for path in self._cached:
                    self._children.setdefault(os.path.dirname(path) if path else "/", []).append(os.path.basename(path))
            return self._cached

    def _build(self) -> Nodes:
        nodes: Nodes = dict.fromkeys(_ALWAYS, FOLDER)
        # For the lock. A module whose /sys is not here has its own.
        nodes["run"] = Node(target=str(self.run))
        nodes["etc/machine-id"] = Node(read=lambda: f"{MACHINE_ID}\n")
        # Only this process: other processes of the tester's machine are not part of this host.
        nodes[f"proc/{os.getpid()}"] = Node(target=f"/proc/{os.getpid()}")
        for driver in self.drivers:
            nodes.update(driver.nodes())
        return with_folders(nodes)

    # Called by FUSE.

    def _node(self, path: str) -> Node:
        node = self._nodes().get(path.strip("/"))
        if node is None:
            refuse(errno.ENOENT)
        return node

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        node = self._node(path)
        if node.on_lookup is not None:
            node.on_lookup()
        return {
            "st_mode": node.mode(),
            "st_nlink": 1,
            "st_size": 4096,
            "st_mtime": self.times.get(path, time.time_ns()),
        }

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        self._node(path)
        yield from (".", "..", *sorted(self._children.get(path.strip("/"), ())))

    def readlink(self, path: str) -> str:
        return self._node(path).target or ""

    def open(self, path: str, flags: int) -> int:
        node = self._node(path)
        if node.on_open is not None:
            node.on_open()
        if flags & os.O_TRUNC:
            self.truncate(path, 0)
        handle = next(self._handles)
        self._opened[handle] = node
        return handle

    def release(self, path: str, fh: int) -> int:
        node = self._opened.pop(fh)
        if node.on_close is not None:
            node.on_close()
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        node = self._opened[fh]
        text = node.read() if node.read is not None else ""
        data = text if isinstance(text, bytes) else text.encode()
        return data[offset : offset + min(size, node.max_read or size)]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        text = data.decode()
        self.writes.append((path.strip("/"), text))
        node = self._opened[fh]
        if node.write is None:
            refuse(errno.EACCES)
        node.write(text)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        """Also called for O_TRUNC, as a shell's > opens files: this sets the time."""
        self._node(path)
        self.times[path] = time.time_ns()

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        self._node(path)
        self.times[path] = times[1] if times else time.time_ns()
