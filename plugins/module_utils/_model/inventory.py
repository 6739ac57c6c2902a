# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host as values: parents, their types, the devices on them, and the users of these devices.

Every class is frozen: an inventory is read once and never changed. Nothing here does I/O.
The words are the kernel's (Documentation/driver-api/vfio-mediated-device.rst) and libvirt's.

A device has an id, which identifies it on the host: a mediated device's UUID, or the function that a vGPU is set on.
It also has a key, by which requests find it: the same UUID, or the UUID that was derived for a vGPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Optional, Union

from .framework import HOSTDEV_PCI, Framework


@dataclass(frozen=True)
class Attribute:
    """One sysfs attribute of a device and its value, as text. Order matters: they are written one after another."""

    name: str
    value: str


@dataclass(frozen=True)
class LiveAttribute:
    """An attribute of an active device as it is now. value is None if it can't be read."""

    name: str
    exists: bool
    readable: bool = False
    writable: bool = False
    value: Optional[str] = None


@dataclass(frozen=True)
class AttributeChange:
    """A write to an attribute of an active device, and the write that undoes it."""

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
    """A type of device that one parent offers. available_instances is None if it could not be read."""

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
class CardModes:
    """How a card can be sliced now, as its vendor's tool reports it. None: unknown, or the card does not have it.

    mixed_sizes: whether its vGPUs can have different framebuffer sizes
    mig:         whether MIG mode is on; then only GPU instances can hold vGPUs
    instances:   the profiles of its GPU instances, by name
    """

    address: str
    mixed_sizes: Optional[bool] = None
    mig: Optional[bool] = None
    instances: tuple[str, ...] = ()
    serial: Optional[str] = None

    @property
    def lacks_instances(self) -> bool:
        """Whether MIG mode is on and nothing on the card can hold a vGPU."""
        return bool(self.mig) and not self.instances

    @property
    def no_instance_text(self) -> str:
        """What that means, in words."""
        return (
            f"card {self.address} is in MIG mode and has no GPU instance, so it can't hold any vGPU. Create GPU "
            "instances (mig of module vfio.mdev.mdev_vfs), or turn MIG mode off"
        )


@dataclass(frozen=True)
class Parent:
    """A device of the host that offers mediated devices. is_unknown: it may have a device that can't be read."""

    address: str
    subsystem: str
    nodedev: str
    path: str
    framework: Framework
    upper_nodedev: str = "computer"
    driver: Optional[str] = None
    numa_node: Optional[int] = None
    physical_function: Optional[str] = None
    vfs: Optional[Vfs] = None
    pci: Optional[PciIds] = None
    iommu_group: Optional[int] = None
    types: tuple[Type, ...] = ()
    is_unknown: bool = False

    @property
    def card(self) -> str:
        """The address of the physical card that the parent belongs to: its physical function, or itself."""
        return self.physical_function or self.address

    def type(self, type_id: Optional[str]) -> Optional[Type]:
        """The type with this id, if the parent has it."""
        return self._types_by_id.get(type_id or "")

    @cached_property
    def _types_by_id(self) -> dict[str, Type]:
        return {mdev_type.id: mdev_type for mdev_type in self.types}


class Half:
    """The common part of a device in the kernel and of its definition on disk.

    key: the key that requests find it by; its id by default
    """

    id: str
    parent: str
    framework: Framework
    key: str

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.id)

    @property
    def uuid(self) -> Optional[str]:
        """Its UUID. None for a vGPU on a virtual function."""
        return self.framework.uuid(self.id)

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.framework.label(self.id)} on {self.parent}"


@dataclass(frozen=True)
class Definition(Half):
    """A device as it is stored on disk, in mdevctl's location and format.

    autostart: whether it is started at boot ("start": "auto")
    other:     fields of the file that this collection does not know, as JSON text, so that a rewrite keeps them
    file_name: the file's name, if it is not the key: mdevctl also reads a UUID in capital letters
    """

    id: str
    parent: str
    type_id: str
    framework: Framework
    key: str = ""
    autostart: bool = False
    attributes: tuple[Attribute, ...] = ()
    other: tuple[tuple[str, str], ...] = ()
    file_name: str = field(default="", compare=False)


@dataclass(frozen=True)
class BrokenDefinition:
    """A file that is named by a UUID and is not a valid definition, and the reason.

    key:            that UUID, in lower case
    blocks_mdevctl: whether mdevctl lists no definition at all while the file exists
    """

    path: str
    problem: str
    key: str = ""
    blocks_mdevctl: bool = False


@dataclass(frozen=True)
class Hidden:
    """A folder of definitions or devices that can't be read, and the reason. What is there is unknown.

    parent: the parent that it belongs to; None if it is the folder of all parents
    """

    path: str
    problem: str
    parent: Optional[str] = None


@dataclass(frozen=True)
class Drift:
    """One difference between the requested and the actual state. As text, for people."""

    field: str
    wanted: str
    actual: str


@dataclass(frozen=True)
class Device(Half):
    """A device in the kernel.

    removing:   'remove' was written while it was in use. The kernel keeps half of it, without type, until it is free
    users:      None if nobody looked, or if they could not be determined
    attributes: those that configure the device as far as the kernel reports them, which it does only for AP devices
    proven:     whether it is certainly the device that was created with its key
    gpu_instance_id, placement_id: where the driver has put it on the card, if it says so
    """

    id: str
    parent: str
    path: str
    nodedev: str
    parent_nodedev: str
    framework: Framework
    key: str = ""
    type_id: Optional[str] = None
    type_name: Optional[str] = None
    device_api: Optional[str] = None
    removing: bool = False
    driver: Optional[str] = None
    iommu_group: Optional[int] = None
    numa_node: Optional[int] = None
    users: Optional[tuple[User, ...]] = None
    attributes: tuple[Attribute, ...] = ()
    proven: bool = True
    gpu_instance_id: Optional[int] = None
    placement_id: Optional[int] = None


