# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""s390 crypto adapters (vfio_ap): one parent, ``matrix``; a device is configured by attributes, one after the other.

Source: drivers/s390/crypto/vfio_ap_ops.c and vfio_ap_drv.c, Documentation/arch/s390/vfio-ap.rst.

- A queue is an adapter and a domain, ``05.0004``. A device has all pairs of its adapters and domains.
- assign_adapter, assign_domain, assign_control_domain and their unassign_ twins are write-only and take one number,
  decimal, hexadecimal (0x) or octal (0). Assigning twice, or unassigning a number that is not assigned, does nothing.
- A number above the host's maximum is ENODEV. A pair that belongs to the default drivers (in the product of apmask
  and aqmask) is EADDRNOTAVAIL, one that another device has is EADDRINUSE; in both cases nothing is assigned.
  Control domains may be shared. (EBUSY is the answer to a change of the masks that takes a queue from a device, not to
  these writes.)
- ``matrix`` reads as one line per pair, "05.0004"; as "05." if there are no domains, as ".0004" if there are no
  adapters. ``control_domains`` reads as "0004". All numbers are hexadecimal.
- ``ap_config`` (since Linux 6.10) reads and sets all at once, or nothing: masks of adapters, domains and control
  domains, the leftmost bit being number 0, with commas between.
- Before Linux 6.0 nothing can be assigned while a guest has the device (EBUSY); since then the guest sees it at once.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from drivers.kit.kernel import Kernel, MdevDevice
from drivers.kit.mdev import MdevParent, MdevType, number
from drivers.kit.nodes import Node, Nodes, refuse

# Bits of a mask.
_BITS = 256
# The highest number of each unit that the host has.
_MAXIMA = {"adapter": 255, "domain": 84, "control_domain": 84}
_MAX_DEVICES = 65536


@dataclass
class Matrix:
    """The adapters and domains of one device."""

    adapters: set[int] = field(default_factory=set)
    domains: set[int] = field(default_factory=set)
    control_domains: set[int] = field(default_factory=set)

    @property
    def parts(self) -> tuple[set[int], set[int], set[int]]:
        """In the order of ap_config."""
        return self.adapters, self.domains, self.control_domains

    def queues(self) -> set[tuple[int, int]]:
        return {(adapter, domain) for adapter in self.adapters for domain in self.domains}


class Adapters(MdevParent):
    """The AP bus of a host. default_adapters, default_domains: the bits that are set in apmask and aqmask.

    hotplug: whether a device can be changed while a guest uses it.
    """

    def __init__(
        self,
        default_adapters: Collection[int] = (),
        default_domains: Collection[int] = (),
        hotplug: bool = True,
    ) -> None:
        super().__init__("matrix", "vfio_ap/matrix", "bus/matrix", "vfio_ap", "vfio_ap_mdev")
        self._default_adapters = default_adapters
        self._default_domains = default_domains
        self._hotplug = hotplug
        self.matrixes: dict[str, Matrix] = {}

    def plug(self, kernel: Kernel) -> None:
        super().plug(kernel)
        self.matrixes.clear()

    def types(self) -> Sequence[MdevType]:
        return [MdevType("vfio_ap-passthrough", "VFIO AP Passthrough Device", api="vfio-ap")]

    def left(self, type_id: str) -> int:
        return _MAX_DEVICES - len(self.devices())

    def probe(self, type_id: str, uuid: str) -> None:
        if self.left(type_id) < 1:
            refuse(errno.EUSERS)
        self.matrixes[uuid] = Matrix()

    def forget(self, device: MdevDevice) -> None:
        self.matrixes.pop(device.uuid, None)

    def attributes(self, device: MdevDevice) -> Nodes:
        matrix = self.matrixes[device.uuid]
        nodes = {
            "ap_config": Node(
                read=lambda: ",".join(map(_mask, matrix.parts)) + "\n", write=lambda text: self._configure(device, text)
            ),
            "matrix": Node(read=lambda: _lines(_matrix(matrix))),
            "control_domains": Node(read=lambda: _lines(f"{domain:04x}" for domain in sorted(matrix.control_domains))),
        }
        for (name, maximum), numbers in zip(_MAXIMA.items(), matrix.parts, strict=True):
            nodes[f"assign_{name}"] = self._assign(device, numbers, maximum)
            nodes[f"unassign_{name}"] = self._unassign(device, numbers, maximum)
        return nodes

    def _configure(self, device: MdevDevice, text: str) -> None:
        self._refuse_in_use(device)
        masks = text.removesuffix("\n").split(",")
        if len(masks) != len(_MAXIMA) or not all(re.fullmatch("(0x)?[0-9a-f]{1,64}", mask) for mask in masks):
            refuse(errno.EINVAL)
        old, new = self.matrixes[device.uuid], Matrix(*map(_numbers, masks))
        self.matrixes[device.uuid] = new
        problem = self._problem(device.uuid)
        if any(number > maximum for part, maximum in zip(new.parts, _MAXIMA.values(), strict=True) for number in part):
            problem = problem or errno.ENODEV
        self.matrixes[device.uuid] = old
        if problem:
            refuse(problem)
        for part, numbers in zip(old.parts, new.parts, strict=True):
            part.clear()
            part.update(numbers)

    def _assign(self, device: MdevDevice, numbers: set[int], maximum: int) -> Node:
        def write(text: str) -> None:
            new = self._checked(device, text, maximum)
            if new in numbers:
                return
            numbers.add(new)
            problem = self._problem(device.uuid)
            if problem:
                numbers.discard(new)
                refuse(problem)

        return Node(write=write)

    def _unassign(self, device: MdevDevice, numbers: set[int], maximum: int) -> Node:
        return Node(write=lambda text: numbers.discard(self._checked(device, text, maximum)))

    def _checked(self, device: MdevDevice, text: str, maximum: int) -> int:
        self._refuse_in_use(device)
        requested = number(text)
        return requested if requested <= maximum else refuse(errno.ENODEV)

    def _refuse_in_use(self, device: MdevDevice) -> None:
        if not self._hotplug and self.kernel.is_open(device.uuid, device.group):
            refuse(errno.EBUSY)

    def _problem(self, uuid: str) -> int:
        """The errno if the device cannot have its current queues, otherwise 0."""
        queues = self.matrixes[uuid].queues()
        if any(adapter in self._default_adapters and domain in self._default_domains for adapter, domain in queues):
            return errno.EADDRNOTAVAIL
        if any(queues & other.queues() for name, other in self.matrixes.items() if name != uuid):
            return errno.EADDRINUSE
        return 0


def _matrix(matrix: Matrix) -> list[str]:
    if not matrix.domains:
        return [f"{adapter:02x}." for adapter in sorted(matrix.adapters)]
    if not matrix.adapters:
        return [f".{domain:04x}" for domain in sorted(matrix.domains)]
    return [f"{adapter:02x}.{domain:04x}" for adapter, domain in sorted(matrix.queues())]


def _mask(numbers: Iterable[int]) -> str:
    return f"0x{sum(1 << (_BITS - 1 - number) for number in numbers):064x}"


def _numbers(mask: str) -> set[int]:
    bits = f"{int(mask.removeprefix('0x').ljust(_BITS // 4, '0'), 16):0{_BITS}b}"
    return {position for position, bit in enumerate(bits) if bit == "1"}


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
