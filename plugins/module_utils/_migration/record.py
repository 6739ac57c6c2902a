# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a prepared guest on a migration's destination, and its file.

The record describes the state before the preparation, so that new devices can be removed again, even after a crash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from .._host.atomic_files import remove_file, sweep, write_whole
from .._host.reader import errno_text, read_bytes
from .._model.errors import FileError
from .._model.framework import HOSTDEV_MDEV
from .._model.inventory import Inventory
from .._xml.domain import guest_file_name

_FORMAT = 1


@dataclass(frozen=True)
class RecordedDevice:
    """A device of the guest at the destination, and its state there before anything was prepared.

    source: its name in the guest's XML at the source, a UUID or a function
    parent: the parent on which it was active then; empty if it was not active
    """

    source: str
    key: str
    type_id: str
    parent: str
    was_defined: bool
    hostdev_type: str = HOSTDEV_MDEV

    @property
    def was_active(self) -> bool:
        """Whether the device was in the kernel."""
        return bool(self.parent)


@dataclass(frozen=True)
class MigrationRecord:
    """A guest that the destination is prepared for, until it is committed or rolled back.

    source:   the host that it comes from
    running:  whether it will be migrated live
    boot_id:  the destination's boot: devices that were only active are gone after the next
    log_fingerprint: the state of the guest's QEMU log here. It changes when the guest is started here, as each attempt
              to migrate it does
    """

    guest: str
    source: str
    running: bool
    boot_id: str
    log_fingerprint: str
    devices: tuple[RecordedDevice, ...] = ()

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
        devices = tuple(RecordedDevice(**device) for device in fields.pop("devices"))
        return MigrationRecord(**fields, devices=devices)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileError(
            f"the migration record {path} can't be read: {error}. Nothing was changed. The record lists the devices "
            "that were created for a guest. Compare it with the devices on this host, then remove it manually",
            path=path,
        ) from error


def recorded(source: str, key: str, type_id: str, hostdev_type: str, inventory: Inventory) -> RecordedDevice:
    """The record of a device, before anything is changed."""
    device = inventory.device(key)
    return RecordedDevice(
        source=source,
        key=key,
        type_id=type_id,
        parent=device.parent if device is not None else "",
        was_defined=bool(inventory.definitions_of(key)),
        hostdev_type=hostdev_type,
    )


def carried_on(new: RecordedDevice, old: MigrationRecord) -> RecordedDevice:
    """The device as an earlier run recorded it, if it did: that run may have created the current device."""
    for device in old.devices:
        if device.key == new.key:
            return replace(new, parent=device.parent, was_defined=device.was_defined)
    return new


_MODE = 0o600
_SUFFIX = ".json"


@dataclass(frozen=True)
class MigrationRecords:
    """The folder with the records."""

    folder: str

    def read(self) -> dict[str, MigrationRecord]:
        """All records by guest."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._refused("reading the folder of", self.folder, error) from error
        paths = (os.path.join(self.folder, name) for name in names if name.endswith(_SUFFIX) and name[0] != ".")
        records = (self._read(path) for path in paths)
        return {record.guest: record for record in records}

    def put(self, after: Iterable[MigrationRecord], gone: Iterable[str] = ()) -> None:
        """Writes records and removes others. Only under the host's lock."""
        sweep(self.folder)
        for record in after:
            path = self._path(record.guest)
            try:
                write_whole(path, record_text(record).encode("utf-8"), _MODE)
            except OSError as error:
                raise self._refused("writing", path, error) from error
        for guest in gone:
            path = self._path(guest)
            try:
                remove_file(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._refused("removing", path, error) from error

    def _read(self, path: str) -> MigrationRecord:
        try:
            data = read_bytes(path)
        except OSError as error:
            raise self._refused("reading", path, error) from error
        return parse_record(data.decode("utf-8", "replace"), path)

    def _path(self, guest: str) -> str:
        return os.path.join(self.folder, guest_file_name(guest, _SUFFIX))

    @staticmethod
    def _refused(verb: str, path: str, error: OSError) -> FileError:
        text = f"{verb} the migration record {path} failed with {errno_text(error)}. No device was changed"
        return FileError(text, path=path, errno=error.errno)
