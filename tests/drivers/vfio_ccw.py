# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""s390 channel devices (vfio_ccw): a subchannel is the parent of one device.

Source: drivers/s390/cio/vfio_ccw_drv.c and vfio_ccw_ops.c (type "io", "I/O subchannel (Non-QDIO)", one instance),
Documentation/arch/s390/vfio-ccw.rst. A second device is EUSERS since Linux 6.1 (mdev_core.c), EPERM before
(vfio_ccw_mdev_create).
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from drivers.kit.mdev import MdevParent, MdevType
from drivers.kit.nodes import refuse


class Subchannel(MdevParent):
    """A subchannel that is bound to vfio_ccw, for example 0.0.0052."""

    def __init__(self, address: str, full: int = errno.EUSERS) -> None:
        super().__init__(address, f"css0/{address}", "bus/css", "vfio_ccw", "vfio_ccw_mdev")
        self.full = full

    def types(self) -> Sequence[MdevType]:
        return [MdevType("vfio_ccw-io", "I/O subchannel (Non-QDIO)", api="vfio-ccw")]

    def left(self, type_id: str) -> int:
        return 1 - len(self.devices())

    def probe(self, type_id: str, uuid: str) -> None:
        if self.left(type_id) < 1:
            refuse(self.full)
