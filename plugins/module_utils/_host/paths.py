# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host: the locations of its file systems and of its definitions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._model.errors import InvalidInput

DEFINITIONS_PATH = "/etc/mdevctl.d"


@dataclass(frozen=True)
class Host:
    """The locations of a host.

    Nearly all of them follow from that of sysfs: a host that is managed from a container has all its file systems below
    one folder (/host/sys, /host/proc, /host/dev, /host/etc).

    definitions_path: the folder with mdevctl's definitions; those of other frameworks are in folders beside it
    remembered:       slow answers of the host's tools that do not change during a run, by question
    """

    sys: str = "/sys"
    definitions_path: str = DEFINITIONS_PATH
    remembered: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not os.path.isdir(self.sys):
            raise InvalidInput(
                f"sysfs_path '{self.sys}' is not a folder: give the folder where the host's sysfs is mounted, "
                "usually /sys",
                sysfs_path=self.sys,
            )

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Host:
        """The host that a module's parameters describe."""
        return cls(params["sysfs_path"], params.get("definitions_path", DEFINITIONS_PATH))

    @property
    def root(self) -> str:
        """The folder that sysfs is mounted in."""
        return os.path.dirname(os.path.abspath(self.sys))

    def beside(self, *parts: str) -> str:
        """A path of the host outside sysfs."""
        return os.path.join(self.root, *parts)
