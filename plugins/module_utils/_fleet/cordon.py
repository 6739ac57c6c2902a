# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cordon mark of a host: a file that keeps guests and new devices away from it, also after a reboot.

A mark that can't be read counts as a mark: a host is only taken for open if it certainly is.
"""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from typing import Any, Optional

from .._host.atomic_files import remove_file, write_whole
from .._host.paths import Host
from .._host.reader import errno_text, read_regular
from .._model.errors import FileError

_PLACE = ("var", "lib", "vfio-mdev", "cordon.json")
_FORMAT = 1
_MODE = 0o600
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Cordon:
    """A mark. since: the time at which it was set, in UTC; None if the file can't be read."""

    reason: str
    since: Optional[str]

    def as_result(self) -> dict[str, Optional[str]]:
        """The mark as results show it."""
        return {"reason": self.reason, "since": self.since}


def cordon_path(host: Host) -> str:
    """The path of the mark."""
    return host.beside(*_PLACE)


def read_cordon(host: Host) -> Optional[Cordon]:
    """The mark. None if the host has none."""
    path = cordon_path(host)
    try:
        fields: dict[str, Any] = json.loads(read_regular(path, _MAX_BYTES).decode("utf-8"))
        if fields["format"] != _FORMAT:
            raise ValueError(f"its format {fields['format']} is unknown")
        return Cordon(str(fields["reason"]), str(fields["since"]))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        problem = errno_text(error)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        problem = f"{type(error).__name__}: {error}"
    return Cordon(f"{path} exists and can't be read ({problem})", None)


def changed_cordon(before: Optional[Cordon], reason: Optional[str], now: str) -> Optional[Cordon]:
    """The mark as it should be. reason: None if there should be no mark. A mark with the same reason keeps its time."""
    if reason is None:
        return None
    return (
        before if before is not None and before.since is not None and before.reason == reason else Cordon(reason, now)
    )


def write_cordon(host: Host, cordon: Optional[Cordon]) -> None:
    """Writes the mark, or removes it. Raises FileError."""
    path = cordon_path(host)
    try:
        if cordon is None:
            remove_file(path)
        else:
            text = json.dumps({"format": _FORMAT, **cordon.as_result()}, indent=2, sort_keys=True)
            write_whole(path, f"{text}\n".encode(), _MODE)
    except OSError as error:
        verb = "removing" if cordon is None else "writing"
        raise FileError(
            f"{verb} the cordon mark {path} failed with {errno_text(error)}", path=path, errno=error.errno
        ) from error
