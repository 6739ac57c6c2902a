# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The request to prepare a migration, and the current state of the destination. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Callable, Optional

from .._guests.migratable import Unsupported
from .._model.addresses import pci_address
from .._model.framework import HOSTDEV_MDEV, HOSTDEV_PCI
from .._model.inventory import Attribute, Inventory, LiveAttribute
from .._model.request import DeviceRequest
from .._model.versions import Versions
from .record import MigrationRecord

# The UUIDs of devices at the destination: the same as at the source, or new ones that are derived there.
UUID_POLICIES = SAME, NEW = "same", "new"


@dataclass(frozen=True)
class GuestDevice:
    """A device of a guest at the source.

    id:          its UUID, or the function that it is set on
    can_migrate: whether its driver can migrate it live; None if it is unknown
    can_quiesce: whether its driver can stop traffic between devices; None if it is unknown
    """

    id: str
    type_id: str
    type_name: Optional[str] = None
    device_api: Optional[str] = None
    driver: Optional[str] = None
    attributes: tuple[Attribute, ...] = ()
    can_migrate: Optional[bool] = None
    can_quiesce: Optional[bool] = None

    @property
    def hostdev_type(self) -> str:
        """How the guest gets it: as a mediated device, or as a PCI function."""
        return HOSTDEV_PCI if pci_address(self.id) else HOSTDEV_MDEV

    @property
    def label(self) -> str:
        """The device in findings."""
        return f"device {self.id} ({self.type_name or self.type_id})"


@dataclass(frozen=True)
class Guest:
    """A guest that should be migrated.

    running:      migrated live; else only its configuration moves
    uuid:         its UUID in libvirt; empty if it is unknown
    command_line: its devices on QEMU's command line
    error:        why its devices are unknown; empty if they are known
    """

    name: str
    running: bool
    devices: tuple[GuestDevice, ...]
    uuid: str = ""
    command_line: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class MigrationRequest:
    """The guests to prepare for, and how.

    versions:    the source's; None if it could not be queried
    uuid_policy: SAME or NEW, for all devices if there is no map
    uuid_map:    the UUID or function here, by the UUID or function at the source; empty if there is no map
    type_map:    the type here, by the id or name of the type at the source
    pattern:     the parents on which devices can be placed
    """

    source: str
    guests: tuple[Guest, ...]
    versions: Optional[Versions]
    uuid_policy: str
    uuid_map: Mapping[str, str]
    type_map: Mapping[str, str]
    pattern: DeviceRequest
    drivers_must_match: bool = True

    @property
    def derives_uuids(self) -> bool:
        """Whether devices get new UUIDs."""
        return self.uuid_policy == NEW and not self.uuid_map


@dataclass(frozen=True)
class Libvirt:
    """The answers of libvirt on the destination. The fields are those of Destination."""

    versions: Versions = field(default_factory=Versions)
    guests: Mapping[str, str] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    definitions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Destination:
    """The current state of the destination.

    guests:       the names of all guests here, by UUID
    running:      the UUIDs of those that run
    unsupported:  what the drivers of devices here can't do for migrations
    records:      the records of guests that are already prepared, by UUID
    unreadable:   why further records can't be read
    fingerprints: the state of each guest's QEMU log now, by name
    definitions:  the fingerprints of the guests' stored configurations, by UUID
    live:         returns the current values of these attributes of a device
    current:      returns the current values of all attributes of a device that can be restored
    """

    machine_id: str
    boot_id: str
    inventory: Inventory
    versions: Versions
    guests: Mapping[str, str]
    running: frozenset[str]
    unsupported: Unsupported
    records: Mapping[str, MigrationRecord]
    unreadable: tuple[str, ...]
    fingerprints: Mapping[str, str]
    definitions: Mapping[str, str]
    live: Callable[[str, tuple[str, ...]], tuple[LiveAttribute, ...]]
    current: Callable[[str, tuple[str, ...]], tuple[Attribute, ...]]
