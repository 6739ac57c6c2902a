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

from .._frameworks.device_files import DeviceFiles
from .._guests.versions import read_versions
from .._guests.virsh import SHUT_OFF, Virsh
from .._host.paths import Host
from .._host.reader import Reader, machine_id
from .._model.errors import NotMigrated
from .._model.inventory import Inventory, LiveAttribute
from .._model.request import DeviceRequest
from .._runner.context import Journal
from .._xml.domain import parse_domain
from .assess import Assessment, assess, restored
from .record import MigrationRecord, MigrationRecords
from .request import Destination, MigrationRequest

PENDING = "pending"


@dataclass
class Preparation(Journal):
    """Creates the devices that the guests need. Each record is written before, and marked as done afterwards."""

    request: MigrationRequest
    host: Host
    virsh: Virsh
    records: MigrationRecords
    stored: dict[str, MigrationRecord] = field(default_factory=dict)
    pending: list[MigrationRecord] = field(default_factory=list)
    found: Optional[Assessment] = None

    def requests(self, inventory: Inventory) -> Sequence[DeviceRequest]:
        """The devices that the guests need. Raises NotReady, with all findings."""
        self.stored = self.records.read()
        self.found = assess(self.request, self._destination(inventory))
        return self.found.requests

    def _destination(self, inventory: Inventory) -> Destination:
        device_files = DeviceFiles(self.host)

        def live(key: str, names: tuple[str, ...]) -> tuple[LiveAttribute, ...]:
            device = inventory.device(key)
            return device_files.live_attributes(device, names) if device is not None else ()

        return Destination(
            machine_id=machine_id(self.host) if self.request.derives_uuids else "",
            boot_id=boot_id(self.host),
            inventory=inventory,
            versions=read_versions(self.host, self.virsh),
            guests=frozenset(self.virsh.names()),
            records=self.stored,
            fingerprints={guest.name: qemu_log_fingerprint(self.host, guest.name) for guest in self.request.guests},
            live=live,
        )

    @property
    def changed(self) -> bool:
        """Whether a record needs to be written."""
        return bool(self._open())

    def _open(self) -> list[MigrationRecord]:
        return [
            record for record in (self.found.records if self.found else ()) if record != self.stored.get(record.guest)
        ]

    def begin(self, steps: bool) -> None:
        """Before the first step."""
        self.pending = list(self.found.records) if self.found and steps else self._open()
        self.records.put(replace(record, log_fingerprint=PENDING) for record in self.pending)

    def end(self) -> None:
        """After the last step."""
        self.records.put(self.pending)

    def fail(self) -> None:
        """Restores the records after everything was rolled back."""
        new = [record.guest for record in self.pending]
        self.records.put([self.stored[name] for name in new if name in self.stored])
        self.records.put([], [name for name in new if name not in self.stored])


@dataclass
class Ending(Journal):
    """The part that commit and rollback share: the records that they close.

    guests: names; empty means all guests that are prepared from the source
    source: the host that guests come from; None means any host
    """

    guests: tuple[str, ...]
    source: Optional[str]
    host: Host
    virsh: Virsh
    records: MigrationRecords
    closing: tuple[MigrationRecord, ...] = ()

    def select(self) -> None:
        """Finds the records to close."""
        self.closing = tuple(
            record
            for record in self.records.read().values()
            if (not self.guests or record.guest in self.guests) and self.source in (None, record.source)
        )

    @property
    def changed(self) -> bool:
        """Whether there is a record to close."""
        return bool(self.closing)

    def end(self) -> None:
        """After the last step."""
        self.records.put([], [record.guest for record in self.closing])


@dataclass
class Rollback(Ending):
    """Restores the state before the preparation."""

    def requests(self, inventory: Inventory) -> Sequence[DeviceRequest]:
        """The devices to restore. Records from before the last boot have none: their active devices are gone, and those
        that exist now were created by others.
        """
        self.select()
        current_boot = boot_id(self.host)
        return [
            request
            for record in self.closing
            if record.boot_id == current_boot
            for request in restored(record, inventory, self._was_attempted(record))
        ]

    def _was_attempted(self, record: MigrationRecord) -> bool:
        return record.log_fingerprint != qemu_log_fingerprint(self.host, record.guest)


@dataclass
class Commit(Ending):
    """Checks that the guests are here, and defines their devices if this is requested."""

    persistent: bool = False
    autostart: bool = False

    def requests(self, inventory: Inventory) -> Sequence[DeviceRequest]:
        """The devices to define. Raises NotMigrated if a guest is not here with its devices."""
        self.select()
        self._check_migrated(inventory)
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

    def _check_migrated(self, inventory: Inventory) -> None:
        existing = set(self.virsh.names("--all"))
        unknown = [name for name in self.guests if name not in existing]
        missing = [record.guest for record in self.closing if record.guest not in existing]
        problems = [f"guest {name} does not exist on this host" for name in dict.fromkeys((*unknown, *missing))]
        problems += [
            text for record in self.closing if record.guest in existing for text in self._problems(record, inventory)
        ]
        if problems:
            raise NotMigrated(
                f"{'; '.join(problems)}. Nothing was changed. Commit migrated guests, roll back the others",
                guests=[record.guest for record in self.closing],
            )

    def _problems(self, record: MigrationRecord, inventory: Inventory) -> list[str]:
        state = self.virsh.state(record.guest)
        if record.running and state == SHUT_OFF:
            return [f"guest {record.guest} is shut off here, but was prepared for live migration"]
        domain = parse_domain(self.virsh.xml(record.guest))
        vgpus = {device.function for device in domain.functions if inventory.gives_functions(device.function)}
        actual = {device.uuid for device in domain.mdevs} | vgpus
        prepared = set(record.targets(inventory.ids_by_key).values())
        if actual == prepared:
            return []
        return [
            f"guest {record.guest} has the devices {', '.join(sorted(actual)) or 'none'} here, "
            f"but was prepared with {', '.join(sorted(prepared)) or 'none'}"
        ]


def boot_id(host: Host) -> str:
    """The id of the current boot (random(4))."""
    return Reader().text(host.beside("proc", "sys", "kernel", "random", "boot_id")) or ""


def qemu_log_fingerprint(host: Host, guest: str) -> str:
    """The state of the guest's QEMU log. libvirt writes to it whenever it starts the guest, also for a migration."""
    try:
        status = os.stat(host.beside("var", "log", "libvirt", "qemu", f"{guest}.log"))
    except OSError:
        return "no log"
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
