# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides about a running migration: go on, allow a longer downtime, suspend the guest, or abort. Pure.

QEMU ends the copying and stops the guest when it expects the rest to take no longer than the downtime limit
(docs/devel/migration/main.rst). Its limit is 300 ms at first (migrate-parameters, downtime-limit), which guests with
vGPUs don't reach even if they are idle, because the state of the vGPU itself is copied then. nova has a limit of 500 ms
for all guests (live_migration_downtime), and its guide for vGPUs advises 500 s for guests that have them
(doc/source/admin/virtual-gpu.rst). Here these are the highest values: a limit is raised only when it doesn't suffice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional

FIRST_DOWNTIME = 300
DEFAULT_MAX_DOWNTIME = 500
DEFAULT_MAX_DOWNTIME_OF_DEVICES = 500000
# From 300 ms to 500 s in six steps.
_FACTOR = 4

ABORT, SUSPEND = "abort", "suspend"
CONTINUE, RAISE_DOWNTIME = "continue", "raise_downtime"


@dataclass(frozen=True)
class Limits:
    """What the operator allows.

    max_downtime:  ms
    stall_timeout: seconds without progress, after which the downtime limit is raised, or the migration is aborted
    timeout:       seconds for the whole migration; 0 if there is no limit
    on_timeout:    ABORT or SUSPEND
    """

    max_downtime: int
    stall_timeout: float
    timeout: float
    on_timeout: str


@dataclass(frozen=True)
class Sample:
    """A look at the migration.

    at:          seconds on a clock that never jumps
    remaining:   bytes left; None if libvirt does not report them
    is_switching: whether the guest is stopped, because only the rest is being copied
    """

    at: float
    remaining: Optional[int]
    is_switching: bool = False


@dataclass(frozen=True)
class Watch:
    """What has to be remembered of a migration, however long it takes.

    began_at:     when the watch began
    least:        the fewest bytes left so far
    progress_at:  when the migration last made progress
    downtime:     the current downtime limit in ms
    is_suspended: whether the guest was suspended because of the timeout
    """

    began_at: float
    progress_at: float
    downtime: int
    least: Optional[int] = None
    is_suspended: bool = False

    @classmethod
    def begin(cls, at: float, limits: Limits, downtime: Optional[int] = None) -> Watch:
        """The watch of a migration. downtime: its current limit, if it is not the first one."""
        return cls(began_at=at, progress_at=at, downtime=downtime or first_downtime(limits.max_downtime))


@dataclass(frozen=True)
class Decision:
    """What to do. downtime: the new limit in ms. reason: for the operator."""

    step: str
    downtime: int
    reason: str = ""


def first_downtime(max_downtime: int) -> int:
    """The downtime limit that a migration begins with, in ms."""
    return min(FIRST_DOWNTIME, max_downtime)


def decide(watch: Watch, sample: Sample, limits: Limits) -> tuple[Watch, Decision]:
    """What to do now, and the watch to go on with."""
    watch = _with_progress(watch, sample)
    elapsed, stalled = sample.at - watch.began_at, sample.at - watch.progress_at
    if limits.timeout and elapsed >= limits.timeout and not watch.is_suspended:
        if limits.on_timeout == SUSPEND:
            reason = f"it did not end in {elapsed:.0f} s (timeout)"
            watch = replace(watch, is_suspended=True, progress_at=sample.at)
            return watch, Decision(SUSPEND, watch.downtime, reason)
        return watch, Decision(ABORT, watch.downtime, f"it did not end in {elapsed:.0f} s (timeout): {_left(watch)}")
    if stalled < limits.stall_timeout:
        return watch, Decision(CONTINUE, watch.downtime)
    reason = f"the data left did not shrink for {stalled:.0f} s"
    if watch.downtime >= limits.max_downtime or watch.is_suspended:
        figures = f"{reason} with a downtime limit of {watch.downtime} ms: {_left(watch)}"
        return watch, Decision(ABORT, watch.downtime, figures)
    downtime = min(watch.downtime * _FACTOR, limits.max_downtime)
    return replace(watch, downtime=downtime, progress_at=sample.at), Decision(RAISE_DOWNTIME, downtime, reason)


def _with_progress(watch: Watch, sample: Sample) -> Watch:
    if sample.remaining is None and watch.least is None:
        # Both hosts are still preparing: nothing is known that could shrink.
        return replace(watch, progress_at=sample.at)
    if sample.remaining is not None and (watch.least is None or sample.remaining < watch.least):
        return replace(watch, least=sample.remaining, progress_at=sample.at)
    if sample.is_switching and not watch.is_suspended:
        # libvirt's figures are of the guest's memory only, so the copying of a vGPU's state is not visible.
        return replace(watch, progress_at=sample.at)
    return watch


def _left(watch: Watch) -> str:
    return f"at least {bytes_text(watch.least)} were left" if watch.least is not None else "no data was transferred yet"


def bytes_text(number: float) -> str:
    """A number of bytes, as libvirt prints it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
