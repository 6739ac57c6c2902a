# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks whether devices fit on a host, and why not. They are placed as those of a set are. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._model.addresses import address_key
from .._model.errors import MdevError
from .._model.inventory import Inventory
from .._model.request import CapacityQuery
from .._planning.capacity import Capacity
from .._planning.matching import candidates, types_on
from .._planning.placement import PlacementRequest, Placements, Rejection, distinct, place_all


@dataclass(frozen=True)
class CapacityAnswer:
    """The answer to one query.

    fitting:    how many of the devices fit
    placements: how many each parent gets, in address order
    rejected:   why each candidate can't take the others
    refused:    why there are no candidates, as text; empty if there are some
    """

    query: CapacityQuery
    fitting: int
    placements: tuple[tuple[str, int], ...] = ()
    rejected: tuple[Rejection, ...] = ()
    refused: str = ""

    def as_result(self) -> dict[str, Any]:
        """The answer as results show it. A reason without a parent is about all parents."""
        reasons: list[dict[str, Any]] = [
            {"parent": rejection.parent, "reason": rejection.reason} for rejection in self.rejected
        ]
        if self.refused:
            reasons.append({"parent": None, "reason": self.refused})
        return {
            "type": self.query.type,
            "count": self.query.count,
            "fits": self.fitting == self.query.count,
            "fitting": self.fitting,
            "placements": [{"parent": parent, "count": count} for parent, count in self.placements],
            "reasons": reasons,
        }


def answer_queries(queries: Sequence[CapacityQuery], inventory: Inventory) -> tuple[CapacityAnswer, ...]:
    """The answers to all queries. Their devices are placed all together, beside the existing ones."""
    requests: list[list[PlacementRequest]] = []
    refused: dict[int, str] = {}
    for position, query in enumerate(queries):
        try:
            requests.append(_placement_requests(position, query, inventory))
        except MdevError as error:
            requests.append([])
            refused[position] = error.message
    placements = place_all([request for group in requests for request in group], Capacity(inventory))
    return tuple(
        _answer(query, group, placements, refused.get(position, ""))
        for position, (query, group) in enumerate(zip(queries, requests))
    )


def _placement_requests(position: int, query: CapacityQuery, inventory: Inventory) -> list[PlacementRequest]:
    parents = candidates(query.parents, inventory, query.excluded)
    types = types_on(query.type, parents)
    return [
        PlacementRequest(
            key=f"{position}/{index}",
            requested_type=query.type,
            parents=parents,
            types=types,
            policy=query.placement,
            numa_node=query.numa_node,
            label=f"capacity[{position}]",
            index=index,
        )
        for index in range(query.count)
    ]


def _answer(
    query: CapacityQuery, requests: Sequence[PlacementRequest], placements: Placements, refused: str
) -> CapacityAnswer:
    placed = [placements.placed[request.key] for request in requests if request.key in placements.placed]
    keys = {request.key for request in requests}
    counts = Counter(placement.choices[0].parent.address for placement in placed)
    unplaced = (unplaced for unplaced in placements.missing if unplaced.request.key in keys)
    return CapacityAnswer(
        query,
        fitting=len(placed),
        placements=tuple(sorted(counts.items(), key=lambda item: address_key(item[0]))),
        rejected=distinct(rejection for request in unplaced for rejection in request.rejected),
        refused=refused,
    )
