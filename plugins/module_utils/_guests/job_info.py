# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What 'virsh domjobinfo' prints about the migration of a guest, in the C locale (tools/virsh-domain.c).

The figures are of the guest's memory and disks. The state of VFIO devices is not in them.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Optional

_LINE = re.compile(r"^([A-Z][^:]*):\s+(\S+)(?:\s+(\S+))?\s*$", re.MULTILINE)
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50, "EiB": 2**60}
_NUMBER = re.compile(r"\d{1,18}(?:\.\d{1,9})?")


@dataclass(frozen=True)
class JobInfo:
    """A job of a guest.

    is_migration: whether it is an outgoing migration that goes on
    elapsed, downtime: ms; remaining, processed: bytes; rate: bytes per second; dirty_rate: pages per second
    """

    is_migration: bool
    elapsed: Optional[int] = None
    processed: Optional[int] = None
    remaining: Optional[int] = None
    rate: Optional[int] = None
    dirty_rate: Optional[int] = None
    downtime: Optional[int] = None

    def as_result(self) -> dict[str, Any]:
        """The job as a module returns it."""
        return asdict(self)


def parse_job_info(text: str) -> JobInfo:
    """The job. Unknown lines are ignored, and missing ones are None."""
    lines = {match.group(1): (match.group(2), match.group(3) or "") for match in _LINE.finditer(text)}
    operation = re.search(r"^Operation:\s+(.*?)\s*$", text, re.MULTILINE)
    job_type = lines.get("Job type", ("None", ""))[0]
    return JobInfo(
        is_migration=job_type in ("Bounded", "Unbounded")
        and (operation is None or operation.group(1) in ("Outgoing migration", "Unknown")),
        elapsed=_number(lines.get("Time elapsed")),
        processed=_number(lines.get("Data processed")),
        remaining=_number(lines.get("Data remaining")),
        rate=_number(lines.get("Memory bandwidth")),
        dirty_rate=_number(lines.get("Dirty rate")),
        downtime=_number(lines.get("Total downtime")),
    )


def _number(value: Optional[tuple[str, str]]) -> Optional[int]:
    """The number in bytes or in virsh's unit. virsh prints a rate as '32.0 MiB/s'."""
    if value is None or not _NUMBER.fullmatch(value[0]):
        return None
    return int(float(value[0]) * _UNITS.get(value[1].split("/")[0], 1))
