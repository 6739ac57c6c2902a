# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether devices would fit on a host, placed as a set would be, and why not. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .._model.addresses import address_key
from .._model.errors import MdevError
from .._model.inventory import Inventory
from .._model.request import Ask
from .._planning.capacity import Rooms
from .._planning.matching import candidates, types_meant
from .._planning.placement import Placements, Rejection, Request, distinct, place_all


@dataclass(frozen=True)
class Fit:
    """What came of one question.

    fitting:   how many of the devices fit
    on:        how many each parent gets, in address order
    rejected:  what is in the way of the others, for each parent that was looked at
    refused:   why no parent could be looked at, in words; empty where some were
    """

    ask: Ask
    fitting: int
    on: tuple[tuple[str, int], ...] = ()
    rejected: tuple[Rejection, ...] = ()
    refused: str = ""


def would_fit(asks: Sequence[Ask], inventory: Inventory) -> tuple[Fit, ...]:
    """All devices of all questions are placed together, beside those that the host has."""
    requests: list[list[Request]] = []
    refused: dict[int, str] = {}
    for number, ask in enumerate(asks):
        try:
            requests.append(_requests(number, ask, inventory))
        except MdevError as error:
            requests.append([])
            refused[number] = error.message
    found = place_all([one for each in requests for one in each], Rooms(inventory))
    return tuple(
        _fit(ask, each, found, refused.get(number, "")) for number, (ask, each) in enumerate(zip(asks, requests))
    )


def _requests(number: int, ask: Ask, inventory: Inventory) -> list[Request]:
    parents = candidates(ask.parents, inventory, ask.excluded)
    kinds = types_meant(ask.type, parents)
    return [
        Request(
            uuid=f"{number}/{index}",
            asked=ask.type,
            parents=parents,
            kinds=kinds,
            policy=ask.placement,
            numa_node=ask.numa_node,
            label=f"want[{number}]",
            index=index,
        )
        for index in range(ask.count)
    ]


def _fit(ask: Ask, requests: Sequence[Request], found: Placements, refused: str) -> Fit:
    placed = [found.placed[one.uuid] for one in requests if one.uuid in found.placed]
    mine = {one.uuid for one in requests}
    on = Counter(one.choices[0].parent.address for one in placed)
    return Fit(
        ask,
        fitting=len(placed),
        on=tuple(sorted(on.items(), key=lambda item: address_key(item[0]))),
        rejected=distinct(each for one in found.missing if one.request.uuid in mine for each in one.rejected),
        refused=refused,
    )
