# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of NVIDIA's resource manager for one card, independent of how the driver presents it.

Source: NVIDIA's vGPU host driver, open parts: os-hypervisor.c (get_available_instances, nv_vgpu_get_type_info),
kernel_vgpu_mgr.c (_kvgpumgrCheckVgpuTypeSupported, kvgpumgrCreateRequestVgpu), nvidia-vgpu-vfio.c (nv_vgpu_vfio_create:
every failed creation is EIO; vgpu_params_show, vgpu_params_store); NVML's documentation
(NVML_DEVICE_VGPU_CAP_HETEROGENEOUS_TIMESLICE_PROFILES and _SIZES); NVIDIA vGPU User Guide.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.kit.mdev import MdevType
from drivers.kit.nodes import Node, refuse
from drivers.kit.pci import Function

_VENDOR = "0x10de"

# VGPU_CONFIG_PARAMS_MAX_LENGTH
_MAX_PARAMETERS = 1024


@dataclass(frozen=True)
class VgpuType:
    """A vGPU type. framebuffer: in MiB; maximum: how many of it one card holds.

    profile: the id of the GPU instance profile that it needs, None without MIG; per_instance: how many one holds.
    """

    number: int
    name: str
    framebuffer: int
    maximum: int
    profile: int | None = None
    per_instance: int = 1

    @property
    def id(self) -> str:
        return f"nvidia-{self.number}"

    def as_mdev(self) -> MdevType:
        return MdevType(
            self.id,
            self.name,
            f"num_heads=1, frl_config=60, framebuffer={self.framebuffer}M, max_resolution=4096x2160, "
            f"max_instance={self.maximum}",
        )


A100 = (
    VgpuType(471, "NVIDIA A100-8C", 8192, 5),
    VgpuType(472, "NVIDIA A100-10C", 10240, 4),
    VgpuType(474, "NVIDIA A100-40C", 40960, 1),
)
T4 = (
    VgpuType(227, "GRID T4-4A", 4096, 4),
    VgpuType(231, "GRID T4-2Q", 2048, 8),
    VgpuType(232, "GRID T4-4Q", 4096, 4),
)
L40S = (
    VgpuType(1148, "NVIDIA L40S-2Q", 2048, 24),
    VgpuType(1155, "NVIDIA L40S-24Q", 24576, 2),
    VgpuType(1159, "NVIDIA L40S-48Q", 49152, 1),
)


# MIG-backed types of an A100 with 40 GB, and their GPU instance profiles.
A100_MIG = (
    VgpuType(476, "NVIDIA A100-1-5C", 4864, 7, 19),
    VgpuType(477, "NVIDIA A100-2-10C", 9984, 3, 14),
    VgpuType(478, "NVIDIA A100-3-20C", 20224, 2, 9),
)
# Measured by bigstack-oss/cubecos: one GPU instance holds several vGPUs of one size.
RTX_PRO = (
    VgpuType(1519, "NVIDIA RTX Pro 6000 Blackwell DC-3Q", 3072, 32),
    VgpuType(1520, "NVIDIA RTX Pro 6000 Blackwell DC-3A", 3072, 32),
    VgpuType(1523, "NVIDIA RTX Pro 6000 Blackwell DC-6Q", 6144, 16),
    VgpuType(1537, "NVIDIA RTX Pro 6000 Blackwell DC-96Q", 98304, 1),
    VgpuType(1550, "NVIDIA RTX Pro 6000 Blackwell DC-1-12Q", 12288, 8, 47, 2),
    VgpuType(1561, "NVIDIA RTX Pro 6000 Blackwell DC-1-24Q", 24576, 4, 47),
)


def function(address: str, product: str, numa_node: int, **facts: Any) -> Function:
    """A function of a card behind a bridge, bound to NVIDIA's driver."""
    return Function(address, _VENDOR, product, "0000:40:01.1", numa_node=numa_node, driver="nvidia", **facts)


def virtual_functions(card: str, count: int) -> list[str]:
    """The addresses of a card's virtual functions: 41:00.4 to 41:00.7, then 41:01.0, since a device has eight."""
    numbers = range(4, 4 + count)
    return [f"{card[:-2]}{number >> 3:02x}.{number & 7}" for number in numbers]


def room(vgpu_type: VgpuType, created: Sequence[VgpuType]) -> int:
    """How many more vGPUs of a type fit on a card that already holds these.

    All vGPUs of a card have one framebuffer size; types of the same size (4A and 4Q) may be mixed. The maximum of the
    requested type limits the total, whatever types are on the card.
    """
    if any(existing.framebuffer != vgpu_type.framebuffer for existing in created):
        return 0
    return max(0, vgpu_type.maximum - len(created))


class Parameters:
    """The file vgpu_params of one vGPU.

    The driver expects a trailing newline and drops the last character, whatever it is. A write fails with EPERM while
    the vGPU is open.
    """

    def __init__(self, is_open: Callable[[], bool]) -> None:
        self.text = ""
        self._is_open = is_open

    def node(self) -> Node:
        return Node(read=self.read, write=self.write)

    def read(self) -> str:
        return f"{self.text}\n"

    def write(self, text: str) -> None:
        if len(text) > _MAX_PARAMETERS:
            refuse(errno.E2BIG)
        if self._is_open():
            refuse(errno.EPERM)
        self.text = text[:-1]