@dataclass(frozen=True)
class Unread:
    """A file or folder that should be readable but could not be read, and the reason."""

    path: str
    error: str


@dataclass(frozen=True)
class Inventory:
    """Everything that was read in one pass, sorted: parents by address, devices and definitions by parent and UUID.

    cards: the modes of cards, as far as they were read
    """

    parents: tuple[Parent, ...] = ()
    devices: tuple[Device, ...] = ()
    definitions: tuple[Definition, ...] = ()
    broken: tuple[BrokenDefinition, ...] = ()
    unread: tuple[Unread, ...] = ()
    hidden: tuple[Hidden, ...] = ()
    cards: tuple[CardModes, ...] = ()

    def parent(self, address: str) -> Optional[Parent]:
        """The parent with this sysfs name."""
        return self._parents_by_address.get(address)

    def parents_named(self, name: str) -> tuple[Parent, ...]:
        """The parent with this sysfs or node device name, or the virtual functions of the card with this address."""
        named = tuple(parent for parent in self.parents if name in (parent.address, parent.nodedev))
        return named or tuple(parent for parent in self.parents if parent.physical_function == name)

    def modes(self, card: str) -> CardModes:
        """The modes of the card with this address."""
        return next((modes for modes in self.cards if modes.address == card), CardModes(card))

    def device(self, key: str) -> Optional[Device]:
        """The device with this key or id on any parent, even if it is half removed."""
        return self._devices_by_key.get(key)

    def definitions_of(self, key: str) -> tuple[Definition, ...]:
        """The definitions with this key or id: mdevctl allows one under each parent."""
        return tuple(self._definitions_by_key.get(key, ()))

    def broken_of(self, key: str) -> tuple[BrokenDefinition, ...]:
        """The invalid definitions with this key. What they define is unknown."""
        return tuple(broken for broken in self.broken if broken.key == key)

    def devices_on(self, address: str) -> tuple[Device, ...]:
        """The devices on the parent with this sysfs name."""
        return tuple(self._devices_by_parent.get(address, ()))

    def definitions_on(self, address: str) -> tuple[Definition, ...]:
        """The definitions for the parent with this sysfs name."""
        return tuple(self._definitions_by_parent.get(address, ()))

    def gives_functions(self, address: str) -> bool:
        """Whether a parent has this PCI address and guests get it as a PCI function."""
        parent = self.parent(address)
        return parent is not None and parent.framework.hostdev_type == HOSTDEV_PCI

    @property
    def keys(self) -> frozenset[str]:
        """The keys by which requests find devices and definitions."""
        return frozenset(self.ids_by_key)

    @cached_property
    def ids_by_key(self) -> dict[str, str]:
        """The ids of all devices, active or defined, by their keys."""
        halves: tuple[Half, ...] = (*self.definitions, *self.devices)
        return {half.key: half.id for half in halves}

    @cached_property
    def frameworks(self) -> frozenset[Framework]:
        """The frameworks of all parents, devices and definitions."""
        entries: tuple[Union[Parent, Half], ...] = (*self.parents, *self.devices, *self.definitions)
        return frozenset(entry.framework for entry in entries)

    # Used once per device or parent: a search through all devices each time would take quadratic time.

    @cached_property
    def _parents_by_address(self) -> dict[str, Parent]:
        return {parent.address: parent for parent in self.parents}

    @cached_property
    def _devices_by_key(self) -> dict[str, Device]:
        devices = tuple(reversed(self.devices))
        return {**{device.id: device for device in devices}, **{device.key: device for device in devices}}

    @cached_property
    def _definitions_by_key(self) -> dict[str, list[Definition]]:
        by_key: dict[str, list[Definition]] = {}
        for definition in self.definitions:
            for key in dict.fromkeys((definition.key, definition.id)):
                by_key.setdefault(key, []).append(definition)
        return by_key

    @cached_property
    def _devices_by_parent(self) -> dict[str, list[Device]]:
        by_parent: dict[str, list[Device]] = {}
        for device in self.devices:
            by_parent.setdefault(device.parent, []).append(device)
        return by_parent

    @cached_property
    def _definitions_by_parent(self) -> dict[str, list[Definition]]:
        by_parent: dict[str, list[Definition]] = {}
        for definition in self.definitions:
            by_parent.setdefault(definition.parent, []).append(definition)
        return by_parent


@dataclass(frozen=True)
class Card:
    """A display controller of the host or another card that offers devices, sliced or not. ids: see pci_ids()."""

    address: str
    vendor: str
    driver: Optional[str]
    is_vf: bool
    vfs_enabled: Optional[int] = None
    vfs_total: Optional[int] = None
    numa_node: Optional[int] = None
    ids: Optional[str] = None
    function_ids: Optional[str] = None

    @property
    def vfs(self) -> Optional[Vfs]:
        """Its virtual functions. None without SR-IOV."""
        return None if self.vfs_enabled is None or self.vfs_total is None else Vfs(self.vfs_enabled, self.vfs_total)


@dataclass(frozen=True)
class Hardware:
    """The hardware and kernel modules of a host that matter for mediated devices."""

    cards: tuple[Card, ...] = ()
    modules: frozenset[str] = frozenset()
    css: bool = False
    ap: bool = False
