# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A framework on a host: in addition to answering questions, it reads the host. Its backend acts (see backend.py)."""

from __future__ import annotations

from typing import Protocol

from .._host.paths import Host
from .._host.reader import Reader
from .._model.framework import Framework
from .._model.inventory import Inventory


class HostFramework(Framework, Protocol):
    """A framework with its reader."""

    def read(self, host: Host, reader: Reader) -> Inventory:
        """The parents, devices and definitions of this framework. The reader notes the files that could not be read."""

    def definition_folders(self, host: Host) -> tuple[str, ...]:
        """The folders with its definitions and notes. Each has a folder for each parent."""

    def forget_stale(self, host: Host) -> None:
        """Removes what this collection noted about devices that are gone. Only under the host's lock."""
        return
