# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prepares a migration's destination for guests, then commits or rolls back. Each is a run with a journal.

The record is on disk before the first step and describes the state before it. It is marked as pending until the last
step is done, so that a run after a crash knows that devices may be incomplete.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

from .._frameworks.current import readable_attributes
from .._frameworks.device_files import DeviceFiles
from .._guests.migratable import Unsupported
from .._guests.versions import read_versions
from .._guests.virsh import Virsh
from .._host.paths import Host
from .._host.reader import Reader, machine_id
from .._model.errors import FileError, MdevError, NotMigrated
from .._model.inventory import Attribute, Inventory, LiveAttribute
from .._model.request import DeviceRequest
from .._runner.context import Journal
from .arrival import Arrivals, definition_fingerprint, refuse_arrived
from .assess import Assessment, assess, restored
from .record import MigrationRecord, MigrationRecords
from .request import Destination, Libvirt, MigrationRequest

PENDING = "pending"


class MigrationJournal(Journal):
    """A run for guests that migrate. It asks libvirt before the host is locked, because virsh may take minutes."""

    def look(self) -> None:
        """Asks libvirt for everything that the run needs to know about guests."""
        raise NotImplementedError


@dataclass
class Preparation(MigrationJournal):
    """Creates the devices that the guests need. Each record is written before, and marked as done afterwards."""

    request: MigrationRequest
    host: Host
    virsh: Virsh
    records: MigrationRecords
    stored: dict[str, MigrationRecord] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    pending: list[MigrationRecord] = field(default_factory=list)
    found: Optional[Assessment] = None
    libvirt: Optional[Libvirt] = None

    def look(self) -> None:
        """The versions, and the guests here."""
        guests = self.virsh.guests("--all")
        here = [guest.uuid for guest in self.request.guests if guest.uuid in guests]
        self.libvirt = Libvirt(
            versions=read_versions(self.host, self.virsh),
            guests=guests,
            running=frozenset(self.virsh.guests()),
            definitions={uuid: definition_fingerprint(self.virsh, uuid) for uuid in here},
        )

    def requests(self, inventory: Inventory) -> Sequence[DeviceRequest]:
        """The devices that the guests need. Raises NotReady, with all findings."""
        self.stored, problems = self.records.scan()
        self.unreadable = tuple(problem.message for problem in problems)
        self.found = assess(self.request, self._destination(inventory))
        return self.found.requests

    def _destination(self, inventory: Inventory) -> Destination:
        device_files = DeviceFiles(self.host)

        def live(key: str, names: tuple[str, ...]) -> tuple[LiveAttribute, ...]:
            device = inventory.device(key)
            return device_files.live_attributes(device, names) if device is not None else ()

        def current(key: str, names: tuple[str, ...]) -> tuple[Attribute, ...]:
            device = inventory.device(key)
            if device is None:
                return ()
            stored = (
                attribute.name
                for definition in inventory.definitions_of(device.key)
                for attribute in definition.attributes
            )
            return readable_attributes(device_files, device, (*stored, *names))

        if self.libvirt is None:
            self.look()
        libvirt = self.libvirt or Libvirt()
        return Destination(
            machine_id=machine_id(self.host) if self.request.derives_uuids else "",
            boot_id=boot_id(self.host),
            inventory=inventory,
            versions=libvirt.versions,
            guests=libvirt.guests,
            running=libvirt.running,
            unsupported=Unsupported.by_drivers_of(inventory.devices, self.host),
            records=self.stored,
            unreadable=self.unreadable,
            fingerprints={guest.name: qemu_log_fingerprint(self.host, guest.name) for guest in self.request.guests},
            definitions=libvirt.definitions,
            live=live,
            current=current,
        )

    @property
    def changed(self) -> bool:
        """Whether a record needs to be written."""
        return bool(self._open())

    def _open(self) -> list[MigrationRecord]:
        return [
            record for record in (self.found.records if self.found else ()) if record != self.stored.get(record.uuid)
        ]

    def begin(self, steps: bool) -> None:
        """Before the first step."""
        self.pending = list(self.found.records) if self.found and steps else self._open()
        try:
            self.records.put(replace(record, log_fingerprint=PENDING) for record in self.pending)
        except FileError as error:
            self.fail()
            raise error.extended(after=". No device was changed") from error

    def end(self) -> None:
        """After the last step."""
        try:
            self.records.put(self.pending)
        except FileError as error:
            after = ". The devices are prepared, but their records are still marked as incomplete: prepare again"
            raise error.extended(after=after) from error

    def fail(self) -> None:
        """Restores the records after everything was rolled back."""
        new = [record.uuid for record in self.pending]
        self.records.put([self.stored[uuid] for uuid in new if uuid in self.stored])
        self.records.put([], [uuid for uuid in new if uuid not in self.stored])


