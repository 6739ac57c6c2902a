# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev test: runs all checks in two lanes, one for each processor of a small machine."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dev import checks, lost_hosts
from dev.check import Check, Count
from dev.environment import run_main
from dev.stage import staged

Table = Callable[[Path, Path], list[Check]]


@dataclass(frozen=True)
class Part:
    """A part of the checks. Lanes run at the same time, the tables of a lane one after the other.

    shared: tables for the lane that is the first to have nothing else to do
    """

    lanes: tuple[tuple[Table, ...], ...]
    shared: tuple[Table, ...] = ()


PARTS: dict[str, Part] = {
    "all": Part(
        ((checks.units, checks.code, checks.host_pairs), (checks.single_hosts,)),
        (checks.modules, checks.static, checks.playbooks, checks.snippets),
    ),
    "fast": Part(((checks.units, checks.code), (checks.modules,))),
    "playbooks": Part(((checks.playbooks,), (checks.snippets,))),
    "static": Part(((checks.static,),)),
    "lab": Part(((checks.host_pairs,), (checks.single_hosts,))),
}


def main(arguments: Sequence[str]) -> int:
    """Run everything, the named part, or the named checks of a part. The last line shows the total."""
    part, *named = arguments or ["all"]
    if part not in PARTS:
        print(f"dev: there is no part '{part}': {', '.join(PARTS)}", file=sys.stderr)
        return 2
    started = time.monotonic()
    logs = Path(tempfile.mkdtemp(prefix="vfio-mdev-logs-"))
    print(f"Logs are in {logs}", flush=True)
    notes: list[str] = []
    with staged() as stage, ThreadPoolExecutor() as pool:
        shared = deque(PARTS[part].shared)
        lanes = [pool.submit(_lane, _tables(lane, shared), stage, logs, named, notes) for lane in PARTS[part].lanes]
        total = sum((lane.result() for lane in lanes), Count(0, 0))
    for note in notes:
        print(note, flush=True)
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    print(f"Took {minutes} min {seconds} s", flush=True)
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


def _tables(lane: Sequence[Table], shared: deque[Table]) -> Iterator[Table]:
    """The tables of the lane, then those that no other lane has taken."""
    yield from lane
    while shared:
        yield shared.popleft()


def _lane(tables: Iterator[Table], stage: Path, logs: Path, named: Sequence[str], notes: list[str]) -> Count:
    selected = (check for table in tables for check in table(stage, logs) if not named or check.name in named)
    return sum((lost_hosts.run(check, logs, notes) for check in selected), Count(0, 0))


if __name__ == "__main__":
    run_main(lambda: main(sys.argv[1:]))
