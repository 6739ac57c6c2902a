# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers that are broken, slow or gone, or that promise more than they have.

No real driver has all these faults, but each of them was observed in some driver: see the docstrings.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatch

from drivers.kit.host_files import Driver
from drivers.kit.kernel import Kernel
from drivers.kit.nodes import Node, Nodes, refuse
from drivers.samples import Sample

# Changes the behavior of a file.
Fault = Callable[[Node], Node]

_TYPE = "nvidia-471"


class Faulty:
    """Other drivers, with faults in the files whose paths match a pattern."""

    def __init__(self, faults: Mapping[str, Fault], *drivers: Driver) -> None:
        self._faults = faults
        self._drivers = drivers
        # Patterns that have matched nothing so far: a test that leaves one has tested nothing.
        self.unused = set(faults)

    def plug(self, kernel: Kernel) -> None:
        for driver in self._drivers:
            driver.plug(kernel)

    def nodes(self) -> Nodes:
        nodes = {path: node for driver in self._drivers for path, node in driver.nodes().items()}
        for pattern, fault in self._faults.items():
            faulty = {path: fault(node) for path, node in nodes.items() if fnmatch(path, pattern)}
            if faulty:
                self.unused.discard(pattern)
            nodes.update(faulty)
        return nodes


def returning(text: str | bytes) -> Fault:
    """Returns this text instead."""
    return lambda node: replace(node, read=lambda: text)


def failing(number: int) -> Fault:
    """Cannot be read or written."""

    return lambda node: replace(
        node, read=node.read and (lambda: refuse(number)), write=node.write and (lambda _text: refuse(number))
    )


def slow(seconds: float) -> Fault:
    """Responds slowly: a card that wakes up, a driver that queries its firmware."""

    def fault(node: Node) -> Node:
        def read() -> str | bytes:
            time.sleep(seconds)
            return node.read() if node.read is not None else ""

        def write(text: str) -> None:
            time.sleep(seconds)
            if node.write is not None:
                node.write(text)

        return replace(node, read=node.read and read, write=node.write and write)

    return fault


def interrupted(times: int) -> Fault:
    """A system call that a signal interrupts: EINTR, a few times."""

    def fault(node: Node) -> Node:
        left = [times]

        def interrupt() -> None:
            if left[0] > 0:
                left[0] -= 1
                refuse(errno.EINTR)

        def read() -> str | bytes:
            interrupt()
            return node.read() if node.read is not None else ""

        def write(text: str) -> None:
            interrupt()
            if node.write is not None:
                node.write(text)

        return replace(node, read=node.read and read, write=node.write and write)

    return fault


def in_pieces(size: int) -> Fault:
    """A read returns less than requested, and the rest the next time."""
    return lambda node: replace(node, max_read=size)


def vanished(node: Node) -> Node:
    """Listed, but gone when it is looked up: it was removed in between."""
    return replace(node, on_lookup=lambda: refuse(errno.ENOENT))


def late(seconds: float) -> Fault:
    """Appears some time after the first lookup: drivers and udev are not done when the write returns."""

    def fault(node: Node) -> Node:
        first: list[float] = []

        def look() -> None:
            first.append(time.monotonic())
            if time.monotonic() - first[0] < seconds:
                refuse(errno.ENOENT)

        return replace(node, on_lookup=look)

    return fault


def a_file(node: Node) -> Node:
    """A file where a folder or a link should be."""
    return Node(read=lambda: "?\n")


def a_folder(node: Node) -> Node:
    """A folder where a file should be."""
    return Node()


def unopenable(number: int) -> Fault:
    """Cannot be opened."""
    return lambda node: replace(node, on_open=lambda: refuse(number))


def dangling_link(node: Node) -> Node:
    """A link to a path that does not exist."""
    return replace(node, target="../nowhere/at all")


def ignoring_writes(node: Node) -> Node:
    """Accepts whatever is written and does nothing."""
    return replace(node, write=lambda _text: None)


class MisleadingDriver(Sample):
    """A virtual function that reports more than it has: for SR-IOV parents the sum overstates, and numbers lag."""

    def __init__(self, address: str, room: int, promise: int | None = None) -> None:
        super().__init__(address, {_TYPE: 1}, room, place=f"pci0000:40/{address}", subsystem="bus/pci")
        self._promise = promise

    def left(self, type_id: str) -> int:
        return super().left(type_id) if self._promise is None else self._promise

    def probe(self, type_id: str, uuid: str) -> None:
        if super().left(type_id) < 1:
            refuse(errno.ENOSPC)


class RefusingDriver(Sample):
    """mtty's types, with the same errno for every new device."""

    def __init__(self, number: int) -> None:
        super().__init__("mtty", {"mtty-1": 1, "mtty-2": 2}, 24)
        self._number = number

    def probe(self, type_id: str, uuid: str) -> None:
        refuse(self._number)


class NoOpDriver(Sample):
    """mtty's types, with a driver that accepts a new device and does nothing."""

    def __init__(self) -> None:
        super().__init__("mtty", {"mtty-1": 1, "mtty-2": 2}, 24)

    def add(self, type_id: str, uuid: str) -> None:
        return
