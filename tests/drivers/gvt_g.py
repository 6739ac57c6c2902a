# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Intel GVT-g: types without a name, several lines of description, three budgets that all types share.

Source: drivers/gpu/drm/i915/gvt/vgpu.c (the table of types, intel_gvt_update_vgpu_types, ENOSPC from
intel_vgpu_alloc_resource) and kvmgt.c (description_show). Before Linux 6.1 there is no file ``name``; since then the
mdev core shows the type's own name there. A GPU with an aperture of 1 GB, of which the host keeps 64 MB, 384 MB of the
hidden part, and 4 of 32 fences.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from drivers.kit.mdev import MdevParent, MdevType
from drivers.kit.nodes import Nodes, refuse
from drivers.kit.pci import Function

ADDRESS = "0000:00:02.0"


@dataclass(frozen=True)
class _Share:
    """A device's share of the GPU: MB of aperture, MB of hidden memory, fences."""

    low: int
    high: int
    fences: int


_HOST = _Share(1024 - 64, 3072 - 384, 32 - 4)
_TYPES = {
    "8": (_Share(64, 384, 4), "1024x768", 2),
    "4": (_Share(128, 512, 4), "1920x1200", 4),
    "2": (_Share(256, 1024, 4), "1920x1200", 8),
    "1": (_Share(512, 2048, 4), "1920x1200", 16),
}
_PREFIX = "i915-GVTg_V5_"


class Gpu(MdevParent):
    """The integrated GPU. named: whether the kernel shows a name for each type."""

    def __init__(self, named: bool = False) -> None:
        self._function = Function(ADDRESS, "0x8086", "0x5912", pci_class="0x030000", driver="i915")
        self._named = named
        super().__init__(ADDRESS, self._function.place, "bus/pci", "i915", "intel_vgpu_mdev")

    def types(self) -> Sequence[MdevType]:
        return [
            MdevType(f"{_PREFIX}{name}", f"GVTg_V5_{name}" if self._named else None, _description(*facts))
            for name, facts in _TYPES.items()
        ]

    def left(self, type_id: str) -> int:
        shares = [_share(device.type_id) for device in self.devices()]
        taken = [sum(amounts) for amounts in zip(*map(astuple, shares), strict=True)] or [0, 0, 0]
        budgets = zip(astuple(_HOST), taken, astuple(_share(type_id)), strict=True)
        return min(int(most - used) // int(cost) for most, used, cost in budgets)

    def probe(self, type_id: str, uuid: str) -> None:
        if self.left(type_id) < 1:
            refuse(errno.ENOSPC)

    def around(self) -> Nodes:
        return self._function.nodes()


def _share(type_id: str) -> _Share:
    return _TYPES[type_id.removeprefix(_PREFIX)][0]


def _description(share: _Share, resolution: str, weight: int) -> str:
    return (
        f"low_gm_size: {share.low}MB\nhigh_gm_size: {share.high}MB\nfence: {share.fences}\n"
        f"resolution: {resolution}\nweight: {weight}"
    )
