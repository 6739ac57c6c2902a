# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NVIDIA's vGPU driver: the capacity limits of its cards, in each framework. Pure.

Source: NVIDIA vGPU User Guide; bigstack-oss/cubecos #1316 (mixed sizes). A virtual function holds one device. Without
mixed sizes, all devices of a card have the same framebuffer size. Types of the same size ("T4-4Q", "T4-4A") can be
mixed (NVML: heterogeneous time-slice profiles), and then share the card's maximum. Types backed by MIG have the number
of slices in their names ("A100-1-5C"), and can be mixed in all sizes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Optional

from ..._model.framework import Occupancy
from ..._model.inventory import Parent, Type

DRIVER = "nvidia"
PCI_VENDOR = "0x10de"

# A type's description says how many devices of it a card holds, whatever the card's functions report.
_MAX_INSTANCE = re.compile(r"\bmax_instance=(\d+)")
_FRAMEBUFFER = re.compile(r"\bframebuffer=(\d+)M")
_MIG_NAME = re.compile(r"-\d+-\d+[A-Z]")


def one_device_per_function(occupancy: Occupancy, parent: Parent, mdev_type: Type) -> str:
    """A virtual function holds one device."""
    if parent.physical_function is None:
        return ""
    if occupancy.devices_on(parent):
        return "is a virtual function that already has its one device"
    if occupancy.planned_on(parent):
        return "is a virtual function, which holds one device, and this run already places one there"
    return ""


def card_maximum(mdev_type: Type) -> Optional[int]:
    """How many devices of a type a whole card holds, as its description says. None if it does not."""
    return _number(_MAX_INSTANCE, mdev_type.description or "")


def max_instance(occupancy: Occupancy, parent: Parent, mdev_type: Type) -> str:
    """A card holds as many devices of the same size as the description of their types says."""
    limit = card_maximum(mdev_type)
    if limit is None:
        return ""
    types = occupancy.types_on_card(parent)
    count = sum(devices for type_id, devices in types.items() if _same_size(parent.type(type_id), mdev_type))
    if count < limit:
        return ""
    verb = "has or gets" if occupancy.planned_on_card(parent) else "has"
    return f"card {parent.card} holds at most {limit} of {mdev_type.name or mdev_type.id} and {verb} {count}"


def one_size_per_card(occupancy: Occupancy, parent: Parent, mdev_type: Type) -> str:
    """A card takes types of one size. If it offers this type beside devices of another size, it takes several sizes.

    In vendor VFIO, the sizes are only known if nvidia-smi reports them. The driver decides about unknown sizes.
    """
    is_offered = occupancy.card_stays(parent) and bool(mdev_type.available_instances)
    if _MIG_NAME.search(mdev_type.name or "") or is_offered or occupancy.modes(parent).mixed_sizes:
        return ""
    if parent.framework.parent_is_device and mdev_type.description is None:
        return ""
    existing = (type_id for type_id, devices in occupancy.types_on_card(parent).items() if devices)
    taken = {*existing, *occupancy.planned_on_card(parent)}
    others = sorted(type_id for type_id in taken if not _same_size(parent.type(type_id), mdev_type))
    if not others:
        return ""
    mode = " (mixed_sizes is off)" if occupancy.modes(parent).mixed_sizes is False else ""
    return f"card {parent.card} takes types of one size at a time{mode}, and has or will get {', '.join(others)}"


def equal_sizes_only(occupancy: Occupancy, parent: Parent, mdev_type: Type) -> str:
    """The same rule, on a card that reports that it is not in the mode for mixed sizes."""
    if occupancy.modes(parent).mixed_sizes is not False:
        return ""
    return one_size_per_card(occupancy, parent, mdev_type)


def _same_size(other: Optional[Type], mdev_type: Type) -> bool:
    """Whether the types have the same size to the driver: they are the same, or have the same framebuffer."""
    if other is None or other.id == mdev_type.id:
        return other is not None
    size = _number(_FRAMEBUFFER, mdev_type.description or "")
    return size is not None and size == _number(_FRAMEBUFFER, other.description or "")


@cache
def _number(pattern: re.Pattern[str], description: str) -> Optional[int]:
    """The number in a description. All functions of all cards have the same few descriptions."""
    match = pattern.search(description)
    return int(match.group(1)) if match is not None else None
