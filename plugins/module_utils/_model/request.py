# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user's request, checked as far as possible without a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .addresses import NIL_UUID, canonical_parent
from .errors import InvalidInput
from .inventory import Attribute

# How one of several candidates is chosen.
PLACEMENTS = FIRST, PACK, SPREAD = ("first", "pack", "spread")

# The driver core and the mdev core put these into each device's folder. None of them configures a device.
_NOT_ATTRIBUTES = frozenset(
    {"remove", "uevent", "mdev_type", "driver", "subsystem", "iommu_group", "iommufd", "vfio-dev"}
)


@dataclass(frozen=True)
class DeviceRequest:
    """One device as requested.

    key:             the key that an existing device is found by: its UUID, given or derived; empty until it is known
    name:            the name that the UUID is derived from; None if the type and the parent identify the device
    active:          whether it should be in the kernel now
    persistent:      whether it should be defined on disk
    autostart:       whether its definition should start it at boot
    type:            id or name, as given; None only for a device that should be absent
    parents:         the candidates in canonical form; empty means any parent of the host
    excluded:        parents that must not be candidates, in the same form
    placement:       how one of several candidates is chosen
    numa_node:       the candidates' NUMA node; None means any
    attributes:      None if the user does not mention them: those of a definition then stay as they are
    recreate:        whether a device of another type or on another parent is replaced
    skip_in_use:     whether a device that should be absent may stay while it is in use
    recreate_active: whether a device that is already active is recreated, so that nothing remains of its old state
    label:           the operator's name for it; empty if only one device is requested
    index:           its position among the devices of one entry
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

    def __post_init__(self) -> None:
        if self.key == NIL_UUID and self.present:
            raise InvalidInput(
                "the nil UUID can't identify a new device: leave uuid out to derive one. An existing device with this "
                "UUID can be removed with state=absent",
                uuid=self.key,
            )

    @property
    def present(self) -> bool:
        """Whether the device should exist at all."""
        return self.active or self.persistent

    @property
    def is_derived(self) -> bool:
        """Whether the UUID is derived: it is not given, and there is a name or a type to derive it from."""
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
    """Candidates in canonical form, without duplicates."""
    return tuple(dict.fromkeys(canonical_parent(parent) for parent in parents))


def checked_name(name: Optional[str]) -> Optional[str]:
    """The name that a UUID is derived from. An empty one is an error."""
    if name is not None and not name.strip():
        raise InvalidInput("name is empty: give the device a name, or leave name out", name=name)
    if name is not None and not is_utf8(name):
        raise InvalidInput(f"name {name!a} is not valid text (UTF-8): give the device another name", name=name)
    return name


def is_attribute_name(name: str) -> bool:
    """Whether a name can be that of an attribute: its path stays inside the device's folder."""
    parts = name.split("/")
    is_path = bool(name) and not any(part in ("", ".", "..") for part in parts) and parts[0] not in _NOT_ATTRIBUTES
    return is_path and "\0" not in name and is_utf8(name)


def is_utf8(text: str) -> bool:
    """Whether a text can be written. Half characters (lone surrogates) can't."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def checked_attributes(pairs: list[tuple[str, str]]) -> tuple[Attribute, ...]:
    """Attributes whose names stay inside the device's folder.

    A name may be repeated with another value (as assign_adapter of vfio_ap is), but a pair may not be repeated.
    """
    attributes: list[Attribute] = []
    for name, value in pairs:
        if not is_attribute_name(name):
            raise InvalidInput(
                f"{_quoted(name)} is not a valid attribute name: give the file's path below the device's folder in "
                "sysfs, for example nvidia/vgpu_params",
                attribute=name,
            )
        if not is_utf8(value):
            raise InvalidInput(f"the value of attribute '{name}' is not valid text (UTF-8)", attribute=name)
        if "\n" in value or "\0" in value:
            raise InvalidInput(f"the value of attribute '{name}' must be a single line", attribute=name)
        attribute = Attribute(name, value)
        if attribute in attributes:
            raise InvalidInput(f"attribute '{name}' is given twice with the value '{value}'", attribute=name)
        attributes.append(attribute)
    return tuple(attributes)


def _quoted(name: str) -> str:
    return f"'{name}'" if name.isprintable() else ascii(name)
