# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA without SR-IOV (Pascal to Turing): the card itself is the parent.

Source: see :mod:`drivers.nvidia_card`; on a card without SR-IOV available_instances is the type's maximum minus all
created vGPUs, and 0 for types of another size. A creation that does not fit is EIO.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from drivers.kit.kernel import Kernel, MdevDevice
from drivers.kit.mdev import MdevParent, MdevType
from drivers.kit.nodes import Node, Nodes, refuse
from drivers.kit.pci import Function
from drivers.nvidia_card import T4, Parameters, VgpuType, function, room


class VgpuParent(MdevParent):
    """A PCI function that NVIDIA's driver offers types on. Its devices have nvidia/vgpu_params."""

    def __init__(self, pci: Function, types: Sequence[VgpuType]) -> None:
        super().__init__(pci.address, pci.place, "bus/pci", pci.driver, "nvidia-vgpu-vfio")
        self._pci = pci
        self._types = {vgpu_type.id: vgpu_type for vgpu_type in types}
        self._parameters: dict[str, Parameters] = {}

    def plug(self, kernel: Kernel) -> None:
        super().plug(kernel)
        self._parameters.clear()

    def types(self) -> Sequence[MdevType]:
        return [vgpu_type.as_mdev() for vgpu_type in self._types.values()]

    def created(self) -> list[VgpuType]:
        """The vGPUs on this function."""
        return [self._types[device.type_id] for device in self.devices()]

    def on_card(self) -> list[VgpuType]:
        """The vGPUs on the card. A card that is the parent itself has only its own."""
        return self.created()

    def left(self, type_id: str) -> int:
        return room(self._types[type_id], self.on_card())

    def probe(self, type_id: str, uuid: str) -> None:
        if self.left(type_id) < 1:
            refuse(errno.EIO)

    def forget(self, device: MdevDevice) -> None:
        self._parameters.pop(device.uuid, None)

    def attributes(self, device: MdevDevice) -> Nodes:
        parameters = self._parameters.setdefault(
            device.uuid, Parameters(lambda: self.kernel.is_open(device.uuid, device.group))
        )
        return {"nvidia": Node(), "nvidia/vgpu_params": parameters.node()}

    def around(self) -> Nodes:
        return {"sys/module/nvidia": Node(), "sys/module/nvidia_vgpu_vfio": Node(), **self._pci.nodes()}


def t4(address: str = "0000:3b:00.0", numa_node: int = 0) -> VgpuParent:
    """A Tesla T4 with 16 GB."""
    return VgpuParent(function(address, "0x1eb8", numa_node), T4)
