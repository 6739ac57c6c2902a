# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host holds, as values: parents, their types, the devices on them, who uses those.

Every class is frozen: an inventory is read once and never changed. Nothing here does I/O.
The words are the kernel's (Documentation/driver-api/vfio-mediated-device.rst) and libvirt's.

NVIDIA's newer drivers have no mediated devices. Under their own framework (vendor_vfio) a virtual function of a card
is a parent that takes one device: the vGPU type that is set on it. Such a device is known by its function. uuid is then
what this collection finds it again by, which nobody else knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Optional

MDEV = "mdev"
VENDOR_VFIO = "vendor_vfio"
NO_FRAMEWORK = "none"

# device_api of s390 AP devices (vfio_ap).
AP_API = "vfio-ap"


def noun_for(framework: str, uuid: str) -> str:
    """How messages call a device."""
    return "vGPU" if framework == VENDOR_VFIO else f"device {uuid}"


def words_for(framework: str, uuid: str, parent: str) -> str:
    """How messages call a device, with its place."""
    return f"{noun_for(framework, uuid)} on {parent}"


@dataclass(frozen=True)
class Attribute:
    """One sysfs attribute of a device and its value, as text. Order matters: they are written one after the other."""

    name: str
    value: str


@dataclass(frozen=True)
class LiveAttribute:
    """An attribute of an active device as it is now. value is None where it can't be read."""

    name: str
    exists: bool
    readable: bool = False
    writable: bool = False
    value: Optional[str] = None


@dataclass(frozen=True)
class AttributeChange:
    """A write to an attribute of an active device, and the write that takes it back."""

    write: Attribute
    undo: Attribute


@dataclass(frozen=True)
class User:
    """A process that holds a device open."""

    pid: int
    command: str
    guest: Optional[str] = None


@dataclass(frozen=True)
class Type:
    """A kind of device that one parent offers. available_instances is None where it could not be read."""

    id: str
    name: Optional[str] = None
    description: Optional[str] = None
    device_api: Optional[str] = None
    available_instances: Optional[int] = None


@dataclass(frozen=True)
class Vfs:
    """SR-IOV virtual functions of a physical function."""

    enabled: int
    total: int


@dataclass(frozen=True)
class PciIds:
    """Vendor and product of a PCI function, as sysfs writes them, for example 0x10de."""

    vendor: str
    product: str


@dataclass(frozen=True)
class Parent:
    """A device of the host that offers mediated devices."""

    address: str
    subsystem: str
    nodedev: str
    path: str
    upper_nodedev: str = "computer"
    driver: Optional[str] = None
    numa_node: Optional[int] = None
    physical_function: Optional[str] = None
    vfs: Optional[Vfs] = None
    pci: Optional[PciIds] = None
    types: tuple[Type, ...] = ()
    framework: str = MDEV

    def device_path(self, uuid: str) -> str:
        """The folder of a device on this parent."""
        return self.path if self.framework == VENDOR_VFIO else f"{self.path}/{uuid}"

    def type(self, type_id: Optional[str]) -> Optional[Type]:
        """The type with this id, if the parent has it."""
        return self._types_by_id.get(type_id or "")

    @cached_property
    def _types_by_id(self) -> dict[str, Type]:
        return {one.id: one for one in self.types}


@dataclass(frozen=True)
class Definition:
    """A device as stored on disk in mdevctl's place and format.

    autostart: whether it is to be started at boot ("start": "auto").
    other:     fields of the file that this collection does not know, as JSON text, so that they survive a rewrite.
    """

    uuid: str
    parent: str
    type_id: str
    autostart: bool = False
    attributes: tuple[Attribute, ...] = ()
    other: tuple[tuple[str, str], ...] = ()
    framework: str = MDEV

    @property
    def words(self) -> str:
        """How messages call it."""
        return words_for(self.framework, self.uuid, self.parent)


@dataclass(frozen=True)
class BrokenDefinition:
    """A file among the definitions that is none, and why."""

    path: str
    problem: str


@dataclass(frozen=True)
class Drift:
    """One thing that is not as wanted. As text, for people."""

    field: str
    wanted: str
    actual: str


