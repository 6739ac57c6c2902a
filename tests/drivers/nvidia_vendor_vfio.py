# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA without mediated devices (vendor VFIO: Ada, Hopper and newer, on newer kernels).

``Card(address, count)`` is a card with so many virtual functions; ``card.functions[0].address`` names one,
``card.types_set()`` says what is set where, ``host.kernel.held.add(address)`` lets somebody have one open. Plug it with
``host.boot(card)``: a boot forgets all types and parameters, as the driver does. ``answers`` is what refusals give:
:data:`SHIPPED` or :data:`UPSTREAM`.

Each function has ``nvidia/creatable_vgpu_types``, ``nvidia/current_vgpu_type`` and ``nvidia/vgpu_params``, a VFIO group
of its own, and ``vfio-dev/vfioN``. The card has none of them. The list of types is made for its function and this
moment: it shrinks as the card fills.

NVIDIA's documentation names no errno. Two drivers do, in their source:

- as shipped (the vfio_pci_core part of nvidia-vgpu-vfio: creatable_vgpu_types_show, current_vgpu_type_store;
  nv_vgpu_vfio_destroy). The list starts with a header line, always; the header is all there is on a function that has a
  type, and everywhere on a full card. A second type while one is set is EPERM: clear it first. Clearing is EPERM where
  nothing is set, and where a guest has the function open (EBUSY, if the guest's process takes more than 5 s to end).
  What the card can't take, an unknown number too, is EIO.
- NVIDIA's patches for the kernel itself (drivers/vfio/pci/nvidia-vgpu, 2025, not merged when this was written). EBUSY
  while a guest has it open, EINVAL for another type than the card has, ENOSPC, ENODEV for an unknown number; nothing
  happens where nothing is set. No header once the card has a vGPU, and an empty list on a function that has a type.

One framebuffer size a card, unless it is in mixed mode (nvidia-smi vgpu -shm 1), which this one is not. For vgpu_params
see :mod:`drivers.nvidia_card`; without a vGPU it is ENXIO.
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
    """What is answered to a write to current_vgpu_type that is not taken. 0: nothing happens."""

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
    """A function that holds at most one vGPU, which has no UUID: the function is its name."""

    def __init__(self, pci: Function, card: Card) -> None:
        self.address = pci.address
        self.type: VgpuType | None = None
        self._pci = pci
        self._card = card

    def plug(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.group = kernel.new_group()
        self._set(None)

    def _set(self, kind: VgpuType | None) -> None:
        self.type = kind
        self._parameters = Parameters(self._is_open)

    def set_by_hand(self, number: int) -> None:
        """Somebody else sets a type, or with 0 clears it."""
        self._set(self._card.type(number))
        self._kernel.changed()

    def _is_open(self) -> bool:
        """Whether a guest has it. Whoever has no more than its group open does not (drivers/vfio/group.c)."""
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
                },
            ),
        }

    def _creatable(self) -> str:
        created = self._card.created()
        kinds = [] if self.type else [one for one in self._card.types if room(one, created)]
        header = _HEADER if self._card.answers.header_always or not created else ""
        return header + "".join(f"{one.number:<5} : {one.name}\n" for one in kinds)

    def _current(self) -> str:
        return f"{self.type.number if self.type else 0}\n"

    def _change(self, text: str) -> None:
        # kstrtol with base 10: nothing but digits and one newline.
        if re.fullmatch(r"[+-]?[0-9]+\n?", text) is None:
            refuse(errno.EINVAL)
        number = self._refused_number(int(text))
        if number:
            refuse(number)
        if int(text) or self.type:
            self._set(self._card.type(int(text)))

    def _refused_number(self, wanted: int) -> int:
        """Why the driver does not take it, as errno; 0 where it does."""
        answers, kind = self._card.answers, self._card.type(wanted)
        if self._card.broken:
            return errno.EIO
        if self.type and self._is_open():
            return answers.in_use
        if not wanted:
            return 0 if self.type else answers.nothing_set
        if self.type:
            return answers.already_set
        if kind is None:
            return answers.unknown
        created = self._card.created()
        if room(kind, created):
            return 0
        return answers.full if all(one.framebuffer == kind.framebuffer for one in created) else answers.other_size

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
        # Whether whatever is asked of the card fails.
        self.broken = False
        addresses = virtual_functions(card, count)
        physical = f"{card}.0"
        self._physical = function(physical, _PRODUCT, 0, virtual=addresses, total_virtual=32)
        self.functions = [VirtualFunction(function(one, _PRODUCT, 0, physical=physical), self) for one in addresses]

    def plug(self, kernel: Kernel) -> None:
        for one in self.functions:
            one.plug(kernel)

    def nodes(self) -> Nodes:
        nodes = {"sys/module/nvidia": Node(), "sys/module/nvidia_vgpu_vfio": Node(), **self._physical.nodes()}
        for one in self.functions:
            nodes.update(one.nodes())
        return nodes

    def created(self) -> list[VgpuType]:
        return [one.type for one in self.functions if one.type is not None]

    def type(self, number: int) -> VgpuType | None:
        return next((one for one in self.types if one.number == number), None)

    def types_set(self) -> dict[str, int]:
        """The type of each function that has one."""
        return {one.address: one.type.number for one in self.functions if one.type is not None}
