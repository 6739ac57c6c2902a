# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changes of a run as results show them: actions, differences, placements. Modules that only read don't load it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Optional, Union

from .._model.device_state import State
from .._model.inventory import Attribute, Definition, Device, Inventory
from .._planning.steps import CreateDevice, Define, DevicePlan, RemoveDevice, Step, Undefine
from .results import Result


def action_results(step: Step, device: Optional[Device]) -> list[Result]:
    """The actions of a step, in order. device: the new device, once it is known."""
    if isinstance(step, CreateDevice):
        target = device or _planned_device(step)
        return [
            _action("create", target),
            *(_action("write_attribute", target, attribute) for attribute in step.attributes),
        ]
    if isinstance(step, RemoveDevice):
        return [_action("remove", step.device)]
    if isinstance(step, Define):
        return [_action("define", step.definition)]
    if isinstance(step, Undefine):
        return [_action("undefine", step.definition)]
    return [_action("write_attribute", step.device, step.change.write)]


def _planned_device(step: CreateDevice) -> Definition:
    first = step.choices[0]
    framework, address = first.parent.framework, first.parent.address
    return Definition(framework.device_id(step.key, address), address, first.type.id, framework)


def _action(action: str, target: Union[Device, Definition], attribute: Optional[Attribute] = None) -> Result:
    return {
        "action": action,
        "uuid": target.uuid,
        "parent": target.parent,
        "type": target.type_id,
        "attribute": attribute.name if attribute is not None else None,
        "value": attribute.value if attribute is not None else None,
    }


def diff_result(changes: Iterable[tuple[State, State]], inventory: Inventory) -> dict[str, str]:
    """Before and after for --diff: one line for each device that changes, without values that change on their own."""
    lines = [(_diff_line(before, inventory), _diff_line(after, inventory)) for before, after in changes]
    differing = [(before, after) for before, after in lines if before != after]
    return {
        "before": "".join(before for before, _after in differing),
        "after": "".join(after for _before, after in differing),
    }


def placement_result(planned: DevicePlan, after: State) -> Result:
    """The parent of a device, and why it was chosen."""
    placement = planned.placement
    first = placement.choices[0].parent.address if placement is not None else after.parent
    reason = placement.reason if placement is not None else ""
    if after.parent != first:
        reason = f"the next candidate, because {first} turned out to be full"
    return {"uuid": after.uuid, "parent": after.parent, "reason": reason}


def _diff_line(state: State, inventory: Inventory) -> str:
    """A device in one line. Empty if it does not exist."""
    if not state.exists:
        return ""
    attributes = _pairs(state.attributes)
    columns = [
        state.parent,
        _type_name(state.type_id, state.parent, inventory),
        state.uuid or "",
        ", ".join(_state_words(state, inventory)),
        f"({attributes})" if attributes else "",
    ]
    return "  ".join(column for column in columns if column) + "\n"


def _state_words(state: State, inventory: Inventory) -> Iterator[str]:
    device, definition = state.device, state.definition
    if device is not None:
        own = _pairs(device.attributes)
        differs = own and definition is not None and definition.attributes != device.attributes
        yield f"active with {own}" if differs else "active"
    if definition is not None:
        other = definition.type_id if definition.type_id != state.type_id else ""
        yield f"defined as {_type_name(other, state.parent, inventory)}" if other else "defined"
        if definition.autostart:
            yield "autostart"


def _type_name(type_id: str, address: str, inventory: Inventory) -> str:
    parent = inventory.parent(address)
    mdev_type = parent.type(type_id) if parent is not None else None
    return mdev_type.name if mdev_type is not None and mdev_type.name else type_id


def _pairs(attributes: tuple[Attribute, ...]) -> str:
    return ", ".join(f"{attribute.name}={attribute.value}" for attribute in attributes)
