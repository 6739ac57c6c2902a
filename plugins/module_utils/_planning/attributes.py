# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to write to an active device so that its attributes become as wanted. Pure.

Attributes that read back differently are written. Those that can't be read were set when the device was made. Only an
AP device tells through other files what was written to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .._frameworks.drivers.ap_matrix import (
    NAMES,
    attributes_of,
    matrix_changes,
    matrix_drift,
    matrix_of,
    refuse_unreadable,
)
from .._model.errors import Mismatch
from .._model.inventory import AP_API, Attribute, AttributeChange, Device, Drift, LiveAttribute


@dataclass(frozen=True)
class Correction:
    """The writes, what they correct, and the device with its attributes before and after."""

    changes: tuple[AttributeChange, ...]
    drift: tuple[Drift, ...]
    before: Device
    after: Device


def correction(device: Device, wanted: tuple[Attribute, ...], live: Sequence[LiveAttribute]) -> Correction:
    """What makes the attributes of the device as wanted. live: what they read as now."""
    changes = _changes(device, wanted, live)
    drift = tuple(Drift(f"attribute {one.write.name}", one.write.value, one.undo.value) for one in changes)
    undo = {one.write: one.undo for one in changes}
    before = tuple(undo.get(one, one) for one in wanted)
    if device.device_api == AP_API:
        refuse_unreadable(wanted)
        now = matrix_of(device.attributes)
        assigning = matrix_changes(wanted, now)
        if assigning:
            others = (one for one in before if one.name not in NAMES)
            before = (*others, *attributes_of(now, like=wanted))
        changes, drift = changes + assigning, drift + matrix_drift(wanted, now)
    return Correction(changes, drift, replace(device, attributes=before), replace(device, attributes=wanted))


def _changes(
    device: Device, wanted: tuple[Attribute, ...], live: Sequence[LiveAttribute]
) -> tuple[AttributeChange, ...]:
    """Of the attributes that are read through their own files."""
    last = {one.name: one for one in wanted}
    elsewhere = NAMES if device.device_api == AP_API else frozenset()
    found: list[AttributeChange] = []
    for now in live:
        attribute = last[now.name]
        differs = now.readable and now.name not in elsewhere and now.value != attribute.value.strip()
        if not now.exists or (differs and not now.writable):
            raise _mismatch(device, attribute, now)
        if differs:
            found.append(AttributeChange(attribute, Attribute(now.name, now.value or "")))
    return tuple(found)


def _mismatch(device: Device, attribute: Attribute, now: LiveAttribute) -> Mismatch:
    why = f"it reads '{now.value}' and is read-only" if now.exists else "the driver has no such attribute"
    return Mismatch(
        f"attribute '{attribute.name}' of {device.words} can't become '{attribute.value}': {why}. Nothing was changed",
        uuid=device.uuid,
        parent=device.parent,
        type=device.type_id,
        attribute=attribute.name,
    )
