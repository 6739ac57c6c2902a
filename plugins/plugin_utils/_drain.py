# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of each guest of a host that is emptied, and what is left to do for it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Optional

# The outcomes of mdev_guest_migrate, and what has to be done then. Nothing is decided about a guest that may still
# migrate.
_MIGRATED, _NOT_STARTED, _UNKNOWN, _UNPLACED = "migrated", "not_started", "unknown", "unplaced"
COMMIT, ROLL_BACK = "commit", "roll_back"
_TODO = {_MIGRATED: COMMIT, "failed": ROLL_BACK, _NOT_STARTED: ROLL_BACK}

_TEXTS = {
    _MIGRATED: "has arrived",
    "failed": "was not migrated",
    "running": "still migrates to {destination}: run the playbook again",
    _UNKNOWN: "may still migrate to {destination}: run the playbook again",
    _NOT_STARTED: "was not started",
    _UNPLACED: "has no destination",
}


@dataclass(frozen=True)
class GuestRow:
    """A guest of the host.

    host:     where it is; None if that is not known
    todo:     COMMIT, ROLL_BACK, or None
    downtime: for how long it stood still, in ms; None if libvirt did not report it
    problem:  what went wrong, as text
    """

    name: str
    uuid: str
    host: Optional[str]
    destination: Optional[str]
    outcome: str
    todo: Optional[str] = None
    downtime: Optional[int] = None
    problem: str = ""

    @property
    def text(self) -> str:
        """What became of it, for people."""
        text = _TEXTS[self.outcome].format(destination=self.destination)
        return f"{text}: {self.problem}" if self.problem else text


@dataclass(frozen=True)
class Drained:
    """What is known after the migrations.

    source:   the host that is emptied
    here:     the UUIDs of the guests that it has now
    given:    the UUIDs of the guests that should have been migrated
    outcomes: the results of mdev_guest_migrate
    problems: further problems, by UUID of the guest or by name of the destination
    """

    source: str
    here: Collection[str]
    given: Collection[str]
    outcomes: Mapping[str, Mapping[str, Any]]
    problems: Mapping[str, str]

    def moved(self, move: Mapping[str, Any]) -> GuestRow:
        """A guest that had a destination."""
        uuid, destination = str(move["uuid"]), str(move["destination"])
        reported = self.outcomes.get(uuid, {})
        outcome = str(reported.get("outcome") or (_UNKNOWN if uuid in self.given else _NOT_STARTED))
        arrived = destination if outcome == _MIGRATED else None
        problems = (reported.get("error"), self.problems.get(uuid), self.problems.get(destination))
        return GuestRow(
            name=str(move["name"]),
            uuid=uuid,
            host=self.source if uuid in self.here else arrived,
            destination=destination,
            outcome=outcome,
            todo=_TODO.get(outcome),
            downtime=reported.get("downtime"),
            problem=". ".join(str(problem).strip().rstrip(".") for problem in problems if problem),
        )

    def arrived(self, record: Mapping[str, Any]) -> GuestRow:
        """A guest that arrived while nobody watched."""
        uuid, destination = str(record["uuid"]), str(record["destination"])
        problem = self.problems.get(uuid, "")
        host = None if problem else destination
        return GuestRow(str(record["name"]), uuid, host, destination, _MIGRATED, COMMIT, problem=problem)

    def left(self, guest: Mapping[str, Any]) -> GuestRow:
        """A guest without a destination."""
        return GuestRow(str(guest["name"]), str(guest["uuid"]), self.source, None, _UNPLACED)


def guest_rows(
    plan: Mapping[str, Any], arrived: Iterable[Mapping[str, Any]], drained: Drained
) -> tuple[list[GuestRow], list[GuestRow]]:
    """All guests by name, and those of them that are not where they should be, committed."""
    rows = [
        *(drained.moved(move) for move in plan["moves"]),
        *(drained.arrived(record) for record in arrived),
        *(drained.left(guest) for guest in plan["unplaced"]),
    ]
    rows.sort(key=lambda row: (row.name, row.uuid))
    return rows, [row for row in rows if row.outcome != _MIGRATED or row.problem]


def row_result(row: GuestRow) -> dict[str, Any]:
    """A guest as plain data."""
    return asdict(row)