@dataclass
class Ending(MigrationJournal):
    """The part that commit and rollback share: the records that they close.

    guests: names or UUIDs; empty means all guests that are prepared from the source
    source: the host that guests come from; None means any host
    """

    guests: tuple[str, ...]
    source: Optional[str]
    host: Host
    virsh: Virsh
    records: MigrationRecords
    closing: tuple[MigrationRecord, ...] = ()
    arrivals: Optional[Arrivals] = None

    def look(self) -> None:
        """The prepared guests, if they are here."""
        arrivals = Arrivals.read(self.virsh)
        prepared, _problems = self.records.scan()
        arrivals.ask(record.uuid for record in prepared.values() if self._selects(record))
        self.arrivals = arrivals

    def select(self) -> Arrivals:
        """Finds the records to close. Returns libvirt's guests here."""
        if self.arrivals is None:
            self.look()
        records, problems = self.records.scan()
        self.closing = tuple(record for record in records.values() if self._selects(record))
        selected = {name for record in self.closing for name in (record.guest, record.uuid)}
        if problems and not (self.guests and set(self.guests) <= selected):
            # It may be the record of a guest that is selected.
            raise problems[0].extended(after=". To continue with other guests, name them in guest_names")
        return self.arrivals or Arrivals.read(self.virsh)

    def _selects(self, record: MigrationRecord) -> bool:
        named = not self.guests or record.guest in self.guests or record.uuid in self.guests
        return named and self.source in (None, record.source)

    @property
    def changed(self) -> bool:
        """Whether there is a record to close."""
        return bool(self.closing)

    def end(self) -> None:
        """After the last step."""
        try:
            self.records.put([], [record.uuid for record in self.closing])
        except FileError as error:
            raise error.extended(after=". The devices are done, but a record is left: run this again") from error


@dataclass
class Rollback(Ending):
    """Restores the state before the preparation.

    close_records: whether the records are closed; if not, the same rollback can be repeated
    """

    close_records: bool = True

    def requests(self, inventory: Inventory) -> Sequence[DeviceRequest]:
        """The devices to restore. Records from before the last boot have none: their active devices are gone, and those
        that exist now were created by others. Raises Migrated or InUse if a guest is here with its devices.
        """
        arrivals = self.select()
        refuse_arrived(self.closing, arrivals, inventory)
        current_boot = boot_id(self.host) if self.closing else ""
        return [
            request
            for record in self.closing
            if record.boot_id == current_boot
            for request in restored(record, inventory, self._was_attempted(record))
        ]

    def _was_attempted(self, record: MigrationRecord) -> bool:
        return record.log_fingerprint != qemu_log_fingerprint(self.host, record.guest)

    @property
    def changed(self) -> bool:
        """Whether there is a record to close."""
        return self.close_records and super().changed

    def end(self) -> None:
        """After the last step. A device that was recreated is not stale any more."""
        if self.close_records:
            super().end()
            return
        fingerprints = {record.uuid: qemu_log_fingerprint(self.host, record.guest) for record in self.closing}
        self.records.put(replace(record, log_fingerprint=fingerprints[record.uuid]) for record in self.closing)


@dataclass
class Commit(Ending):
    """Checks that the guests are here, and defines their devices if this is requested."""

    persistent: bool = False
    autostart: bool = False

    def requests(self, inventory: Inventory) -> Sequence[DeviceRequest]:
        """The devices to define. Raises NotMigrated if a guest is not here with its devices."""
        arrivals = self.select()
        self._check_migrated(arrivals, inventory)
        if not self.persistent:
            return []
        return [
            DeviceRequest(
                key=device.key,
                active=inventory.device(device.key) is not None,
                persistent=True,
                autostart=self.autostart,
                type=device.type_id,
                label=f"guest {record.guest}, device {device.source}",
            )
            for record in self.closing
            for device in record.devices
        ]

    def _check_migrated(self, arrivals: Arrivals, inventory: Inventory) -> None:
        known = {name for uuid, guest in arrivals.names.items() for name in (uuid, guest)}
        known |= {name for record in self.closing for name in (record.uuid, record.guest)}
        problems = [f"guest {name} does not exist on this host" for name in self.guests if name not in known]
        problems += [text for record in self.closing for text in self._problems(record, arrivals, inventory)]
        if problems:
            raise NotMigrated(
                f"{'; '.join(dict.fromkeys(problems))}. Nothing was changed. Commit migrated guests, "
                "roll back the others",
                guests=[record.guest for record in self.closing],
            )

    def _problems(self, record: MigrationRecord, arrivals: Arrivals, inventory: Inventory) -> list[str]:
        try:
            here = arrivals.guest(record.uuid)
        except MdevError as error:
            return [f"guest {record.guest} ({record.uuid}) is unknown: {error.message}"]
        if here is None:
            return [f"guest {record.guest} ({record.uuid}) does not exist on this host"]
        if record.running and not here.is_active and here.definition == record.definition:
            return [f"guest {record.guest} is shut off here as before, but was prepared for live migration"]
        actual = here.devices(inventory)
        prepared = set(record.targets(inventory.ids_by_key).values())
        if actual == prepared:
            return []
        return [
            f"guest {record.guest} has the devices {', '.join(sorted(actual)) or 'none'} here, "
            f"but was prepared with {', '.join(sorted(prepared)) or 'none'}"
        ]


def boot_id(host: Host) -> str:
    """The id of the current boot (random(4)). Without it, nobody knows which devices are from this boot."""
    reader = Reader()
    text = reader.text(host.beside("proc", "sys", "kernel", "random", "boot_id"))
    if text is None:
        reasons = "; ".join(f"{unread.path}: {unread.error}" for unread in reader.unread)
        raise FileError(
            f"the id of the current boot can't be read ({reasons}). It decides which devices are from this boot. "
            "Nothing was changed"
        )
    return text


def qemu_log_fingerprint(host: Host, guest: str) -> str:
    """The state of the guest's QEMU log. libvirt writes to it whenever it starts the guest, also for a migration."""
    try:
        status = os.stat(host.beside("var", "log", "libvirt", "qemu", f"{guest}.log"))
    except OSError:
        return "no log"
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
