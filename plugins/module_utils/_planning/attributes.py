# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to write to an active device so that its attributes become as requested. Pure.

Attributes that read back with a different value are written. Attributes that can't be read were set when the device was
created. The framework's rules handle attributes that some devices report through other files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .._model.errors import Mismatch
from .._model.inventory import Attribute, AttributeChange, Device, Drift, LiveAttribute


@dataclass(frozen=True)
class Correction:
    """The writes, what they correct, and the device with its attributes before and after."""

    changes: tuple[AttributeChange, ...]
    drift: tuple[Drift, ...]
    before: Device
    after: Device


def correction(device: Device, wanted: tuple[Attribute, ...], live: Sequence[LiveAttribute]) -> Correction:
    """The writes that give the device the wanted attributes. live: their values in the kernel now."""
    rules = device.framework.attribute_rules(device.device_api)
    changes = _changes(device, wanted, live, rules.names if rules is not None else frozenset())
    drift = tuple(Drift(f"attribute {change.write.name}", change.write.value, change.undo.value) for change in changes)
    undo = {change.write: change.undo for change in changes}
    before = tuple(undo.get(attribute, attribute) for attribute in wanted)
    if rules is not None:
        rules.check(wanted)
        assigning = rules.changes(wanted, device.attributes)
        if assigning:
            others = (attribute for attribute in before if attribute.name not in rules.names)
            before = (*others, *rules.current(device.attributes, like=wanted))
        changes, drift = changes + assigning, drift + rules.drift(wanted, device.attributes)
    return Correction(changes, drift, replace(device, attributes=before), replace(device, attributes=wanted))


def _changes(
    device: Device, wanted: tuple[Attribute, ...], live: Sequence[LiveAttribute], elsewhere: frozenset[str]
) -> tuple[AttributeChange, ...]:
    """The writes of attributes that are read through their own files."""
    last = {attribute.name: attribute for attribute in wanted}
    changes: list[AttributeChange] = []
    for current in live:
        attribute = last[current.name]
        differs = current.readable and current.name not in elsewhere and current.value != attribute.value.strip()
        if not current.exists or (differs and not current.writable):
            raise _mismatch(device, attribute, current)
        if differs:
            changes.append(AttributeChange(attribute, Attribute(current.name, current.value or "")))
    return tuple(changes)


def _mismatch(device: Device, attribute: Attribute, current: LiveAttribute) -> Mismatch:
    reason = f"its value is '{current.value}' and read-only" if current.exists else "the driver has no such attribute"
    return Mismatch(
        f"attribute '{attribute.name}' of {device.label} can't be set to '{attribute.value}': {reason}. "
        "Nothing was changed. Correct the attributes in the request",
        uuid=device.uuid,
        parent=device.parent,
        type=device.type_id,
        attribute=attribute.name,
    )
