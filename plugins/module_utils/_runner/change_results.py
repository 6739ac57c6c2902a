# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changes of a run as results show them: actions, differences, placements. Modules that only read don't load it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional, Union

from .._model.device_state import State
from .._model.inventory import Attribute, Definition, Device
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


def diff_result(before: State, after: State) -> Result:
    """Before and after for --diff, without values that change on their own."""
    return {"before": _diff_side(before), "after": _diff_side(after)}


def diff_results(changes: Iterable[tuple[State, State]]) -> Result:
    """The same for several devices: only those that change."""
    sides = [(_diff_side(before), _diff_side(after)) for before, after in changes]
    differing = [(before, after) for before, after in sides if before != after]
    return {
        "before": {"devices": [before for before, _after in differing if before]},
        "after": {"devices": [after for _before, after in differing if after]},
    }


def placement_result(planned: DevicePlan, after: State) -> Result:
    """The parent of a device, and why it was chosen."""
    placement = planned.placement
    first = placement.choices[0].parent.address if placement is not None else after.parent
    reason = placement.reason if placement is not None else ""
    if after.parent != first:
        reason = f"the next candidate, because {first} turned out to be full"
    return {"uuid": after.uuid, "parent": after.parent, "reason": reason}


def _diff_side(state: State) -> Result:
    if not state.exists:
        return {}
    device, definition = state.device, state.definition
    return {
        "uuid": state.uuid,
        "parent": state.parent,
        "type": state.type_id,
        "active": device is not None,
        "active_attributes": _pairs(device.attributes if device is not None else ()),
        "defined": definition is not None,
        "autostart": definition is not None and definition.autostart,
        "defined_type": definition.type_id if definition is not None else None,
        "defined_attributes": _pairs(definition.attributes if definition is not None else ()),
    }


def _pairs(attributes: tuple[Attribute, ...]) -> list[str]:
    return [f"{attribute.name}={attribute.value}" for attribute in attributes]
