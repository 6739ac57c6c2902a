# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes virtual functions and modes of cards: reads, plans and applies under the host's lock."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Optional

from .._frameworks.drivers.nvidia_smi import NvidiaSmi
from .._host.lock import host_lock
from .._host.paths import Host
from .._host.sysfs_writer import wait_until
from .._model.errors import MdevError
from .._model.inventory import Vfs
from .cards import Sriov
from .mig import WantedType, with_instances
from .modes import SET_MIG, SET_MIXED_SIZES, SetMode
from .nvidia_modes import NvidiaModes
from .plan import Cards, CardStep, SetVfs, SriovCard, plan_vfs
from .request import VfsRequest


@dataclass(frozen=True)
class VfsRunContext:
    """The requested functions and modes, and how to enable functions.

    wanted:       the devices that GPU instances are derived from
    wait_timeout: seconds to wait for the drivers, and again for the tool or the kernel
    lock_timeout: seconds to wait for another run
    """

    host: Host
    requests: tuple[VfsRequest, ...]
    backend: str
    wait_timeout: float
    lock_timeout: float
    wanted: tuple[WantedType, ...] = ()


@dataclass(frozen=True)
class VfsOutcome:
    """The cards before and after, and the steps. after: None in check mode. requests: with derived GPU instances."""

    requests: tuple[VfsRequest, ...]
    before: Cards
    steps: tuple[CardStep, ...]
    after: Optional[Cards]

    def vfs(self, card: SriovCard) -> Optional[Vfs]:
        """A card's numbers of functions now. In check mode: after the steps."""
        planned = [step for step in self._planned(card) if isinstance(step, SetVfs)]
        return Vfs(planned[-1].after, card.vfs.total) if planned and card.vfs is not None else card.vfs

    def mixed_sizes(self, card: SriovCard) -> Optional[bool]:
        """Whether a card has mixed sizes now. In check mode: after the steps."""
        now = card.state.mixed_sizes if card.state is not None else None
        for step in self._planned(card):
            if isinstance(step, SetVfs):
                now = False if now is not None else None
            elif step.action == SET_MIG:
                # In MIG mode a card does not have it, and without MIG mode it is off.
                now = None if step.after else False
            elif step.action == SET_MIXED_SIZES:
                now = bool(step.after)
        return now

    def mig(self, card: SriovCard) -> Optional[bool]:
        """Whether a card is in MIG mode now. In check mode: after the steps."""
        planned = [step for step in self._modes(card) if step.action == SET_MIG]
        return bool(planned[-1].after) if planned else card.state.mig if card.state is not None else None

    def profiles(self, card: SriovCard) -> tuple[str, ...]:
        """The profiles of a card's GPU instances now. In check mode: after the steps, as they were requested."""
        now = card.state.profiles if card.state is not None else ()
        for step in self._planned(card):
            if isinstance(step, SetVfs) or step.action == SET_MIG:
                now = ()
            elif isinstance(step.after, tuple):
                now = step.after
        return now

    def _modes(self, card: SriovCard) -> list[SetMode]:
        return [step for step in self._planned(card) if isinstance(step, SetMode)]

    def _planned(self, card: SriovCard) -> list[CardStep]:
        """The steps that have not been done, because this is check mode."""
        return [step for step in self.steps if step.address == card.address and self.after is None]

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
        requests = _requests(context, sriov)
        before = sriov.read(requests)
        steps = plan_vfs(requests, before, context.backend, sriov.has_manager())
        if check_mode:
            return VfsOutcome(requests, before, steps, None)
        _apply(steps, sriov, NvidiaModes(context.host, context.wait_timeout))
        return VfsOutcome(requests, before, steps, sriov.read(requests))


def _requests(context: VfsRunContext, sriov: Sriov) -> tuple[VfsRequest, ...]:
    """The requests, with the GPU instances that the wanted devices need."""
    automatic = [request for request in context.requests if request.mig_auto]
    if not automatic:
        return context.requests
    smi = NvidiaSmi(context.host)
    types = smi.types(request.address for request in automatic) if smi.exists() else {}
    return with_instances(context.requests, context.wanted, types, sriov.functions_of(automatic))


def _apply(steps: Sequence[CardStep], sriov: Sriov, modes: NvidiaModes) -> None:
    """Steps before a failure are not rolled back: all are correct by themselves but removals to make place."""
    for index, step in enumerate(steps):
        try:
            sriov.set(step) if isinstance(step, SetVfs) else modes.set(step)
        except MdevError as error:
            if not index:
                raise
            earlier = "; ".join(_step_text(earlier) for earlier in steps[:index])
            raise error.extended(after=f". Earlier changes were not rolled back: {earlier}") from error


def _step_text(step: CardStep) -> str:
    if isinstance(step, SetMode):
        return f"{step.address}: {step.change_text}"
    return f"{step.address} from {step.before} to {step.after}"
