# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The versions of what a host runs, as far as migrations depend on them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Versions:
    """What a host runs. drivers: the version of each driver of mediated devices. None where nobody could tell."""

    kernel: Optional[str] = None
    libvirt: Optional[str] = None
    qemu: Optional[str] = None
    drivers: Mapping[str, str] = field(default_factory=dict)
