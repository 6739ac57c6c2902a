# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose drivers answer: /sys and /dev/vfio in user space (FUSE), with real files, real errnos, real blocking.

What the sample drivers do not do, cards do: one type excludes another, room is promised that is not there, an attribute
is refused, a removal hangs. The answers are those of Linux 6.12, where the lab showed them, and of the vendors'
documentation.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mfusepy

Nodes = dict[str, "Node"]


@dataclass
class Node:
    """A file, a folder (neither read nor write nor target), or a symbolic link."""

    read: Callable[[], str] | None = None
    write: Callable[[str], None] | None = None
    target: str | None = None
    open: Callable[[], None] | None = None

    def mode(self) -> int:
        if self.target is not None:
            return stat.S_IFLNK | 0o777
        if self.read is None and self.write is None:
            return stat.S_IFDIR | 0o755
        return stat.S_IFREG | (0o444 if self.read else 0) | (0o200 if self.write else 0)


def refuse(number: int) -> None:
    """What a driver answers."""
    raise mfusepy.FuseOSError(number)


@dataclass
class Card:
    """One parent and its driver: types by name and what each takes of the room that they share."""

    name: str
    types: dict[str, int]
    room: int
    subsystem: str = "virtual"
    full: int = errno.ENOSPC
    # What available_instances says, where that is not what is left.
    promise: int | None = None
    physical_function: str | None = None
    driver: str | None = None
    # A card whose functions all have the same type, once one has one (NVIDIA without mixed sizes).
    same_type_as: list[Card] = field(default_factory=list)
    attributes: dict[str, Callable[[str], None]] = field(default_factory=dict)
    create_error: int | None = None
    # A driver that says yes and does nothing.
    idle: bool = False
    devices: dict[str, str] = field(default_factory=dict)

    def left(self, type_id: str) -> int:
        others = {kind for card in (self, *self.same_type_as) for kind in card.devices.values()}
        if self.same_type_as and others - {type_id}:
            return 0
        return (self.room - sum(self.types[kind] for kind in self.devices.values())) // self.types[type_id]

    def create(self, type_id: str, uuid: str) -> None:
        if self.create_error is not None:
            refuse(self.create_error)
        if self.left(type_id) < 1:
            refuse(self.full)
        if not self.idle:
            self.devices[uuid] = type_id


def mtty(**facts: Any) -> Card:
    """The kernel's sample driver."""
    return Card("mtty", {"mtty-1": 1, "mtty-2": 2}, 24, **facts)


def nvidia_functions(card: str, types: dict[str, int]) -> list[Card]:
    """The virtual functions of a card, which all get the same type (NVIDIA vGPU User Guide)."""
    facts: dict[str, Any] = {"physical_function": f"{card}.0", "driver": "nvidia"}
    functions = [Card(f"{card}.{number}", types, 1, "pci", **facts) for number in (4, 5, 6)]
    for one in functions:
        one.same_type_as = functions
    return functions


