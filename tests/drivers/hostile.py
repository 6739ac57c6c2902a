# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers that are broken, slow or gone, and that promise what they do not keep.

No one driver is like this. Each fault has been seen in some: see the docstrings.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatch

from drivers.kit.host import Driver
from drivers.kit.kernel import Kernel
from drivers.kit.nodes import Node, Nodes, refuse
from drivers.samples import Sample

# What becomes of a file.
Fault = Callable[[Node], Node]

_TYPE = "nvidia-471"


class Faulty:
    """Other drivers, with faults in the files whose paths match a pattern."""

    def __init__(self, faults: Mapping[str, Fault], *drivers: Driver) -> None:
        self._faults = faults
        self._drivers = drivers
        # Patterns that matched nothing so far: a test that leaves one has shown nothing.
        self.unused = set(faults)

    def plug(self, kernel: Kernel) -> None:
        for driver in self._drivers:
            driver.plug(kernel)

    def nodes(self) -> Nodes:
        nodes = {path: node for driver in self._drivers for path, node in driver.nodes().items()}
        for pattern, fault in self._faults.items():
            hit = {path: fault(node) for path, node in nodes.items() if fnmatch(path, pattern)}
            if hit:
                self.unused.discard(pattern)
            nodes.update(hit)
        return nodes


def saying(text: str | bytes) -> Fault:
    """Reads as something else."""
    return lambda node: replace(node, read=lambda: text)


def failing(number: int) -> Fault:
    """Can't be read, or written."""

    return lambda node: replace(
        node, read=node.read and (lambda: refuse(number)), write=node.write and (lambda _text: refuse(number))
    )


def slow(seconds: float) -> Fault:
    """Takes its time: a card that wakes up, a driver that asks its firmware."""

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
    """A system call that a signal cut short: EINTR, a few times."""

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
    """A read gives less than was asked for, and the rest the next time."""
    return lambda node: replace(node, most=size)


def ghost(node: Node) -> Node:
    """Listed, and not there when it is looked for: what happens when something is taken away meanwhile."""
    return replace(node, look=lambda: refuse(errno.ENOENT))


def late(seconds: float) -> Fault:
    """Comes some time after it is first looked for: drivers and udev are not done when the write returns."""

    def fault(node: Node) -> Node:
        first: list[float] = []

        def look() -> None:
            first.append(time.monotonic())
            if time.monotonic() - first[0] < seconds:
                refuse(errno.ENOENT)

        return replace(node, look=look)

    return fault


def a_file(node: Node) -> Node:
    """A file where a folder or a link should be."""
    return Node(read=lambda: "?\n")


def a_folder(node: Node) -> Node:
    """A folder where a file should be."""
    return Node()


def shut(number: int) -> Fault:
    """Can't be opened."""
    return lambda node: replace(node, opened=lambda: refuse(number))


def leading_nowhere(node: Node) -> Node:
    """A link to what is not there."""
    return replace(node, target="../nowhere/at all")


def deaf(node: Node) -> Node:
    """Says yes to what is written and does nothing."""
    return replace(node, write=lambda _text: None)


class Liar(Sample):
    """A virtual function that promises more than there is: of SR-IOV parents the sum overstates, numbers lag behind."""

    def __init__(self, address: str, room: int, promise: int | None = None) -> None:
        super().__init__(address, {_TYPE: 1}, room, place=f"pci0000:40/{address}", subsystem="bus/pci")
        self._promise = promise

    def left(self, type_id: str) -> int:
        return super().left(type_id) if self._promise is None else self._promise

    def probe(self, type_id: str, uuid: str) -> None:
        if super().left(type_id) < 1:
            refuse(errno.ENOSPC)


class Refusing(Sample):
    """mtty's types, and one answer to all who ask for a device."""

    def __init__(self, number: int) -> None:
        super().__init__("mtty", {"mtty-1": 1, "mtty-2": 2}, 24)
        self._number = number

    def probe(self, type_id: str, uuid: str) -> None:
        refuse(self._number)


class Idle(Sample):
    """mtty's types, and a driver that says yes and does nothing."""

    def __init__(self) -> None:
        super().__init__("mtty", {"mtty-1": 1, "mtty-2": 2}, 24)

    def add(self, type_id: str, uuid: str) -> None:
        return
