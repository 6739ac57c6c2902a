# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the user asks for, checked as far as no host is needed."""

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
class Wanted:
    """One device as asked for.

    active:      in the kernel now
    persistent:  defined on disk
    autostart:   started at boot, by its definition
    type:        id or name, as given; None only where a device is to be absent
    parents:     the candidates in canonical form; empty means any parent of the host
    excluded:    parents that are no candidates, in the same form
    placement:   how one of several candidates is chosen
    numa_node:   the candidates' NUMA node; None means any
    attributes:  None where the user says nothing about them: those of a definition then stay as they are
    recreate:    whether a device of another type or on another parent is replaced
    skip_in_use: whether a device that is to be absent may stay where it is in use
    fresh:       whether a device that is active already is made anew, so that nothing is left of what it held
    label:       what the operator calls it, empty where only one device is asked for
    index:       its place among several of one entry
    """

    uuid: str
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
    fresh: bool = False
    label: str = ""
    index: int = 0

    @property
    def present(self) -> bool:
        """Whether there is to be such a device at all."""
        return self.active or self.persistent


@dataclass(frozen=True)
class Ask:
    """Devices that are thought of. The fields are those of Wanted."""

    type: str
    count: int = 1
    parents: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    placement: str = FIRST
    numa_node: Optional[int] = None


def checked_parents(parents: list[str]) -> tuple[str, ...]:
    """Candidates in canonical form, each once."""
    return tuple(dict.fromkeys(canonical_parent(one) for one in parents))


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
