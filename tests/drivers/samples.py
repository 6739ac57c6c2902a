# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's sample drivers, and parents like them: types that share a budget.

Source: samples/vfio-mdev (mtty.c, mdpy.c, mbochs.c) and their answers on Linux 6.1 and 6.12.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drivers.kit.kernel import MdevDevice
from drivers.kit.mdev import MdevParent, MdevType
from drivers.kit.nodes import Node, Nodes, refuse


class Sample(MdevParent):
    """A parent with a budget. costs: the share of a device of each type. full: the errno when it is used up.

    settings: attributes of its devices, each with a function that accepts a value or refuses it.
    """

    def __init__(
        self,
        address: str,
        costs: Mapping[str, int],
        budget: int,
        names: Mapping[str, str] | None = None,
        full: int = errno.ENOSPC,
        settings: Mapping[str, Callable[[str], None]] | None = None,
        place: str | None = None,
        subsystem: str | None = None,
    ) -> None:
        place, subsystem = place or f"virtual/{address}/{address}", subsystem or f"class/{address}"
        super().__init__(address, place, subsystem, None, address)
        self._costs = costs
        self._names = names or {}
        self._budget = budget
        self._full = full
        self._settings = settings or {}
        self._values: dict[str, str] = {}

    def types(self) -> Sequence[MdevType]:
        return [MdevType(type_id, self._names.get(type_id, type_id)) for type_id in self._costs]

    def left(self, type_id: str) -> int:
        taken = sum(self._costs[device.type_id] for device in self.devices())
        return (self._budget - taken) // self._costs[type_id]

    def probe(self, type_id: str, uuid: str) -> None:
        if self.left(type_id) < 1:
            refuse(self._full)

    def attributes(self, device: MdevDevice) -> Nodes:
        return {name: self._setting(f"{device.uuid}/{name}", accept) for name, accept in self._settings.items()}

    def _setting(self, key: str, accept: Callable[[str], None]) -> Node:
        def write(text: str) -> None:
            accept(text.strip())
            self._values[key] = text

        return Node(read=lambda: self._values.get(key, "0\n"), write=write)


def mtty(**facts: Any) -> Sample:
    """Serial ports: 24 of them, and a type with two."""
    names = {"mtty-1": "Single port serial", "mtty-2": "Dual port serial"}
    return Sample("mtty", {"mtty-1": 1, "mtty-2": 2}, 24, names, **facts)


def mdpy() -> Sample:
    """Displays: four of any size."""
    return Sample("mdpy", dict.fromkeys(("mdpy-vga", "mdpy-xga", "mdpy-hd"), 1), 4, full=errno.EUSERS)
