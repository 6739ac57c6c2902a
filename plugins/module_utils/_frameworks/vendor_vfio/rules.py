# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NVIDIA's vendor VFIO framework, in which a virtual function of a card takes one vGPU: the meaning of its files. Pure.

Source: NVIDIA vGPU User Guide, "Creating a vGPU on a Linux with KVM hypervisor that uses a vendor-specific VFIO
framework". The driver reports only the types that a function can get now. While a type is set, it hides the others, and
it hides those that the card has no memory for. So a function's types are those that any function of such a card has, or
had when this collection set them, or that nvidia-smi lists for the card.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

from ..._model.addresses import address_key
from ..._model.identity import derived_uuid
from ..._model.inventory import Definition, Inventory, PciIds, Type
from ..._model.request import DeviceRequest

if TYPE_CHECKING:
    # Only hosts with such functions load it.
    from ..drivers.nvidia_smi_text import VgpuType

NAME = "vendor_vfio"
NO_TYPE = "0"

# "1428 : NVIDIA H200X-141C". Some drivers print a line of headings first.
_TYPE_LINE = re.compile(r"\s*(\d+)\s*:\s*(.*\S)\s*")
# vGPUs are given to guests as PCI functions.
_DEVICE_API = "vfio-pci"
# No set can have this name, so no set considers a vGPU of others its own.
_OWNER_NAME = "\0vendor_vfio"
# Fields of notes that mdevctl does not have: the type's name when it was set, and that the function has the mark.
_NAME_FIELD = "type_name"
_MARK_FIELD = "marked"

TypeNames = dict[str, str]


@dataclass(frozen=True)
class Function:
    """A virtual function as the driver reports it.

    current:   the id of the type that is set, NO_TYPE if none is; None if it can't be read
    creatable: names of the types that it can get now, by id
    mark:      when the file of its current type was last changed, in nanoseconds; see mark_of()
    """

    address: str
    pci: Optional[PciIds]
    current: Optional[str]
    creatable: Mapping[str, str]
    mark: Optional[int] = None

    @property
    def is_set(self) -> bool:
        """Whether there is certainly a vGPU."""
        return self.current not in (None, NO_TYPE)

    def has_mark_of(self, key: str) -> bool:
        """Whether the vGPU is certainly the one that this collection set with this key."""
        return self.mark == mark_of(key, self.address)

    def is_of(self, note: Definition) -> bool:
        """Whether the note is about the vGPU that is set now, as far as this can be proven.

        A vGPU with the same type that somebody set later has no mark. Where sysfs takes none, the type must do.
        """
        same = (note.parent, note.type_id) == (self.address, self.current)
        return same and (_MARK_FIELD not in dict(note.other) or self.has_mark_of(note.key))

    def available_instances(self, type_id: str) -> Optional[int]:
        """1 if the function can get this type now, else 0. None if this is unknown, which does not count as free."""
        return None if self.current is None else int(not self.is_set and type_id in self.creatable)


def parse_types(text: str) -> TypeNames:
    """The content of creatable_vgpu_types: names by id."""
    lines = (_TYPE_LINE.fullmatch(line) for line in text.splitlines())
    return {line.group(1): line.group(2) for line in lines if line is not None}


def types_of(
    function: Function,
    functions: Iterable[Function],
    remembered: Mapping[str, str],
    listed: Sequence[VgpuType] = (),
) -> tuple[Type, ...]:
    """All types that functions of such a card are known to take, by id. Those offered now have one available instance.

    remembered: names of types that this collection set
    listed:     what nvidia-smi lists for the card, whether it can be created now or not
    """
    descriptions = {str(mdev_type.number): mdev_type.description for mdev_type in listed}
    names: dict[str, Optional[str]] = {str(mdev_type.number): mdev_type.name for mdev_type in listed}
    for other in functions:
        if other.pci == function.pci:
            names.update(other.creatable)
            if other.is_set and other.current is not None:
                names.setdefault(other.current, remembered.get(other.current))
    return tuple(
        Type(
            type_id,
            names[type_id],
            descriptions.get(type_id),
            device_api=_DEVICE_API,
            available_instances=function.available_instances(type_id),
        )
        for type_id in sorted(names, key=address_key)
    )


