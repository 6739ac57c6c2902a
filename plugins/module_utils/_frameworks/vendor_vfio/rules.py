# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NVIDIA's own VFIO framework, where a virtual function of a card takes one vGPU: what its files mean. Pure.

Source: NVIDIA vGPU User Guide, "Creating a vGPU on a Linux with KVM hypervisor that uses a vendor-specific VFIO
framework". The driver tells only which types a function could get now. While a type is set it hides the others, and it
hides what the card has no memory for. So a function's types are those that any function of such a card has, or had when
this collection set them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from ..._model.addresses import address_key
from ..._model.errors import InvalidInput
from ..._model.identity import derived_uuid
from ..._model.inventory import VENDOR_VFIO, Definition, Inventory, PciIds, Type
from ..._model.request import Wanted

NO_TYPE = "0"

# "1428 : NVIDIA H200X-141C", on some drivers below a line of headings.
_TYPE_LINE = re.compile(r"\s*(\d+)\s*:\s*(.*\S)\s*")
# vGPUs are given to guests as PCI functions.
_DEVICE_API = "vfio-pci"
# No set can have this name, so that no set takes what others made for its own.
_OWNER_NAME = "\0vendor_vfio"
# A definition's field that mdevctl does not have: the type's name when it was set.
_NAME_FIELD = "type_name"

Names = dict[str, str]


@dataclass(frozen=True)
class Function:
    """A virtual function as the driver shows it. creatable: names of the types that it could get now, by id."""

    address: str
    pci: Optional[PciIds]
    current: str
    creatable: Mapping[str, str]

    @property
    def is_set(self) -> bool:
        """Whether there is a vGPU."""
        return self.current != NO_TYPE


def parse_types(text: str) -> Names:
    """The content of creatable_vgpu_types: names by id."""
    found = (_TYPE_LINE.fullmatch(line) for line in text.splitlines())
    return {one.group(1): one.group(2) for one in found if one is not None}


def types_of(function: Function, functions: Iterable[Function], remembered: Mapping[str, str]) -> tuple[Type, ...]:
    """All types that functions of this kind of card are known to take, by id; one can be had of those offered now.

    remembered: names of types that were set by this collection
    """
    names: dict[str, Optional[str]] = {}
    for one in functions:
        if one.pci == function.pci:
            names.update(one.creatable)
            if one.is_set:
                names.setdefault(one.current, remembered.get(one.current))
    free = frozenset() if function.is_set else frozenset(function.creatable)
    return tuple(
        Type(type_id, names[type_id], device_api=_DEVICE_API, available_instances=int(type_id in free))
        for type_id in sorted(names, key=address_key)
    )


def uuid_of(function: Function, known: Iterable[Definition]) -> str:
    """What the vGPU is found again by: what this collection noted when it set it. One that others set has its place's.

    known: what was noted, and what is defined. A note of another type is of a vGPU that is gone.
    """
    mine = (one.uuid for one in known if (one.parent, one.type_id) == (function.address, function.current))
    return next(mine, derived_uuid("", _OWNER_NAME, (function.address,)))


def noted(definition: Definition, name: Optional[str]) -> Definition:
    """The definition with its type's name, which the driver hides when the card is full."""
    return replace(definition, other=((_NAME_FIELD, json.dumps(name)),)) if name else definition


def remembered_names(known: Iterable[Definition]) -> Names:
    """Names of types, by id, as they were noted."""
    found = ((one.type_id, json.loads(dict(one.other).get(_NAME_FIELD, "null"))) for one in known)
    return {type_id: name for type_id, name in found if isinstance(name, str)}


def identified(wanted: Sequence[Wanted], inventory: Inventory) -> list[Wanted]:
    """The same requests, where those that name one function mean what is on it, whoever made that.

    A request without a UUID has nothing but its function to say what it means.
    """
    on = {one.parent: one.uuid for one in inventory.definitions if one.framework == VENDOR_VFIO}
    on.update((one.parent, one.uuid) for one in inventory.devices if one.framework == VENDOR_VFIO)
    vendors = (one for one in inventory.parents if one.framework == VENDOR_VFIO)
    functions = {name: one.address for one in vendors for name in (one.address, one.nodedev)}
    known = frozenset(on.values())
    return [_identified(one, functions, on) if one.uuid not in known else one for one in wanted]


def _identified(wanted: Wanted, functions: Mapping[str, str], on: Mapping[str, str]) -> Wanted:
    named = wanted.parents[0] if len(wanted.parents) == 1 else ""
    address = functions.get(named, named)
    if address in on:
        return replace(wanted, uuid=on[address])
    if not wanted.uuid and named not in functions:
        raise InvalidInput(
            f"nothing says which device on '{named}' is meant: give uuid, name or type. Only a virtual function under "
            "NVIDIA's own VFIO framework is enough by itself, and this host has none of this name",
            parent=named,
        )
    return wanted
