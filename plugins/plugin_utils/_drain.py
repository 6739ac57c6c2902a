# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of each guest of a host that is emptied. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Optional

_MIGRATED, _UNPLACED = "migrated", "unplaced"

# By the outcomes of mdev_guest_migrate, and that of a guest without a destination.
_TEXTS = {
    _MIGRATED: "has arrived",
    "failed": "was not migrated",
    "running": "still migrates to {destination}: run the playbook again",
    "unknown": "may still migrate to {destination}: run the playbook again",
    "not_started": "was not started",
    _UNPLACED: "has no destination",
}


@dataclass(frozen=True)
class GuestRow:
    """A guest of the host.

    host:     where it is; None if that is not known
    downtime: for how long it stood still, in ms; None if libvirt did not report it
    problem:  what went wrong, as text
    """

    name: str
    uuid: str
    host: Optional[str]
    destination: Optional[str]
    outcome: str
    downtime: Optional[int] = None
    problem: str = ""

    @property
    def text(self) -> str:
        """What became of it, for people."""
        text = _TEXTS[self.outcome].format(destination=self.destination)
        return f"{text}: {self.problem}" if self.problem else text


def guest_rows(
    unplaced: Iterable[Mapping[str, Any]], finished: Iterable[Mapping[str, Any]], source: str, here: Collection[str]
) -> tuple[list[GuestRow], list[GuestRow]]:
    """All guests by name, and those of them that are not where they should be, committed.

    unplaced: the guests without a destination
    finished: the others, each with its outcome, where it is on the destination's side, and what went wrong
    source:   the host that is emptied
    here:     the UUIDs of the guests that it has now
    """
    rows = [
        *(_finished(guest, source, here) for guest in finished),
        *(GuestRow(str(guest["name"]), str(guest["uuid"]), source, None, _UNPLACED) for guest in unplaced),
    ]
    rows.sort(key=lambda row: (row.name, row.uuid))
    return rows, [row for row in rows if row.outcome != _MIGRATED or row.problem]


def _finished(guest: Mapping[str, Any], source: str, here: Collection[str]) -> GuestRow:
    return GuestRow(
        name=str(guest["name"]),
        uuid=str(guest["uuid"]),
        host=source if guest["uuid"] in here else guest["host"],
        destination=str(guest["destination"]),
        outcome=str(guest["outcome"]),
        downtime=guest.get("downtime"),
        problem=str(guest["problem"]),
    )


def row_result(row: GuestRow) -> dict[str, Any]:
    """A guest as plain data."""
    return asdict(row)
