# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the user requests, checked as far as no host is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .addresses import canonical_parent
from .errors import InvalidInput
from .inventory import Attribute

# How one of several candidates is chosen.
PLACEMENTS = FIRST, PACK, SPREAD = ("first", "pack", "spread")

# What the driver core and the mdev core put into each device's folder: none of it configures a device.
_NOT_ATTRIBUTES = frozenset(
    {"remove", "uevent", "mdev_type", "driver", "subsystem", "iommu_group", "iommufd", "vfio-dev"}
)


@dataclass(frozen=True)
class DeviceRequest:
    """One device as requested.

    key:             what an existing device is found by: its UUID, given or derived; empty until it is known
    name:            what the UUID is derived from; None if the type and the parent identify the device
    active:          in the kernel now
    persistent:      defined on disk
    autostart:       started at boot, by its definition
    type:            id or name, as given; None only for a device that should be absent
    parents:         the candidates in canonical form; empty means any parent of the host
    excluded:        parents that are no candidates, in the same form
    placement:       how one of several candidates is chosen
    numa_node:       the candidates' NUMA node; None means any
    attributes:      None if the user does not mention them: those of a definition then stay as they are
    recreate:        whether a device of another type or on another parent is replaced
    skip_in_use:     whether a device that should be absent may stay while it is in use
    recreate_active: whether a device that is already active is recreated, so that nothing remains of its old state
    label:           what the operator calls it, empty if only one device is requested
    index:           its place among several of one entry
    """

    key: str = ""
    name: Optional[str] = None
    active: bool = True
    persistent: bool = False
    autostart: bool = False
    type: Optional[str] = None
    parents: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    placement: str = FIRST
    numa_node: Optional[int] = None
    attributes: Optional[tuple[Attribute, ...]] = None
    recreate: bool = False
    skip_in_use: bool = False
    recreate_active: bool = False
    label: str = ""
    index: int = 0

    @property
    def present(self) -> bool:
        """Whether the device should exist at all."""
        return self.active or self.persistent

    @property
    def is_derived(self) -> bool:
        """Whether the UUID is derived: none is given, and there is a name or a type to derive it from."""
        return not self.key and (self.name is not None or self.type is not None)


@dataclass(frozen=True)
class CapacityQuery:
    """Devices that may be requested later. The fields are those of DeviceRequest."""

    type: str
    count: int = 1
    parents: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    placement: str = FIRST
    numa_node: Optional[int] = None


def checked_parents(parents: list[str]) -> tuple[str, ...]:
    """Candidates in canonical form, each once."""
    return tuple(dict.fromkeys(canonical_parent(parent) for parent in parents))


def checked_name(name: Optional[str]) -> Optional[str]:
    """The name that a UUID is derived from. An empty one is an error."""
    if name is not None and not name.strip():
        raise InvalidInput("name is empty: give the device a name, or leave name out", name=name)
    return name


def checked_attributes(pairs: list[tuple[str, str]]) -> tuple[Attribute, ...]:
    """Attributes whose names stay inside the device's folder. The same name may come again with another value
    (assign_adapter of vfio_ap does), the same pair may not.
    """
    attributes: list[Attribute] = []
    for name, value in pairs:
        parts = name.split("/")
        if not name or any(part in ("", ".", "..") for part in parts) or parts[0] in _NOT_ATTRIBUTES:
            raise InvalidInput(
                f"'{name}' can't name an attribute: give the file's path below the device's folder in sysfs, "
                "for example nvidia/vgpu_params",
                attribute=name,
            )
        if "\n" in value or "\0" in value:
            raise InvalidInput(f"the value of attribute '{name}' must be one line", attribute=name)
        attribute = Attribute(name, value)
        if attribute in attributes:
            raise InvalidInput(f"attribute '{name}' is given twice with the value '{value}'", attribute=name)
        attributes.append(attribute)
    return tuple(attributes)
