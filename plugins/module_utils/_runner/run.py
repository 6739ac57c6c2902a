# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one way from a request to a changed host: read, plan and do under the host's lock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Optional

from .._frameworks.backends import chosen_backends
from .._frameworks.mdev.kernel import Kernel
from .._frameworks.registry import read_inventory
from .._host.autostart import require_unit
from .._host.lock import host_lock
from .._host.pci import read_hardware
from .._info.hints import hints
from .._model.device_state import State
from .._model.errors import Fact, MdevError, NoRoom, NotFound
from .._model.inventory import VENDOR_VFIO, Device, Inventory, LiveAttribute
from .._model.request import Wanted
from .._planning.placement import Rejection, rejected_in_the_end
from .._planning.planner import plan_devices
from .._planning.steps import Define, DevicePlan, Plan, Step
from .apply import Applied, apply_plan
from .context import Job


@dataclass(frozen=True)
class Outcome:
    """What a run found, planned and did. applied is None where nothing was done: in check mode, or nothing to do."""

    inventory: Inventory
    plan: Plan
    applied: Optional[Applied]

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was done, or would be."""
        return self.plan.steps if self.applied is None else tuple(self.applied.done)

    def after(self, planned: DevicePlan) -> State:
        """What became of a device, or would."""
        return planned.after if self.applied is None else self.applied.states[planned.uuid]

    def left(self) -> list[Device]:
        """The devices that were to go and stay, since they are in use."""
        found = [one.left for one in self.plan.devices if one.left is not None]
        return found if self.applied is None else found + list(self.applied.left.values())

    def rejected(self) -> tuple[Rejection, ...]:
        """Why parents were passed over, as it turned out."""
        if self.applied is None or not self.applied.rejected:
            return self.plan.rejected
        made = (self.applied.states[one.uuid].parent for one in self.plan.devices if one.placement)
        return rejected_in_the_end(self.plan.rejected, tuple(self.applied.rejected), frozenset(made))

    def warnings(self) -> list[str]:
        """What the operator should know though nothing failed."""
        waiting = self.applied.waiting if self.applied is not None else []
        return [
            f"the driver does not take '{one.value}' for attribute '{one.name}' now; "
            "what the definition says takes effect when the device is next started"
            for one in dict.fromkeys(waiting)
        ]


# What a driver, virtual functions or MIG that come late may still bring.
_MAY_COME = frozenset({NotFound.kind, NoRoom.kind})
_POLL_SECONDS = 0.5


def run(job: Job, check_mode: bool) -> Outcome:
    """Does what is asked for, as soon as all parents, types and room are there or the time for that is over."""
    end = time.monotonic() + job.wait_seconds
    while True:
        try:
            return _run_now(job, check_mode)
        except MdevError as error:
            if not job.wait_seconds or not _may_pass(error):
                raise
            if time.monotonic() >= end:
                raise _waited_in_vain(error, job) from error
        time.sleep(_POLL_SECONDS)


def _may_pass(error: MdevError) -> bool:
    """Whether nothing was done, and all that is wrong is missing."""
    each = error.facts.get("errors")
    kinds = {one["kind"] for one in each if isinstance(one, dict)} if isinstance(each, list) else {error.kind}
    return "taken_back" not in error.facts and kinds <= _MAY_COME


def _waited_in_vain(error: MdevError, job: Job) -> MdevError:
    """The error, with what an operator would look up next."""
    inventory = read_inventory(job.paths, job.files, users=False)
    explained = " ".join(hints(inventory, read_hardware(job.paths)))
    facts: dict[str, Fact] = dict(error.facts)
    return type(error)(f"{error.message}. Waited {job.wait_seconds:g} s for it. {explained}".rstrip(), **facts)


def _run_now(job: Job, check_mode: bool) -> Outcome:
    """Reads, plans and does, under the host's lock; in check mode only reads and plans."""
    kernel = Kernel(job.paths)
    with nullcontext() if check_mode else host_lock(job.paths, job.lock_seconds):
        inventory = read_inventory(job.paths, job.files)
        wanted = job.wanted(inventory)
        plan = plan_devices(wanted, inventory, _live(wanted, inventory, kernel))
        if any(_is_started_by_unit(step) for step in plan.steps):
            require_unit(job.paths)
        if check_mode:
            return Outcome(inventory, plan, None)
        job.journal.begin(bool(plan.steps))
        applied = _applied(plan, job, kernel, inventory)
        job.journal.end()
        return Outcome(inventory, plan, applied)


def _is_started_by_unit(step: Step) -> bool:
    """Whether this defines a device that nothing but our unit starts at boot."""
    return isinstance(step, Define) and step.definition.autostart and step.definition.framework == VENDOR_VFIO


def _applied(plan: Plan, job: Job, kernel: Kernel, inventory: Inventory) -> Optional[Applied]:
    if not plan.steps:
        return None
    try:
        backends = chosen_backends(job.backend, kernel, job.files, job.uri, inventory.frameworks)
        return apply_plan(plan, backends, inventory)
    except MdevError as error:
        if error.facts.get("taken_back", True):
            job.journal.fail()
        raise


def _live(wanted: Sequence[Wanted], inventory: Inventory, kernel: Kernel) -> dict[str, tuple[LiveAttribute, ...]]:
    """What the wanted attributes read as now, of the devices that stay active."""
    found = {}
    for one in wanted:
        device = inventory.device(one.uuid) if one.active and one.attributes else None
        if device is not None and not device.removing:
            found[one.uuid] = kernel.live_attributes(device, tuple(each.name for each in one.attributes or ()))
    return found
