# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes numbers of virtual functions: reads, plans and applies under the host's lock."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Optional

from .._host.lock import host_lock
from .._host.paths import Host
from .._host.sysfs_writer import wait_until
from .._model.errors import MdevError
from .._model.inventory import Vfs
from .cards import Sriov
from .plan import Cards, SetVfs, SriovCard, VfsRequest, plan_vfs


@dataclass(frozen=True)
class VfsRunContext:
    """The requested numbers of functions, and how to enable them.

    wait_timeout: seconds to wait for the drivers, and again for the tool or the kernel
    lock_timeout: seconds to wait for another run
    """

    host: Host
    requests: tuple[VfsRequest, ...]
    backend: str
    wait_timeout: float
    lock_timeout: float


@dataclass(frozen=True)
class VfsOutcome:
    """The cards before and after, and the steps. after: None in check mode."""

    before: Cards
    steps: tuple[SetVfs, ...]
    after: Optional[Cards]

    def vfs(self, card: SriovCard) -> Optional[Vfs]:
        """A card's numbers of functions now. In check mode: after the steps."""
        last = [step for step in self.steps if step.address == card.address and self.after is None][-1:]
        return Vfs(last[0].after, card.vfs.total) if last and card.vfs is not None else card.vfs

    @property
    def cards(self) -> tuple[SriovCard, ...]:
        """The cards as they were last read."""
        return (self.before if self.after is None else self.after).requested


def run_vfs(context: VfsRunContext, check_mode: bool) -> VfsOutcome:
    """Waits for drivers without the lock, then reads, plans and applies. In check mode, only reads and plans."""
    sriov = Sriov(context.host, context.wait_timeout)
    if not check_mode:
        wait_until(lambda: all(sriov.is_ready(request) for request in context.requests), context.wait_timeout)
    with nullcontext() if check_mode else host_lock(context.host, context.lock_timeout):
        before = sriov.read(context.requests)
        steps = plan_vfs(context.requests, before, context.backend, sriov.has_manager())
        if check_mode:
            return VfsOutcome(before, steps, None)
        _apply(steps, sriov)
        return VfsOutcome(before, steps, sriov.read(context.requests))


def _apply(steps: Sequence[SetVfs], sriov: Sriov) -> None:
    """Steps before a failure are not rolled back: all are correct by themselves but removals to make place."""
    for index, step in enumerate(steps):
        try:
            sriov.set(step)
        except MdevError as error:
            if not index:
                raise
            earlier = ", ".join(
                f"{earlier.address} from {earlier.before} to {earlier.after}" for earlier in steps[:index]
            )
            raise error.extended(after=f". Earlier changes were not rolled back: {earlier}") from error