class StandIn(mfusepy.Operations):
    """The file system of a host with these cards. Tests change what it does by its fields, while it is mounted."""

    use_ns = True

    def __init__(self, root: Path, *cards: Card) -> None:
        self.root = root
        self.cards = cards
        self.held: set[str] = set()
        self.hanging = threading.Event()
        self.hanging.set()
        self.removing: set[str] = set()
        self.writes: list[tuple[str, str]] = []
        self._values: dict[str, str] = {}

    @property
    def sys(self) -> Path:
        return self.root / "sys"

    def devices(self) -> dict[str, str]:
        """What the kernel has: UUID and type."""
        return {uuid: kind for card in self.cards for uuid, kind in card.devices.items()}

    def _nodes(self) -> Nodes:
        nodes: Nodes = {"": Node(), "etc": Node(), "proc": Node(), "dev": Node(), "dev/vfio": Node()}
        nodes["etc/machine-id"] = Node(read=lambda: "0123456789abcdef0123456789abcdef\n")
        nodes[f"proc/{os.getpid()}"] = Node(target=f"/proc/{os.getpid()}")
        for folder in ("sys", "sys/class", "sys/class/mdev_bus", "sys/bus", "sys/bus/mdev", "sys/bus/mdev/devices"):
            nodes[folder] = Node()
        for card in self.cards:
            nodes.update(self._card(card))
        return nodes

    def _card(self, card: Card) -> Nodes:
        folder = f"sys/devices/{card.subsystem}/{card.name}"
        nodes: Nodes = {"sys/devices": Node(), os.path.dirname(folder): Node(), folder: Node()}
        nodes[f"sys/bus/{card.subsystem}"] = Node()
        nodes[f"sys/class/mdev_bus/{card.name}"] = Node(target=f"../../../{folder}")
        nodes[f"{folder}/subsystem"] = Node(target=f"../../../bus/{card.subsystem}")
        if card.physical_function is not None:
            nodes[f"{folder}/physfn"] = Node(target=f"../{card.physical_function}")
        if card.driver is not None:
            nodes[f"{folder}/driver"] = Node(target=f"../../../bus/{card.subsystem}/drivers/{card.driver}")
        types = f"{folder}/mdev_supported_types"
        nodes[types] = Node()
        for kind in card.types:
            nodes.update(self._type(card, f"{types}/{kind}", kind))
        for uuid, kind in card.devices.items():
            nodes.update(self._device(card, f"{folder}/{uuid}", uuid, kind))
        return nodes

    def _type(self, card: Card, folder: str, kind: str) -> Nodes:
        promised = card.promise if card.promise is not None else card.left(kind)
        return {
            folder: Node(),
            f"{folder}/name": Node(read=lambda: f"Name of {kind}\n"),
            f"{folder}/device_api": Node(read=lambda: "vfio-pci\n"),
            f"{folder}/available_instances": Node(read=lambda: f"{promised}\n"),
            f"{folder}/create": Node(write=lambda text: card.create(kind, text.strip())),
        }

    def _device(self, card: Card, folder: str, uuid: str, kind: str) -> Nodes:
        group = str(10 + sorted(self.devices()).index(uuid))
        nodes = {
            folder: Node(),
            f"{folder}/iommu_group": Node(target=f"../../../../kernel/iommu_groups/{group}"),
            f"dev/vfio/{group}": Node(read=lambda: "", write=lambda _text: None, open=lambda: self._open(uuid)),
        }
        # A driver takes the links away first and then waits for the user.
        if uuid in self.removing:
            return nodes
        nodes[f"sys/bus/mdev/devices/{uuid}"] = Node(target=f"../../../devices/{card.subsystem}/{card.name}/{uuid}")
        nodes[f"{folder}/mdev_type"] = Node(target=f"../mdev_supported_types/{kind}")
        nodes[f"{folder}/remove"] = Node(write=lambda _text: self._remove(card, uuid))
        for name, accept in card.attributes.items():
            nodes[f"{folder}/{name}"] = self._attribute(f"{uuid}/{name}", accept)
        return nodes

    def _attribute(self, key: str, accept: Callable[[str], None]) -> Node:
        def write(text: str) -> None:
            accept(text.strip())
            self._values[key] = text

        return Node(read=lambda: self._values.get(key, "0\n"), write=write)

    def _open(self, uuid: str) -> None:
        if uuid in self.held:
            refuse(errno.EBUSY)

    def _remove(self, card: Card, uuid: str) -> None:
        self.removing.add(uuid)
        self.hanging.wait(20)
        card.devices.pop(uuid, None)
        self.removing.discard(uuid)

    # What FUSE asks.

    def _node(self, path: str) -> Node:
        node = self._nodes().get(path.strip("/"))
        if node is None:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return node

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        return {"st_mode": self._node(path).mode(), "st_nlink": 1, "st_size": 4096, "st_mtime": time.time_ns()}

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        prefix = f"{path.strip('/')}/".lstrip("/")
        names = {name[len(prefix) :] for name in self._nodes() if name.startswith(prefix) and name != prefix}
        yield from (".", "..", *sorted(name for name in names if name and "/" not in name))

    def readlink(self, path: str) -> str:
        return self._node(path).target or ""

    def open(self, path: str, flags: int) -> int:
        node = self._node(path)
        if node.open is not None:
            node.open()
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        read = self._node(path).read
        return (read() if read else "").encode()[offset : offset + size]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self.writes.append((path.strip("/"), data.decode()))
        write = self._node(path).write
        if write is None:
            raise mfusepy.FuseOSError(errno.EACCES)
        write(data.decode())
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        self._node(path)


@contextmanager
def mounted(root: Path, *cards: Card) -> Iterator[StandIn]:
    """The host, below this folder, as long as the block runs."""
    host = StandIn(root, *cards)
    server = threading.Thread(
        target=mfusepy.FUSE,
        args=(host, str(root)),
        # Answers must not be remembered: they change behind the kernel's back, as those of drivers do.
        kwargs={"foreground": True, "attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0, "direct_io": True},
        daemon=True,
    )
    server.start()
    try:
        _wait_for(lambda: os.path.ismount(root))
        yield host
    finally:
        host.hanging.set()
        subprocess.run(["fusermount3", "-u", "-z", str(root)], check=False, timeout=20)
        server.join(20)


def _wait_for(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < end, "the stand-in was not mounted in 10 s"
        time.sleep(0.01)
