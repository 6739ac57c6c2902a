# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The versions of a host's software that migrations depend on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Versions:
    """The versions on a host; None if unknown. drivers: the version of each driver of mediated devices."""

    kernel: Optional[str] = None
    libvirt: Optional[str] = None
    qemu: Optional[str] = None
    drivers: Mapping[str, str] = field(default_factory=dict)
