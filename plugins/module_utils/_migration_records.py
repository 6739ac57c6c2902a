# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The records of prepared guests on a destination's disk: one file a guest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from ._domain_xml import guest_file_name
from ._errors import FilesRefused
from ._files import remove_file, sweep, write_whole
from ._host import errno_text, read_bytes
from ._migration_record import MigrationRecord, parse_record, record_text

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
        return {one.guest: one for one in map(self._read, paths)}

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
    def _refused(verb: str, path: str, error: OSError) -> FilesRefused:
        text = f"{verb} the migration record {path} failed with {errno_text(error)}. No device was changed"
        return FilesRefused(text, path_tried=path, errno=error.errno)
