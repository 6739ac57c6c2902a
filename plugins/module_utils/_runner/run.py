# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a request to a changed host: reads, plans and applies under the host's lock."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

from .._frameworks.modes import depends_on_modes, with_modes
from .._frameworks.registry import forget_stale, read_inventory, sweep
from .._frameworks.unfinished import UnfinishedMarks
from .._host.autostart import require_starter, require_unit
from .._host.lock import host_lock
from .._host.paths import Host
from .._model.device_state import State
from .._model.errors import MdevError, NoRoom, NotFound
from .._model.inventory import Device, Inventory, LiveAttribute
from .._model.request import DeviceRequest
from .._planning.placement import Rejection, rejected_in_the_end
from .._planning.planner import plan_devices
from .._planning.steps import Define, DevicePlan, Plan, Step
from .context import RunContext

# What acts is imported when there is something to do: most runs change nothing.
if TYPE_CHECKING:
    from .apply import Applied


@dataclass(frozen=True)
class Outcome:
    """The inventory, plan and result of a run. applied: None in check mode, or if there was nothing to do."""

    inventory: Inventory
    plan: Plan
    applied: Optional[Applied]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that were done, or would be."""
        return self.plan.steps if self.applied is None else tuple(self.applied.done)

    def after(self, planned: DevicePlan) -> State:
        """The state of a device after the run, or the planned one."""
        return planned.after if self.applied is None else self.applied.states[planned.key]

    def states(self) -> dict[str, State]:
        """The states of all devices after the run, or the planned ones, by key."""
        return {planned.key: self.after(planned) for planned in self.plan.devices}

    def kept(self) -> list[Device]:
        """The devices that should be removed but stay, because they are in use."""
        planned = [device_plan.kept for device_plan in self.plan.devices if device_plan.kept is not None]
        return planned if self.applied is None else planned + list(self.applied.kept.values())

    def rejected(self) -> tuple[Rejection, ...]:
        """Why parents were not used in the end."""
        if self.applied is None or not self.applied.rejected:
            return self.plan.rejected
        taken = (self.after(planned).parent for planned in self.plan.devices if planned.placement)
        return rejected_in_the_end(self.plan.rejected, tuple(self.applied.rejected), frozenset(taken))

    def warnings(self) -> list[str]:
        """What the operator should know although nothing failed."""
        waiting = self.applied.waiting if self.applied is not None else []
        return [
            f"the driver does not accept '{attribute.value}' for attribute '{attribute.name}' now. "
            "The value in the definition takes effect when the device is next started"
            for attribute in dict.fromkeys(waiting)
        ]


# Problems that can go away when a driver, virtual functions or MIG appear late.
_MAY_COME = frozenset({NotFound.kind, NoRoom.kind})
_POLL_SECONDS = 0.5


def run(context: RunContext, check_mode: bool) -> Outcome:
    """Applies the request. Retries until all parents, types and capacity exist, or until wait_timeout expires."""
    if context.autostart:
        require_starter(context.host)
    end = time.monotonic() + context.wait_timeout
    while True:
        try:
            return _run_once(context, check_mode)
        except MdevError as error:
            if not context.wait_timeout or not _may_pass(error):
                raise
            if time.monotonic() >= end:
                raise _after_timeout(error, context) from error
        time.sleep(_POLL_SECONDS)


def _may_pass(error: MdevError) -> bool:
    """Whether nothing was done, and the only problem is something missing."""
    error_kinds = {problem.error.kind for problem in error.problems} or {error.kind}
    return error.rolled_back is None and error_kinds <= _MAY_COME


def _after_timeout(error: MdevError, context: RunContext) -> MdevError:
    """The error, with hints on why something is missing."""
    from .._host.pci import read_hardware
    from .._info.hints import hints

    inventory = read_inventory(context.host, users=False)
    explained = " ".join(hints(inventory, read_hardware(context.host, inventory)))
    return error.extended(after=f". Waited {context.wait_timeout:g} s. {explained}".rstrip())


def _run_once(context: RunContext, check_mode: bool) -> Outcome:
    """Reads, plans and applies under the host's lock. In check mode only reads and plans."""
    with nullcontext() if check_mode else host_lock(context.host, context.lock_timeout):
        if not check_mode:
            sweep(context.host)
            forget_stale(context.host)
        inventory = read_inventory(context.host)
        requests = context.requests(inventory)
        if depends_on_modes(requests, inventory):
            inventory = with_modes(context.host, inventory)
        live = _live(requests, inventory, context.host)
        marks = UnfinishedMarks(context.host)
        requests = [_restarted(request, inventory, live, marks) for request in requests]
        plan = _plan(requests, inventory, live, context.host)
        if any(_needs_boot_unit(step) for step in plan.steps):
            require_unit(context.host)
        if check_mode:
            from .possible import check_possible

            check_possible(plan, context, inventory)
            return Outcome(inventory, plan, None)
        context.journal.begin(bool(plan.steps))
        applied = _applied(plan, context, inventory, marks)
        _clear(marks, requests, inventory)
        context.journal.end()
        return Outcome(inventory, plan, applied)