def in_this_mode(listed: Sequence[VgpuType], offered: Iterable[str]) -> tuple[VgpuType, ...]:
    """The types that a card has in its mode: with GPU instances those that need them, and otherwise all others.

    offered: the ids of the types that its functions offer or have, which show the mode
    """
    known = {str(mdev_type.number): mdev_type.profile is not None for mdev_type in listed}
    in_instances = any(known.get(type_id, False) for type_id in offered)
    return tuple(mdev_type for mdev_type in listed if (mdev_type.profile is not None) == in_instances)


def key_of(function: Function, known: Iterable[Definition]) -> str:
    """The key that requests find the vGPU by: noted when this collection set it, else derived from the function.

    known: the notes of this vGPU, and the definitions. One with another type belongs to a vGPU that is gone.
    """
    noted_keys = (note.key for note in known if (note.parent, note.type_id) == (function.address, function.current))
    return next(noted_keys, derived_uuid("", _OWNER_NAME, (function.address,)))


def mark_of(key: str, address: str) -> int:
    """The mark of a vGPU: a time in 1970-1972, in nanoseconds, which the file of its function's current type gets.

    The kernel keeps the time that somebody gives to a file in sysfs, also when a program writes to the file. It changes
    when a shell writes (echo > FILE truncates, which sets it), and when the driver is loaded or the function is
    created again. So a vGPU that was cleared and set again by hand loses the mark.
    Source: kernfs_iop_setattr() in fs/kernfs/inode.c; observed on Linux 6.18.
    """
    return int(derived_uuid("", _OWNER_NAME, (key, address)).replace("-", "")[-14:], 16)


def with_type_name(definition: Definition, name: Optional[str]) -> Definition:
    """The definition with its type's name, which the driver hides when the card is full."""
    return _with_field(definition, _NAME_FIELD, name) if name else definition


def with_mark(definition: Definition) -> Definition:
    """The note of a vGPU whose function has the mark."""
    return _with_field(definition, _MARK_FIELD, True)


def _with_field(definition: Definition, name: str, value: object) -> Definition:
    return replace(definition, other=(*definition.other, (name, json.dumps(value))))


def remembered_names(known: Iterable[Definition]) -> TypeNames:
    """Names of types, by id, as they were noted."""
    names = ((note.type_id, json.loads(dict(note.other).get(_NAME_FIELD, "null"))) for note in known)
    return {type_id: name for type_id, name in names if isinstance(name, str)}


def match_functions(requests: Sequence[DeviceRequest], inventory: Inventory) -> list[DeviceRequest]:
    """The same requests. Those that name one function get the key of the vGPU on it, no matter who created it.

    A request without a key can identify its device only by the function.
    """
    keys = {stored.parent: stored.key for stored in inventory.definitions if stored.framework.name == NAME}
    keys.update((device.parent, device.key) for device in inventory.devices if device.framework.name == NAME)
    functions = (parent for parent in inventory.parents if parent.framework.name == NAME)
    addresses = {name: parent.address for parent in functions for name in (parent.address, parent.nodedev)}
    known = frozenset(keys.values())
    return [request if request.key in known else _with_function_key(request, addresses, keys) for request in requests]


def _with_function_key(request: DeviceRequest, addresses: Mapping[str, str], keys: Mapping[str, str]) -> DeviceRequest:
    named = request.parents[0] if len(request.parents) == 1 else ""
    address = addresses.get(named, named)
    if address in keys:
        return replace(request, key=keys[address])
    if not request.key and named in addresses:
        # Nothing is on the function, so a key derived from it finds nothing either.
        return replace(request, key=derived_uuid("", _OWNER_NAME, (address,)))
    return request
