# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a prepared guest on a migration's destination, and its file.

The record describes the state before the preparation, so that new devices can be removed again, even after a crash.
Its file is named by the guest's UUID.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from .._host.atomic_files import remove_file, sweep, write_whole
from .._host.reader import check_folder, errno_text, read_regular
from .._model.errors import FileError
from .._model.framework import HOSTDEV_MDEV
from .._model.inventory import Attribute, Inventory

_FORMAT = 1
_MODE = 0o600
_SUFFIX = ".json"
# Far more than the devices of a guest and their attributes need.
_MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class RecordedDevice:
    """A device of the guest at the destination, and its state there before anything was prepared.

    source: its name in the guest's XML at the source, a UUID or a function
    parent: the parent on which it was active then; empty if it was not active
    attributes: the values that it had then, if it was active
    """

    source: str
    key: str
    type_id: str
    parent: str
    was_defined: bool
    hostdev_type: str = HOSTDEV_MDEV
    attributes: tuple[Attribute, ...] = ()

    @property
    def was_active(self) -> bool:
        """Whether the device was in the kernel."""
        return bool(self.parent)


@dataclass(frozen=True)
class MigrationRecord:
    """A guest that the destination is prepared for, until it is committed or rolled back.

    guest:    the guest's name, for people
    uuid:     the guest's UUID
    source:   the host that it comes from
    running:  whether it will be migrated live
    boot_id:  the destination's boot: devices that were only active are gone after the next
    log_fingerprint: the state of the guest's QEMU log here. It changes when the guest is started here, as each attempt
              to migrate it does
    definition: the fingerprint of the guest's configuration here before; empty if libvirt had none
    """

    guest: str
    uuid: str
    source: str
    running: bool
    boot_id: str
    log_fingerprint: str
    devices: tuple[RecordedDevice, ...] = ()
    definition: str = ""

    def targets(self, ids: Mapping[str, str]) -> dict[str, str]:
        """The names of the guest's devices here, UUIDs or functions, by their names at the source.

        ids: the ids of devices that are here, by key
        """
        return {
            device.source: ids.get(device.key, device.key)
            for device in self.devices
            if device.hostdev_type == HOSTDEV_MDEV or device.key in ids
        }


def record_text(record: MigrationRecord) -> str:
    """The record as it is stored."""
    return json.dumps({"format": _FORMAT, **asdict(record)}, indent=2, sort_keys=True) + "\n"


def parse_record(text: str, path: str) -> MigrationRecord:
    """The record in a file's text."""
    try:
        fields: dict[str, Any] = json.loads(text)
        if fields.pop("format") != _FORMAT:
            raise ValueError("its format is unknown")
        devices = tuple(_recorded_device(**device) for device in fields.pop("devices"))
        record = MigrationRecord(**fields, devices=devices)
        if os.path.basename(path) != record_name(record.uuid):
            raise ValueError(f"it is the record of guest {record.uuid}")
        return record
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FileError(
            f"the migration record {path} can't be read: {error}. Nothing was changed. The record lists the devices "
            "that were created for a guest. Compare it with the devices on this host, then remove it manually",
            path=path,
        ) from error


def _recorded_device(attributes: list[dict[str, str]], **fields: Any) -> RecordedDevice:
    return RecordedDevice(**fields, attributes=tuple(Attribute(**attribute) for attribute in attributes))


def record_name(uuid: str) -> str:
    """The name of the file with a guest's record."""
    return uuid + _SUFFIX


def recorded(
    source: str, key: str, type_id: str, hostdev_type: str, inventory: Inventory, attributes: tuple[Attribute, ...]
) -> RecordedDevice:
    """The record of a device, before anything is changed. attributes: their current values if it is active."""
    device = inventory.device(key)
    return RecordedDevice(
        source=source,
        key=key,
        type_id=type_id,
        parent=device.parent if device is not None else "",
        was_defined=bool(inventory.definitions_of(key)),
        hostdev_type=hostdev_type,
        attributes=attributes,
    )


def carried_on(new: RecordedDevice, old: MigrationRecord) -> RecordedDevice:
    """The device as an earlier run recorded it, if it did: that run may have created the current device."""
    for device in old.devices:
        if device.key == new.key:
            return replace(new, parent=device.parent, was_defined=device.was_defined, attributes=device.attributes)
    return new


@dataclass(frozen=True)
class MigrationRecords:
    """The folder with the records."""

    folder: str

    def scan(self) -> tuple[dict[str, MigrationRecord], tuple[FileError, ...]]:
        """All records by the guest's UUID, and an error for each file that can't be read."""
        try:
            names = sorted(os.listdir(self.folder))
            # A record decides what a roll back removes.
            check_folder(self.folder)
        except FileNotFoundError:
            return {}, ()
        except OSError as error:
            raise self._refused("reading the folder of", self.folder, error) from error
        records: dict[str, MigrationRecord] = {}
        problems: list[FileError] = []
        for name in names:
            if not name.endswith(_SUFFIX) or name.startswith("."):
                continue
            try:
                record = self._read(os.path.join(self.folder, name))
                records[record.uuid] = record
            except FileError as error:
                problems.append(error)
        return records, tuple(problems)

    def read(self) -> dict[str, MigrationRecord]:
        """All records by the guest's UUID. Raises FileError if one of them can't be read."""
        records, problems = self.scan()
        for problem in problems:
            raise problem
        return records

    def put(self, after: Iterable[MigrationRecord], gone: Iterable[str] = ()) -> None:
        """Writes records and removes those of other guests, by UUID. Only under the host's lock."""
        sweep(self.folder)
        for record in after:
            path = self._path(record.uuid)
            try:
                write_whole(path, record_text(record).encode("utf-8"), _MODE)
            except OSError as error:
                raise self._refused("writing", path, error) from error
        for uuid in gone:
            path = self._path(uuid)
            try:
                remove_file(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._refused("removing", path, error) from error

    def _read(self, path: str) -> MigrationRecord:
        try:
            data = read_regular(path, _MAX_BYTES)
        except OSError as error:
            raise self._refused("reading", path, error) from error
        return parse_record(data.decode("utf-8", "replace"), path)

    def _path(self, uuid: str) -> str:
        return os.path.join(self.folder, record_name(uuid))

    @staticmethod
    def _refused(verb: str, path: str, error: OSError) -> FileError:
        text = f"{verb} the migration record {path} failed with {errno_text(error)}"
        return FileError(text, path=path, errno=error.errno)
