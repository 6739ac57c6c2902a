# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a prepared guest is: whether libvirt has it on the destination, in which state, and with which devices."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Optional

from .._guests.virsh import RUNNING, SHUT_OFF, Virsh
from .._model.errors import InUse, LibvirtError, MdevError, Migrated
from .._model.inventory import Inventory
from .._xml.domain import Domain, parse_domain
from .record import MigrationRecord


@dataclass(frozen=True)
class GuestHere:
    """A guest that libvirt has on this host.

    domain:     its XML
    definition: the fingerprint of its stored configuration
    """

    state: str
    domain: Domain
    definition: str

    @property
    def is_active(self) -> bool:
        """Whether a QEMU process has it. While a guest arrives, it is paused."""
        return self.state != SHUT_OFF

    def devices(self, inventory: Inventory) -> frozenset[str]:
        """The devices in its XML: UUIDs, functions with vGPUs, and devices on QEMU's command line."""
        functions = (device.function for device in self.domain.functions if inventory.gives_functions(device.function))
        mdevs = (device.uuid for device in self.domain.mdevs)
        return frozenset([*mdevs, *functions, *self.domain.command_line])


@dataclass
class Arrivals:
    """libvirt's guests on this host. Each is asked for once, if possible before the host is locked.

    names: of all guests, by UUID
    """

    virsh: Virsh
    names: dict[str, str]
    known: dict[str, Optional[GuestHere]] = field(default_factory=dict)
    problems: dict[str, MdevError] = field(default_factory=dict)

    @classmethod
    def read(cls, virsh: Virsh) -> Arrivals:
        """The guests that libvirt has now."""
        return cls(virsh, virsh.guests("--all"))

    def ask(self, uuids: Iterable[str]) -> None:
        """Asks libvirt for these guests. What fails is raised when the guest is needed."""
        for uuid in uuids:
            try:
                self.known[uuid] = self._ask(uuid)
            except MdevError as error:
                self.problems[uuid] = error

    def guest(self, uuid: str) -> Optional[GuestHere]:
        """The guest, or None if it is not here. Raises LibvirtError or InvalidInput if this can't be found out."""
        if uuid not in self.known and uuid not in self.problems:
            self.ask([uuid])
        if uuid in self.problems:
            raise self.problems[uuid]
        return self.known[uuid]

    def _ask(self, uuid: str) -> Optional[GuestHere]:
        if uuid not in self.names:
            return None
        try:
            state, domain = self.virsh.state(uuid), parse_domain(self.virsh.xml(uuid))
            return GuestHere(state, domain, definition_fingerprint(self.virsh, uuid))
        except LibvirtError:
            # A guest that was arriving disappears when its migration fails.
            if uuid in self.virsh.guests("--all"):
                raise
            return None


def definition_fingerprint(virsh: Virsh, uuid: str) -> str:
    """A hash of the guest's stored configuration; empty if libvirt forgets the guest when it is shut off."""
    if not virsh.persistent(uuid):
        return ""
    return hashlib.sha256(virsh.xml(uuid, "--inactive").encode("utf-8")).hexdigest()


def refuse_arrived(records: Sequence[MigrationRecord], arrivals: Arrivals, inventory: Inventory) -> None:
    """Raises an error if a guest that should be rolled back is here: its devices would be taken from it.

    Migrated: it is here. InUse: it is neither running nor shut off, so it may be arriving. LibvirtError: it is unknown.
    """
    guests = [record.guest for record in records]
    for record in records:
        label = f"guest {record.guest} ({record.uuid})"
        try:
            here = arrivals.guest(record.uuid)
        except MdevError as error:
            text = f"whether {label} is on this host with the prepared devices is unknown: {error.message}"
            raise LibvirtError(f"{text}. Nothing was rolled back", guests=guests) from error
        if here is not None and _has_prepared_devices(here, record, inventory):
            _refuse(here, record, label, guests)


def _has_prepared_devices(here: GuestHere, record: MigrationRecord, inventory: Inventory) -> bool:
    """Whether the guest uses the prepared devices. A guest without devices was prepared without any."""
    prepared = frozenset(record.targets(inventory.ids_by_key).values())
    return not record.devices or bool(here.devices(inventory) & prepared)


def _refuse(here: GuestHere, record: MigrationRecord, label: str, guests: list[str]) -> None:
    if here.state == RUNNING:
        text = "runs on this host with the devices that were prepared for it, so it has arrived. Commit the migration"
        raise Migrated(f"{label} {text}. Nothing was rolled back", guests=guests)
    if here.is_active:
        text = (
            f"is {here.state} on this host with the devices that were prepared for it, so it may be arriving. "
            "Nothing was rolled back. If it has arrived, commit the migration. Otherwise end the migration on "
            f"{record.source} ('virsh domjobabort --domain {record.uuid}') and roll back again"
        )
        raise InUse(f"{label} {text}", guests=guests)
    if not record.running or here.definition != record.definition:
        text = (
            "is defined on this host with the devices that were prepared for it. Nothing was rolled back. "
            f"If it is no longer on {record.source}, commit the migration. Otherwise remove its configuration from "
            f"this host ('virsh undefine --domain {record.uuid}') and roll back again"
        )
        raise Migrated(f"{label} {text}", guests=guests)
