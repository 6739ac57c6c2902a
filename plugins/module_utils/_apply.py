# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does the steps of a plan. When one fails, what this run did before is taken back, last step first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Optional

from ._errors import Fact, KernelRefused, MdevError
from ._kernel import FULL_ERRNOS, Kernel
from ._model import Attribute, Device, Inventory
from ._placement import Rejection, no_room
from ._plan import CreateDevice, Plan, RemoveDevice, Step, WriteAttribute

_Undo = Callable[[], object]


@dataclass
class Applied:
    """What came of a plan: the device as the kernel has it now, and parents that turned out full."""

    device: Optional[Device] = None
    rejected: list[Rejection] = field(default_factory=list)


@dataclass
class _Run:
    kernel: Kernel
    inventory: Inventory
    applied: Applied
    undo: list[tuple[str, _Undo]] = field(default_factory=list)


def apply_plan(plan: Plan, kernel: Kernel, inventory: Inventory) -> Applied:
    """Does all steps, or none that lasts."""
    run = _Run(kernel, inventory, Applied(device=plan.before))
    try:
        for step in plan.steps:
            _do(step, run)
    except MdevError as error:
        raise _taken_back(error, run.undo) from error
    return run.applied


def _do(step: Step, run: _Run) -> None:
    if isinstance(step, CreateDevice):
        _create(step, run)
    elif isinstance(step, RemoveDevice):
        _remove(step.device, run)
    else:
        _write(step, run)


def _create(step: CreateDevice, run: _Run) -> None:
    device = _create_on_first_taker(step, run)
    run.undo.append((f"removing the new device {device.uuid}", lambda: run.kernel.remove(device)))
    for attribute in step.attributes:
        run.kernel.write_attribute(device, attribute)
    run.applied.device = device


def _create_on_first_taker(step: CreateDevice, run: _Run) -> Device:
    """A parent that is full though it promised room is left for the next one: other types may share its room."""
    for choice in step.choices:
        try:
            return run.kernel.create(choice.parent, choice.type.id, step.uuid)
        except KernelRefused as error:
            if len(step.choices) == 1 or error.facts.get("errno") not in FULL_ERRNOS:
                raise
            run.applied.rejected.append(Rejection(choice.parent.address, error.message))
    raise no_room(step.choices[0].type.id, tuple(run.applied.rejected))


def _remove(device: Device, run: _Run) -> None:
    run.kernel.remove(device)
    run.applied.device = None
    parent = run.inventory.parent(device.parent)
    type_id = device.type_id
    if parent is not None and type_id is not None:
        run.undo.append(
            (f"creating the old device {device.uuid} again", lambda: run.kernel.create(parent, type_id, device.uuid))
        )


def _write(step: WriteAttribute, run: _Run) -> None:
    run.kernel.write_attribute(step.device, step.attribute)
    old = Attribute(step.attribute.name, step.before)
    run.undo.append((f"setting {old.name} back", lambda: run.kernel.write_attribute(step.device, old)))


def _taken_back(error: MdevError, undo: list[tuple[str, _Undo]]) -> MdevError:
    """The error, with what became of the steps before it."""
    if not undo:
        return error
    done: list[str] = []
    failed: list[str] = []
    for name, action in reversed(undo):
        try:
            action()
            done.append(name)
        except MdevError as problem:
            failed.append(f"{name} failed: {problem.message}")
    parts = [error.message]
    if done:
        parts.append("Taken back by " + ", then ".join(done))
    if failed:
        parts.append("NOT taken back: " + "; ".join(failed))
    facts: dict[str, Fact] = dict(error.facts)
    facts["taken_back"] = not failed
    return type(error)(". ".join(parts), **facts)
