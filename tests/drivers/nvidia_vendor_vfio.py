# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA without mediated devices (vendor VFIO: Ada, Hopper and newer, on newer kernels).

``Card(address, count)`` is a card with that many virtual functions; ``card.functions[0].address`` is the address of the
first, ``card.types_set()`` returns the type of each function, ``files.kernel.held.add(address)`` marks a function as
open. Add it with ``files.boot(card)``: a boot clears all types and parameters, as the driver does. ``answers`` selects
the errnos of refusals: :data:`SHIPPED` or :data:`UPSTREAM`.

Each function has ``nvidia/creatable_vgpu_types``, ``nvidia/current_vgpu_type``, ``nvidia/vgpu_params``,
``nvidia/gpu_instance_id`` and ``nvidia/placement_id``, a VFIO group of its own, and ``vfio-dev/vfioN``. The card has
none of them. The list of types is per function and always current: it shrinks as the card fills.

NVIDIA's documentation names no errno. Two drivers do, in their source:

- as shipped (the vfio_pci_core part of nvidia-vgpu-vfio: creatable_vgpu_types_show, current_vgpu_type_store;
  nv_vgpu_vfio_destroy). The list starts with a header line, always; nothing else is listed on a function that has a
  type, and on all functions of a full card. A second type while one is set is EPERM: clear it first. Clearing is
  EPERM if nothing is set, and if a guest has the function open (EBUSY, if the guest's process takes more than 5 s to
  end). Whatever the card cannot accept, also an unknown number, is EIO.
- NVIDIA's patches for the kernel itself (drivers/vfio/pci/nvidia-vgpu, 2025, not merged when this was written). EBUSY
  while a guest has it open, EINVAL for a type of another size than the card has, ENOSPC, ENODEV for an unknown number;
  clearing does nothing if nothing is set. No header once the card has a vGPU, and an empty list on a function that has
  a type.

One framebuffer size per card, unless it is in mixed mode (nvidia-smi vgpu -shm 1), which this one is not. For
vgpu_params see :mod:`drivers.nvidia_card`; without a vGPU it is ENXIO.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from drivers.kit.kernel import Kernel
from drivers.kit.nodes import Node, Nodes, below, refuse
from drivers.kit.pci import Function
from drivers.nvidia_card import L40S, Parameters, VgpuType, function, room, virtual_functions

_HEADER = "ID    : vGPU Name\n"
_PRODUCT = "0x26b9"


@dataclass(frozen=True)
class Answers:
    """The errnos of writes to current_vgpu_type that are not accepted. 0: nothing happens."""

    in_use: int
    already_set: int
    nothing_set: int
    other_size: int
    full: int
    unknown: int
    header_always: bool


SHIPPED = Answers(
    in_use=errno.EPERM,
    already_set=errno.EPERM,
    nothing_set=errno.EPERM,
    other_size=errno.EIO,
    full=errno.EIO,
    unknown=errno.EIO,
    header_always=True,
)
UPSTREAM = Answers(
    in_use=errno.EBUSY,
    already_set=errno.EINVAL,
    nothing_set=0,
    other_size=errno.EINVAL,
    full=errno.ENOSPC,
    unknown=errno.ENODEV,
    header_always=False,
)


