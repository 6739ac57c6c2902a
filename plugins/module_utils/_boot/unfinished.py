# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Marks of devices whose start has not finished.

A program that is killed between the creation of a device and its last attribute leaves a device that looks complete if
its attributes can't be read. A mark is written before the creation and removed after the last attribute. The marks are
in /run, which a reboot empties as it removes the devices.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from .._host.atomic_files import remove_file, write_whole
from .._host.paths import Host
from .._host.reader import Reader, errno_text, is_gone
from .._model.inventory import Definition, Inventory
from .journal import say

_FILE_MODE = 0o644


@dataclass(frozen=True)
class UnfinishedMarks:
    """The marks on one host. A mark that can't be written is reported and does not keep a device from starting."""

    host: Host

    @property
    def folder(self) -> str:
        """The folder with one file for each mark."""
        return self.host.beside("run", "vfio-mdev", "starting")

    def path(self, definition: Definition) -> str:
        """The file of a definition's mark, named by its UUID."""
        return os.path.join(self.folder, definition.key)

    def has(self, definition: Definition) -> bool:
        """Whether the start of this device has not finished."""
        return not is_gone(self.path(definition))

    def write(self, definition: Definition) -> None:
        """Marks a device that is about to be created."""
        if self.has(definition):
            return
        try:
            write_whole(self.path(definition), f"{definition.parent}\n".encode("utf-8", "surrogateescape"), _FILE_MODE)
        except OSError as error:
            say(f"{definition.label}: {self.path(definition)} can't be written: {errno_text(error)}")

    def remove(self, definition: Definition) -> None:
        """Removes the mark of a device that is complete, or that does not exist."""
        try:
            remove_file(self.path(definition))
        except FileNotFoundError:
            return
        except OSError as error:
            say(f"{definition.label}: {self.path(definition)} can't be removed: {errno_text(error)}")

    def remove_without_device(self, inventory: Inventory) -> None:
        """Removes the marks that belong to no active device, and what a writer that was killed left."""
        for name in Reader().names(self.folder, optional=True):
            if inventory.device(name) is None:
                try:
                    remove_file(os.path.join(self.folder, name))
                except OSError as error:
                    say(f"{os.path.join(self.folder, name)} can't be removed: {errno_text(error)}")
