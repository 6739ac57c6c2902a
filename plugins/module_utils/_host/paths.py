# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the host's file systems are mounted."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .._model.errors import InvalidInput


@dataclass(frozen=True)
class HostPaths:
    """Where the host's file systems are mounted.

    Everything follows from sysfs: a host that is managed from a container has them all below one folder
    (/host/sys, /host/proc, /host/dev, /host/etc).
    """

    sys: str = "/sys"

    def __post_init__(self) -> None:
        if not os.path.isdir(self.sys):
            raise InvalidInput(
                f"sysfs_path '{self.sys}' is not a folder: give the place where the host's sysfs is mounted, "
                "/sys as a rule",
                sysfs_path=self.sys,
            )

    @property
    def root(self) -> str:
        """The folder that sysfs is mounted in."""
        return os.path.dirname(os.path.abspath(self.sys))

    def beside(self, *parts: str) -> str:
        """A path of the host outside sysfs."""
        return os.path.join(self.root, *parts)
