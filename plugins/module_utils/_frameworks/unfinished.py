# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Marks of devices whose start has not finished.

A run that is killed between the creation of a device and its last attribute leaves a device that looks complete if its
attributes can't be read. A mark is written before the creation and removed after the last attribute. The marks are in
/run, which a reboot empties as it removes the devices.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable

from .._host.atomic_files import write_whole
from .._host.paths import Host
from .._host.reader import Reader, errno_text
from .._model.errors import MdevError
from .._model.inventory import Attribute, Inventory

_FILE_MODE = 0o644


@dataclass(frozen=True)
class UnfinishedMarks:
    """The marks on one host. A mark that can't be written is reported and does not keep a device from starting.

    report: takes the problem in words
    """

    host: Host
    report: Callable[[str], object] = lambda _problem: None

    @property
    def folder(self) -> str:
        """The folder with one file for each mark, named by the device's key."""
        return self.host.beside("run", "vfio-mdev", "starting")

    def unfinished(self) -> frozenset[str]:
        """The keys of the devices whose start has not finished."""
        return frozenset(Reader().names(self.folder, optional=True))

    def write(self, key: str) -> None:
        """Marks a device that is about to be created."""
        path = os.path.join(self.folder, key)
        try:
            write_whole(path, b"", _FILE_MODE, durable=False)
        except OSError as error:
            self.report(f"{path} can't be written: {errno_text(error)}")

    def remove(self, key: str) -> None:
        """Removes the mark of a device that is complete, or that does not exist."""
        path = os.path.join(self.folder, key)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            self.report(f"{path} can't be removed: {errno_text(error)}")

    @contextmanager
    def marked(self, key: str, attributes: Collection[Attribute]) -> Iterator[None]:
        """Marks a device while the block creates it with its attributes. The mark stays if the device may be left."""
        if not attributes:
            yield
            return
        self.write(key)
        try:
            yield
        except MdevError as error:
            if error.rolled_back is not False:
                self.remove(key)
            raise
        self.remove(key)

    def remove_without_device(self, inventory: Inventory) -> None:
        """Removes the marks that belong to no active device, and what a writer that was killed left."""
        for name in self.unfinished():
            if inventory.device(name) is None:
                self.remove(name)
