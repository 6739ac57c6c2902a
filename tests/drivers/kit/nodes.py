# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, folders and links with behavior, which answer with the errnos of a driver."""

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

    on_lookup: called each time the node is looked up; may refuse.
    on_open, on_close: called when a process opens or closes it.
    max_read: the largest number of bytes that one read returns.
    """

    read: Text | None = None
    write: Callable[[str], None] | None = None
    target: str | None = None
    on_lookup: Callable[[], None] | None = None
    on_open: Callable[[], None] | None = None
    on_close: Callable[[], None] | None = None
    max_read: int | None = None

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
    """Fail with this errno, as a driver does."""
    raise mfusepy.FuseOSError(number)


def line_file(text: object) -> Node:
    """A read-only file with this one line."""
    return Node(read=lambda: f"{text}\n")


def link(path: str, target: str) -> Nodes:
    """A symbolic link between two paths below the same root; relative, as in sysfs."""
    return {path: Node(target=os.path.relpath(target, os.path.dirname(path)))}


def below(folder: str, nodes: Mapping[str, Node]) -> Nodes:
    """These nodes in a folder, and the folder itself."""
    return {folder: FOLDER, **{f"{folder}/{name}": node for name, node in nodes.items()}}


def with_folders(nodes: Mapping[str, Node]) -> Nodes:
    """These nodes and all their parent folders."""
    folders = {path[:end] for path in nodes for end in _slashes(path)}
    return {**dict.fromkeys(folders, FOLDER), **nodes}


def _slashes(path: str) -> list[int]:
    return [0, *(position for position, letter in enumerate(path) if letter == "/")]
