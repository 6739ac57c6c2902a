# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The median of the measurements for each way and size."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Medians:
    """The samples of one part of figures.json."""

    samples: list[dict[str, Any]]

    def seconds(self, way: str, **where: object) -> float | None:
        """The median time of a way, None if it was not measured."""
        return self._median("seconds", way, where)

    def peak_kib(self, way: str, **where: object) -> float | None:
        """The median of the largest resident size."""
        return self._median("peak_kib", way, where)

    def ratio(self, way: str, other: str, **where: object) -> float | None:
        """How many times longer the first way takes than the other."""
        first, second = self.seconds(way, **where), self.seconds(other, **where)
        return None if first is None or second is None else first / second

    def ways(self) -> list[str]:
        """All ways, in the order in which they were measured."""
        return list(dict.fromkeys(sample["way"] for sample in self.samples))

    def sizes(self, key: str) -> list[int]:
        """The sizes that were measured."""
        return sorted({sample[key] for sample in self.samples})

    def _median(self, value: str, way: str, where: dict[str, object]) -> float | None:
        values = [
            sample[value]
            for sample in self.samples
            if sample["way"] == way and all(sample[key] == expected for key, expected in where.items())
        ]
        return median(values) if values else None