def _plan(
    requests: Sequence[DeviceRequest],
    inventory: Inventory,
    live: Mapping[str, tuple[LiveAttribute, ...]],
    host: Host,
) -> Plan:
    """The plan. If types or room are missing, the modes of cards may be the reason, and are read for the error."""
    try:
        return plan_devices(requests, inventory, live)
    except MdevError as error:
        if not _may_pass(error):
            raise
        cards = with_modes(host, inventory).cards
        reasons = [modes.no_instance_text for modes in cards if modes.lacks_instances]
        unnamed = [reason for reason in reasons if reason not in error.message]
        raise error.extended(after="".join(f". {reason}" for reason in unnamed)) from error


def _needs_boot_unit(step: Step) -> bool:
    """Whether this step defines a device that only vfio-mdev.service starts at boot."""
    return isinstance(step, Define) and step.definition.autostart and step.definition.framework.needs_boot_unit


def _restarted(
    request: DeviceRequest,
    inventory: Inventory,
    live: Mapping[str, Sequence[LiveAttribute]],
    marks: UnfinishedMarks,
) -> DeviceRequest:
    """The request. A device that a killed run may have left without an attribute that can't be read is recreated."""
    device = inventory.device(request.key)
    if device is None or request.key not in live or request.key not in marks.unfinished():
        return request
    rules = device.framework.attribute_rules(device.device_api)
    reported = rules.names if rules is not None else frozenset()
    doubtful = any(_is_hidden(current) and current.name not in reported for current in live[request.key])
    return replace(request, recreate_active=True) if doubtful else request


def _is_hidden(attribute: LiveAttribute) -> bool:
    return attribute.exists and not attribute.readable


def _clear(marks: UnfinishedMarks, requests: Sequence[DeviceRequest], inventory: Inventory) -> None:
    """Removes the marks of devices that are complete or gone now, and of those that did not exist before."""
    settled = {request.key for request in requests if request.attributes is not None or not request.active}
    for key in marks.unfinished():
        if key in settled or inventory.device(key) is None:
            marks.remove(key)


def _applied(plan: Plan, context: RunContext, inventory: Inventory, marks: UnfinishedMarks) -> Optional[Applied]:
    if not plan.steps:
        return None
    from .._frameworks.backends import choose_backends
    from .apply import apply_plan

    try:
        backends = choose_backends(context.backend, context.host, context.uri, inventory.frameworks)
        return apply_plan(plan, backends, inventory, marks)
    except MdevError as error:
        if error.rolled_back is not False:
            context.journal.fail()
        raise


def _live(requests: Sequence[DeviceRequest], inventory: Inventory, host: Host) -> dict[str, tuple[LiveAttribute, ...]]:
    """The current values of requested attributes, for the devices that stay active, by key."""
    names = {
        request.key: tuple(attribute.name for attribute in request.attributes)
        for request in requests
        if request.active and request.attributes
    }
    staying = {key: device for key in names if (device := inventory.device(key)) is not None and not device.removing}
    if not staying:
        return {}
    from .._frameworks.device_files import DeviceFiles

    device_files = DeviceFiles(host)
    return {key: device_files.live_attributes(device, names[key]) for key, device in staying.items()}