@dataclass(frozen=True)
class Device:
    """A device in the kernel.

    removing: somebody wrote to its 'remove' while it was in use. The kernel then keeps half of it until the user
    lets go; its type can't be read any more. users is None where nobody looked or nobody could.
    attributes: those that the kernel tells to configure the device, which it does of AP devices only.
    """

    uuid: str
    parent: str
    path: str
    nodedev: str
    parent_nodedev: str
    type_id: Optional[str] = None
    type_name: Optional[str] = None
    device_api: Optional[str] = None
    removing: bool = False
    driver: Optional[str] = None
    iommu_group: Optional[int] = None
    numa_node: Optional[int] = None
    users: Optional[tuple[User, ...]] = None
    attributes: tuple[Attribute, ...] = ()
    framework: str = MDEV

    @property
    def words(self) -> str:
        """How messages call it."""
        return words_for(self.framework, self.uuid, self.parent)


@dataclass(frozen=True)
class Unread:
    """A file or folder that should have been readable and was not, with the reason."""

    path: str
    error: str


@dataclass(frozen=True)
class Inventory:
    """All that was read in one go, sorted: parents by address, devices and definitions by parent and UUID."""

    parents: tuple[Parent, ...] = ()
    devices: tuple[Device, ...] = ()
    definitions: tuple[Definition, ...] = ()
    broken: tuple[BrokenDefinition, ...] = ()
    unread: tuple[Unread, ...] = ()

    def parent(self, address: str) -> Optional[Parent]:
        """The parent with this sysfs name."""
        return self._parents_by_address.get(address)

    def device(self, uuid: str) -> Optional[Device]:
        """The device with this UUID, on whatever parent, also when it is half removed."""
        return self._devices_by_uuid.get(uuid)

    @property
    def places(self) -> dict[str, str]:
        """The parents of active devices, by UUID."""
        return {one.uuid: one.parent for one in self.devices}

    def has_vendor_parent(self, address: str) -> bool:
        """Whether there is a virtual function at this address that takes a vGPU."""
        parent = self.parent(address)
        return parent is not None and parent.framework == VENDOR_VFIO

    def definitions_of(self, uuid: str) -> tuple[Definition, ...]:
        """The definitions with this UUID: mdevctl allows one under each parent."""
        return self._definitions_by_uuid.get(uuid, ())

    def devices_on(self, address: str) -> tuple[Device, ...]:
        """The devices on the parent with this sysfs name."""
        return tuple(self._devices_by_parent.get(address, ()))

    def definitions_on(self, address: str) -> tuple[Definition, ...]:
        """The definitions for the parent with this sysfs name."""
        return tuple(self._definitions_by_parent.get(address, ()))

    # Asked once a device or a parent: looking through all devices each time would cost the square of their number.

    @cached_property
    def _parents_by_address(self) -> dict[str, Parent]:
        return {one.address: one for one in self.parents}

    @cached_property
    def _devices_by_uuid(self) -> dict[str, Device]:
        return {one.uuid: one for one in reversed(self.devices)}

    @cached_property
    def _definitions_by_uuid(self) -> dict[str, tuple[Definition, ...]]:
        found: dict[str, tuple[Definition, ...]] = {}
        for one in self.definitions:
            found[one.uuid] = (*found.get(one.uuid, ()), one)
        return found

    @cached_property
    def _devices_by_parent(self) -> dict[str, list[Device]]:
        found: dict[str, list[Device]] = {}
        for one in self.devices:
            found.setdefault(one.parent, []).append(one)
        return found

    @cached_property
    def _definitions_by_parent(self) -> dict[str, list[Definition]]:
        found: dict[str, list[Definition]] = {}
        for one in self.definitions:
            found.setdefault(one.parent, []).append(one)
        return found

    @property
    def frameworks(self) -> frozenset[str]:
        """All in which there is something."""
        return frozenset(
            [one.framework for one in self.parents]
            + [one.framework for one in self.devices]
            + [one.framework for one in self.definitions]
        )

    @property
    def framework(self) -> str:
        """How this host slices its devices: mdev (also where it has both), vendor_vfio (no mdevs exist) or none."""
        here = {one.framework for one in self.parents}
        return next((one for one in (MDEV, VENDOR_VFIO) if one in here), NO_FRAMEWORK)


@dataclass(frozen=True)
class Card:
    """A display controller of the host, sliced or not."""

    address: str
    vendor: str
    driver: Optional[str]
    is_vf: bool
    vfs_enabled: Optional[int] = None
    vfs_total: Optional[int] = None


@dataclass(frozen=True)
class Hardware:
    """What there is around mediated devices on a host."""

    cards: tuple[Card, ...] = ()
    modules: frozenset[str] = frozenset()
    css: bool = False
    ap: bool = False
