# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one way to another number of virtual functions: read, plan and do under the host's lock."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Optional

from .._host.lock import host_lock
from .._host.paths import HostPaths
from .._host.sysfs_writer import waited_for
from .._model.errors import Fact, MdevError
from .._model.inventory import Vfs
from .cards import Sriov
from .plan import Cards, SetVfs, SriovCard, WantedVfs, plan_vfs


@dataclass(frozen=True)
class VfsJob:
    """Which cards are to have how many functions, and by which tool.

    wait_seconds: for drivers, and for the tool or the kernel, each.
    """

    paths: HostPaths
    wanted: tuple[WantedVfs, ...]
    tool: str
    wait_seconds: float
    lock_seconds: float


@dataclass(frozen=True)
class VfsOutcome:
    """What was found and done. after is None in check mode."""

    before: Cards
    steps: tuple[SetVfs, ...]
    after: Optional[Cards]

    def vfs(self, card: SriovCard) -> Optional[Vfs]:
        """A card's numbers as they are, or in check mode as they would be."""
        last = [one for one in self.steps if one.address == card.address and self.after is None][-1:]
        return Vfs(last[0].after, card.vfs.total) if last and card.vfs is not None else card.vfs

    @property
    def cards(self) -> tuple[SriovCard, ...]:
        """The cards, read last."""
        return (self.before if self.after is None else self.after).found


def run_vfs(job: VfsJob, check_mode: bool) -> VfsOutcome:
    """Waits for drivers without the lock, then reads, plans and does; in check mode only reads and plans."""
    sriov = Sriov(job.paths, job.wait_seconds)
    if not check_mode:
        waited_for(lambda: all(sriov.is_ready(one) for one in job.wanted), job.wait_seconds)
    with nullcontext() if check_mode else host_lock(job.paths, job.lock_seconds):
        before = sriov.read(job.wanted)
        steps = plan_vfs(job.wanted, before, job.tool, sriov.has_manager())
        if check_mode:
            return VfsOutcome(before, steps, None)
        _apply(steps, sriov)
        return VfsOutcome(before, steps, sriov.read(job.wanted))


def _apply(steps: Sequence[SetVfs], sriov: Sriov) -> None:
    """What was done before a failure stays: it is right in itself, but for functions that went to make place."""
    for number, step in enumerate(steps):
        try:
            sriov.set(step)
        except MdevError as error:
            if not number:
                raise
            facts: dict[str, Fact] = dict(error.facts)
            done = ", ".join(f"{one.address} from {one.before} to {one.after}" for one in steps[:number])
            raise type(error)(f"{error.message}. Done before, and not taken back: {done}", **facts) from error
