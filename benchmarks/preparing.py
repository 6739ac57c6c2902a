# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preparing the destination of a migration for one guest and for eight, with two devices each: time of the play."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.guest import guest_xml
from lab.progress import say

from benchmarks.host import BenchHost

GUESTS = (1, 8)
_DEVICES = 2


@dataclass(frozen=True)
class Sample:
    """One play."""

    way: str
    guests: int
    seconds: float


def measure(source: BenchHost, destination: BenchHost, runs: int) -> dict[str, Any]:
    """Measure both numbers of guests, ``runs`` times. The guests are shut off, which makes no difference here."""
    names = [f"guest{number}" for number in range(max(GUESTS))]
    for number, name in enumerate(names):
        uuids = [f"{number:08x}-0000-8000-8000-{device:012x}" for device in range(_DEVICES)]
        for uuid in uuids:
            source.sh(f"echo {uuid} > /sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create")
        source.sh("virsh define /dev/stdin", guest_xml(name, *uuids))
    samples = []
    for run in range(runs):
        for guests in GUESTS:
            say(f"run {run + 1} of {runs}: {guests} guests")
            samples.append(Sample("prepare", guests, _timed("main", source, destination, names[:guests])))
            samples.append(Sample("roll back", guests, _timed("rollback", source, destination, names[:guests])))
    return {"samples": [asdict(sample) for sample in samples]}


def _timed(entry: str, source: BenchHost, destination: BenchHost, names: list[str]) -> float:
    role = {"name": "vfio.mdev.prepare_migration", "tasks_from": entry}
    variables = {"prepare_migration_source": str(source.machine.name), "prepare_migration_guest_names": names}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        destination.run([{"ansible.builtin.import_role": role, "vars": variables}], Path(folder))
        return time.perf_counter() - start
