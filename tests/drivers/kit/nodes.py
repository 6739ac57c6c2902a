# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, folders and links that answer when they are asked, with the errnos of a driver."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import mfusepy

Text = Callable[[], "str | bytes"]


@dataclass(frozen=True)
class Node:
    """A file, a folder (neither read nor write nor target), or a symbolic link.

    look: asked each time the node is looked up, and may refuse.
    opened, closed: a process has opened it, and let go of it.
    most: how many bytes one read gives at the most.
    """

    read: Text | None = None
    write: Callable[[str], None] | None = None
    target: str | None = None
    look: Callable[[], None] | None = None
    opened: Callable[[], None] | None = None
    closed: Callable[[], None] | None = None
    most: int | None = None

    def mode(self) -> int:
        if self.target is not None:
            return stat.S_IFLNK | 0o777
        if self.read is None and self.write is None:
            return stat.S_IFDIR | 0o755
        return stat.S_IFREG | (0o444 if self.read else 0) | (0o200 if self.write else 0)


# By path, below a root.
Nodes = dict[str, Node]

FOLDER = Node()


def refuse(number: int) -> NoReturn:
    """What a driver answers."""
    raise mfusepy.FuseOSError(number)


def says(text: object) -> Node:
    """A file that reads as this one line."""
    return Node(read=lambda: f"{text}\n")


def link(path: str, target: str) -> Nodes:
    """A symbolic link from one path to another below the same root; relative, as sysfs makes them."""
    return {path: Node(target=os.path.relpath(target, os.path.dirname(path)))}


def below(folder: str, nodes: Mapping[str, Node]) -> Nodes:
    """These nodes in a folder, with the folder."""
    return {folder: FOLDER, **{f"{folder}/{name}": node for name, node in nodes.items()}}


def with_folders(nodes: Mapping[str, Node]) -> Nodes:
    """These nodes with all folders that they lie in."""
    folders = {path[:end] for path in nodes for end in _slashes(path)}
    return {**dict.fromkeys(folders, FOLDER), **nodes}


def _slashes(path: str) -> list[int]:
    return [0, *(place for place, letter in enumerate(path) if letter == "/")]
