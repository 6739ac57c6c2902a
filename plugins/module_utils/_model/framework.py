# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of a framework, which is one way in which a kernel slices a device for guests. Pure.

Parents, devices and definitions hold their framework, and code that has one of them calls its framework. Nothing
outside _frameworks compares frameworks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Callable, Optional, Protocol

if TYPE_CHECKING:
    from .inventory import Attribute, AttributeChange, CardModes, Drift, Inventory, Parent, Type
    from .request import DeviceRequest

# The types of <hostdev> that give a guest a device (libvirt's domain.rng): by UUID, and by PCI address.
HOSTDEV_MDEV, HOSTDEV_PCI = "mdev", "pci"


class Occupancy(Protocol):
    """The facts that a capacity rule can use about a plan in progress."""

    def devices_on(self, parent: Parent) -> int:
        """The devices that are on the parent and stay."""

    def planned_on(self, parent: Parent) -> int:
        """The devices that this run puts on the parent."""

    def types_on_card(self, parent: Parent) -> Mapping[str, int]:
        """How many devices of each type id the parent's card has or gets."""

    def planned_on_card(self, parent: Parent) -> Collection[str]:
        """The type ids that this run puts on the parent's card."""

    def modes(self, parent: Parent) -> CardModes:
        """The modes of the parent's card."""

    def card_stays(self, parent: Parent) -> bool:
        """Whether the parent's card has devices and all of them stay: it can then take each type that it offers now."""


# Why the parent can't take one more device of the type, in words; empty if it can.
CapacityRule = Callable[[Occupancy, "Parent", "Type"], str]


class AttributeRules(Protocol):
    """Attributes that are not read back through the files that they are written to.

    names: those attributes
    files: the files below the device's folder that report the written values
    """

    names: frozenset[str]
    files: tuple[str, ...]

    def reported(self, texts: Sequence[Optional[str]]) -> tuple[Attribute, ...]:
        """The attributes that the texts of the files describe. None stands for an empty file."""

    def check(self, attributes: Sequence[Attribute]) -> None:
        """Raises InvalidInput for values that the driver can't read."""

    def changes(self, wanted: Sequence[Attribute], current: Sequence[Attribute]) -> tuple[AttributeChange, ...]:
        """The writes that lead from the current attributes to those wanted."""

    def drift(self, wanted: Sequence[Attribute], current: Sequence[Attribute]) -> tuple[Drift, ...]:
        """How the current attributes differ from those wanted."""

    def current(self, attributes: Sequence[Attribute], like: Sequence[Attribute]) -> tuple[Attribute, ...]:
        """The current attributes, in the order and spelling of those in like that are the same."""


class Framework(Protocol):
    """One way in which a kernel slices a device.

    name:             as results show it
    hostdev_type:     how guests get its devices: HOSTDEV_MDEV or HOSTDEV_PCI
    parent_is_device: whether a parent takes one device and then is that device, as a function with a vGPU type is
    hidden_types:     why a parent may take types that it does not list now; empty if it lists all
    needs_boot_unit:  whether only vfio-mdev.service starts its devices at boot
    explanation:      what surprises operators on hosts with it, before the list of parents; empty if nothing does
    """

    name: str
    hostdev_type: str
    parent_is_device: bool
    hidden_types: str
    needs_boot_unit: bool
    explanation: str

    def device_id(self, key: str, parent: str) -> str:
        """The id of a device: its UUID, or the parent that it is on. key: the key that requests find it by."""

    def label(self, device_id: str) -> str:
        """The name of a device in messages."""

    def uuid(self, device_id: str) -> Optional[str]:
        """The device's UUID. None if such devices have none."""

    def device_path(self, parent_path: str, device_id: str) -> str:
        """The device's folder in sysfs."""

    def nodedev(self, device_id: str, parent: str) -> str:
        """libvirt's name for the device."""

    def capacity_rules(self, parent: Parent) -> tuple[CapacityRule, ...]:
        """The limits of the parent in addition to available_instances."""

    def capacity_doubts(self, parent: Parent) -> tuple[CapacityRule, ...]:
        """Possible limits that only the driver knows: a parent with such a limit is tried after the others."""

    def is_limited(self, mdev_type: Type) -> bool:
        """Whether available_instances of the type is a limit that a host can reach."""
        return True

    def attribute_rules(self, device_api: Optional[str]) -> Optional[AttributeRules]:
        """The rules for attributes of devices with this device_api. None if all are read where they are written."""

    def match_existing(self, requests: Sequence[DeviceRequest], inventory: Inventory) -> list[DeviceRequest]:
        """The same requests. Those that identify an existing device by something other than its key get its key."""
