# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The results of mdev_destination_info on possible destinations, read for the planner, and its plan as plain data.

This is the only file that knows the form of these results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ansible_collections.vfio.mdev.plugins.module_utils._fleet.moves import (
    CandidateHost,
    MovePlan,
    MovingGuest,
    Offer,
    RankedHost,
    Refusal,
)
from ansible_collections.vfio.mdev.plugins.module_utils._fleet.transfer import inventory_of, request_of
from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import address_key
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Inventory

Result = dict[str, Any]

_ELSEWHERE = "migrates already, and no possible destination that answered is prepared for it"


def guests_of(guests: Iterable[Mapping[str, Any]]) -> list[MovingGuest]:
    """The guests in a result of mdev_guest_info."""
    return [MovingGuest(str(guest["uuid"]), str(guest["name"]), bool(guest.get("migrating"))) for guest in guests]


def candidates_of(answers: Mapping[str, Mapping[str, Any]]) -> list[CandidateHost]:
    """The hosts that answered, and those that did not, by their names."""
    return [_candidate(str(name), answer) for name, answer in answers.items()]


def _candidate(name: str, answer: Mapping[str, Any]) -> CandidateHost:
    refused = _refused(answer)
    if "guests" not in answer:
        return CandidateHost(name, 0, Inventory, refused=refused)
    return CandidateHost(
        name,
        int(answer["devices"]),
        partial(inventory_of, answer["inventory"]),
        {str(guest["uuid"]): _offer(guest) for guest in answer["guests"]},
        refused,
    )


def _refused(answer: Mapping[str, Any]) -> str:
    """Why the host takes no guests at all; empty if it does."""
    if answer.get("unreachable"):
        return f"it is unreachable: {_message(answer)}"
    if "guests" not in answer:
        return f"it could not be asked: {_message(answer)}"
    cordon = answer.get("cordon")
    return f"it is cordoned since {cordon['since'] or 'an unknown time'}: {cordon['reason']}" if cordon else ""


def _message(answer: Mapping[str, Any]) -> str:
    return str(answer.get("msg") or "it gave no reason").strip()


def _offer(guest: Mapping[str, Any]) -> Offer:
    refused = tuple(
        f"{check['check']}: {check['detail']}"
        for check in guest["checks"]
        if check["severity"] == "error" and not check["ok"]
    )
    return Offer(tuple(request_of(request) for request in guest["requests"]), refused, bool(guest["prepared"]))


def open_records(answers: Mapping[str, Mapping[str, Any]]) -> list[Result]:
    """The guests that are prepared on the hosts, by host and name."""
    records = [
        {**record, "destination": str(name)} for name, answer in answers.items() for record in answer.get("records", ())
    ]
    return sorted(records, key=lambda record: (address_key(record["destination"]), record["name"], record["uuid"]))


def plan_result(plan: MovePlan, records: Sequence[Result]) -> Result:
    """The plan as plain data, with a summary for people."""
    moves = [
        {
            "uuid": move.guest.uuid,
            "name": move.guest.name,
            "destination": move.destination,
            "reason": move.reason,
            "prepared": move.offer.is_prepared,
            "under_way": move.offer.is_prepared and bool(move.guest.is_migrating or move.offer.refused),
        }
        for move in plan.moves
    ]
    unplaced = [
        {
            "uuid": left.guest.uuid,
            "name": left.guest.name,
            "refusals": [_refusal_result(refusal) for refusal in left.refusals],
        }
        for left in plan.unplaced
    ]
    lines = table([(move.guest.name, f"-> {move.destination}", move.reason) for move in plan.moves])
    for left in plan.unplaced:
        if left.guest.is_migrating:
            lines.append(f"{left.guest.name}  {_ELSEWHERE}")
            continue
        lines.append(f"{left.guest.name}  has no destination:")
        lines.extend(f"    {line}" for line in _grouped(left.refusals))
    return {"moves": moves, "unplaced": unplaced, "records": list(records), "summary": lines}


def ranking_result(hosts: Sequence[RankedHost]) -> Result:
    """The ranking as plain data, with a summary for people."""
    rows = [(str(number), host.name, "can take all guests") for number, host in enumerate(hosts, start=1) if host.fits]
    lines = table(rows)
    lines.extend(_grouped([Refusal(host.name, host.reasons) for host in hosts if not host.fits]))
    return {
        "destinations": [host.name for host in hosts if host.fits],
        "hosts": [{"name": host.name, "fits": host.fits, "reasons": list(host.reasons)} for host in hosts],
        "summary": lines,
    }


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _refusal_result(refusal: Refusal) -> Result:
    return {"host": refusal.host, "reasons": list(refusal.reasons)}


def _grouped(refusals: Iterable[Refusal]) -> list[str]:
    """One line for each reason, with all hosts that have it."""
    hosts: dict[tuple[str, ...], list[str]] = {}
    for refusal in refusals:
        hosts.setdefault(refusal.reasons, []).append(refusal.host)
    return [f"{', '.join(names)}: {' | '.join(reasons)}" for reasons, names in hosts.items()]
