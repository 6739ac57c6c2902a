# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev test: runs all checks in two lanes, because hosts wait for disks and networks while linters compute."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.errors import LabError

from dev import checks, lost_hosts
from dev.check import Check, Count
from dev.stage import staged

Table = Callable[[Path, Path], list[Check]]

# Each inner tuple is a lane. The tables of a lane run one after the other, at the same time as the other lanes.
PARTS: dict[str, tuple[tuple[Table, ...], ...]] = {
    "all": ((checks.fast, checks.static, checks.host_pairs), (checks.single_hosts,)),
    "fast": ((checks.fast,),),
    "static": ((checks.static,),),
    "lab": ((checks.host_pairs,), (checks.single_hosts,)),
}


def main(arguments: Sequence[str]) -> int:
    """Run everything, the named part, or the named checks of a part. The last line shows the total."""
    part, *named = arguments or ["all"]
    if part not in PARTS:
        print(f"dev: there is no part '{part}': {', '.join(PARTS)}", file=sys.stderr)
        return 2
    logs = Path(tempfile.mkdtemp(prefix="vfio-mdev-logs-"))
    print(f"Logs are in {logs}", flush=True)
    notes: list[str] = []
    with staged() as stage, ThreadPoolExecutor() as pool:
        lanes = [pool.submit(_lane, tables, stage, logs, named, notes) for tables in PARTS[part]]
        total = sum((lane.result() for lane in lanes), Count(0, 0))
    for note in notes:
        print(note, flush=True)
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


def _lane(tables: tuple[Table, ...], stage: Path, logs: Path, named: Sequence[str], notes: list[str]) -> Count:
    selected = (check for table in tables for check in table(stage, logs) if not named or check.name in named)
    return sum((lost_hosts.run(check, logs, notes) for check in selected), Count(0, 0))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        print(f"dev: error: {error}", file=sys.stderr)
        sys.exit(1)
