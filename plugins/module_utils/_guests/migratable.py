# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the driver of a device can do for migrations, if the kernel shows it.

Since Linux 6.8 with CONFIG_VFIO_DEBUGFS, each VFIO device has a folder in debugfs, named as its folder in sysfs. If
its driver supports migration, this has a folder "migration" (drivers/vfio/debugfs.c), and since 6.18 a file "features"
in it (Documentation/ABI/testing/debugfs-vfio). On other kernels both are unknown, and QEMU decides.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from .._host.paths import Host
from .._host.reader import Reader
from .._model.inventory import Device

_P2P = "p2p"


def can_migrate(host: Host, device: Optional[Device]) -> Optional[bool]:
    """Whether the driver supports migration."""
    folder = _folder(host, device)
    return os.path.isdir(os.path.join(folder, "migration")) if folder else None


def can_quiesce(host: Host, device: Optional[Device]) -> Optional[bool]:
    """Whether the driver can stop traffic between devices, which QEMU needs if a guest has several (vfio.rst)."""
    folder = _folder(host, device)
    features = Reader().text(os.path.join(folder, "migration", "features"), optional=True) if folder else None
    return _P2P in features.split() if features is not None else None


@dataclass(frozen=True)
class Unsupported:
    """The drivers that can't do something, as far as a device of theirs on this host shows it."""

    migration: frozenset[str] = frozenset()
    p2p: frozenset[str] = frozenset()

    @classmethod
    def by_drivers_of(cls, devices: Iterable[Device], host: Host) -> Unsupported:
        """What the drivers of these devices can't do."""
        drivers = [(device.driver, device) for device in devices if device.driver]
        return cls(
            migration=frozenset(driver for driver, device in drivers if can_migrate(host, device) is False),
            p2p=frozenset(driver for driver, device in drivers if can_quiesce(host, device) is False),
        )


def _folder(host: Host, device: Optional[Device]) -> Optional[str]:
    """The device's folder in debugfs, None if the kernel has none."""
    if device is None:
        return None
    folder = os.path.join(host.sys, "kernel", "debug", "vfio", os.path.basename(device.path))
    return folder if os.path.isdir(folder) else None