class VirtualFunction:
    """A function that holds at most one vGPU, which has no UUID: the function identifies it."""

    def __init__(self, pci: Function, card: Card) -> None:
        self.address = pci.address
        self.type: VgpuType | None = None
        self._pci = pci
        self._card = card

    def plug(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.group = kernel.new_group()
        self._set(None)

    def _set(self, vgpu_type: VgpuType | None) -> None:
        self.type = vgpu_type
        self._parameters = Parameters(self._is_open)

    def set_by_hand(self, number: int) -> None:
        """Set a type as another program would, or clear it with 0."""
        self._set(self._card.type(number))
        self._kernel.changed()

    def _is_open(self) -> bool:
        """Whether a guest uses it. A process that only has its group open does not (drivers/vfio/group.c)."""
        return self.address in self._kernel.held

    def nodes(self) -> Nodes:
        folder = f"sys/devices/{self._pci.place}"
        return {
            **self._pci.nodes(),
            **self._kernel.vfio(folder, self.address, self.group),
            **below(f"{folder}/vfio-dev", {f"vfio{self.group}": Node()}),
            **below(
                f"{folder}/nvidia",
                {
                    "creatable_vgpu_types": Node(read=self._creatable),
                    "current_vgpu_type": Node(read=self._current, write=self._change),
                    "vgpu_params": Node(read=self._read_parameters, write=self._write_parameters),
                    "gpu_instance_id": Node(read=lambda: self._output(self._card.instance_of(self))),
                    "placement_id": Node(read=lambda: self._output(self._card.placement_of(self))),
                },
            ),
        }

    def _creatable(self) -> str:
        created = self._card.created()
        types = [] if self.type else [vgpu_type for vgpu_type in self._card.types if self._card.room(vgpu_type)]
        header = _HEADER if self._card.answers.header_always or not created else ""
        return header + "".join(f"{vgpu_type.number:<5} : {vgpu_type.name}\n" for vgpu_type in types)

    def _current(self) -> str:
        if self._card.unreadable:
            refuse(errno.EIO)
        return f"{self.type.number if self.type else 0}\n"

    def _change(self, text: str) -> None:
        # kstrtol with base 10: nothing but digits and one newline.
        if re.fullmatch(r"[+-]?[0-9]+\n?", text) is None:
            refuse(errno.EINVAL)
        refusal = self._refused_number(int(text))
        if refusal:
            refuse(refusal)
        if int(text) or self.type:
            self._set(self._card.type(int(text)))

    def _refused_number(self, number: int) -> int:
        """The errno if the driver does not accept this type number, otherwise 0."""
        answers, vgpu_type = self._card.answers, self._card.type(number)
        if self._card.broken:
            return errno.EIO
        if self.type and self._is_open():
            return answers.in_use
        if not number:
            return 0 if self.type else answers.nothing_set
        if self.type:
            return answers.already_set
        if vgpu_type is None:
            return answers.unknown
        created = self._card.created()
        if self._card.room(vgpu_type):
            return 0
        same_size = all(existing.framebuffer == vgpu_type.framebuffer for existing in created)
        return answers.full if same_size else answers.other_size

    def _output(self, number: int | None) -> str:
        """Where the vGPU landed. Source: bigstack-oss/cubecos, config_gpu.cpp: ENXIO until a vGPU exists."""
        return refuse(errno.ENXIO) if self.type is None or number is None else f"{number}\n"

    def _read_parameters(self) -> str:
        return self._parameters.read() if self.type else refuse(errno.ENXIO)

    def _write_parameters(self, text: str) -> None:
        if self.type is None:
            refuse(errno.ENXIO)
        self._parameters.write(text)


class Card:
    """A card with its virtual functions enabled: "0000:41:00" has 0000:41:00.4 and those after it."""

    def __init__(self, card: str, count: int, answers: Answers = SHIPPED) -> None:
        self.types = L40S
        self.answers = answers
        # Whether every request to the card fails.
        self.broken = False
        # Whether the current types can't be read.
        self.unreadable = False
        addresses = virtual_functions(card, count)
        physical = f"{card}.0"
        self._physical = function(physical, _PRODUCT, 0, virtual=addresses, total_virtual=32)
        self.functions = [
            VirtualFunction(function(address, _PRODUCT, 0, physical=physical), self) for address in addresses
        ]

    def plug(self, kernel: Kernel) -> None:
        for virtual_function in self.functions:
            virtual_function.plug(kernel)

    def nodes(self) -> Nodes:
        nodes = {"sys/module/nvidia": Node(), "sys/module/nvidia_vgpu_vfio": Node(), **self._physical.nodes()}
        for virtual_function in self.functions:
            nodes.update(virtual_function.nodes())
        return nodes

    def created(self) -> list[VgpuType]:
        return [function.type for function in self.functions if function.type is not None]

    def room(self, vgpu_type: VgpuType) -> int:
        """How many more of a type fit."""
        return room(vgpu_type, self.created())

    def instance_of(self, function: VirtualFunction) -> int | None:
        """The GPU instance that holds a function's vGPU. None without MIG."""
        return None

    def placement_of(self, function: VirtualFunction) -> int | None:
        """Where the vGPU of a function is in the card's memory."""
        before = self.functions[: self.functions.index(function)]
        return sum(other.type.framebuffer for other in before if other.type) // 1024

    def type(self, number: int) -> VgpuType | None:
        return next((vgpu_type for vgpu_type in self.types if vgpu_type.number == number), None)

    def types_set(self) -> dict[str, int]:
        """The type of each function that has one."""
        return {function.address: function.type.number for function in self.functions if function.type is not None}
