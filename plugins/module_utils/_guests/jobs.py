# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Migration jobs on this host: a process of 'virsh migrate' per guest that outlives Ansible, and its files.

The process has a lock on the file "lock" of its folder, which ends with it, whatever ends it. It writes its exit code
to the file "rc" as the last step. A job without both was lost: libvirt has to be asked what became of the migration.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from .._host.atomic_files import make_folder
from .._host.reader import check_folder, errno_text
from .._model.errors import FileError, LibvirtError

_SCRIPT = 'virsh "$@"; echo $? >rc.new && mv rc.new rc'
_MAX_BYTES = 16384
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class JobState:
    """A job's process.

    exists:   whether there was one since the last boot
    code:     its exit code; None while it runs, and if it was lost
    downtime: the downtime limit that was set last, in ms
    """

    exists: bool
    is_alive: bool = False
    code: Optional[int] = None
    errors: str = ""
    was_suspended: bool = False
    downtime: Optional[int] = None

    @property
    def is_lost(self) -> bool:
        """Whether the process was killed."""
        return self.exists and not self.is_alive and self.code is None


@dataclass(frozen=True)
class Jobs:
    """The folder with the jobs. A guest's job is named by its UUID."""

    folder: str

    def start(self, uuid: str, argv: Sequence[str]) -> bool:
        """Starts virsh with these arguments. Returns whether it did: not if a job of the guest already runs."""
        folder = self._path(uuid)
        try:
            self._make_folder(folder)
            lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                if not _locked(lock):
                    return False
                self._spawn(folder, lock, argv)
            finally:
                os.close(lock)
        except FileNotFoundError as error:
            raise LibvirtError(f"the migration was not started: {error}") from error
        except OSError as error:
            raise FileError(f"starting a job in {folder} failed with {errno_text(error)}", path=folder) from error
        return True

    def state(self, uuid: str) -> JobState:
        """The guest's job."""
        folder = self._path(uuid)
        try:
            lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return JobState(exists=False)
        except OSError as error:
            raise FileError(f"reading the job in {folder} failed with {errno_text(error)}", path=folder) from error
        try:
            is_alive = not _locked(lock)
        finally:
            os.close(lock)
        # After the lock was tried: a process that ends in between has written its code by now.
        code, downtime = (self._text(folder, name).strip() for name in ("rc", "downtime"))
        return JobState(
            exists=True,
            is_alive=is_alive,
            code=int(code) if code.isdigit() and not is_alive else None,
            errors=self._text(folder, "err").strip(),
            was_suspended=os.path.exists(os.path.join(folder, "suspended")),
            downtime=int(downtime) if downtime.isdigit() else None,
        )

    def mark_suspended(self, uuid: str) -> None:
        """Remembers that the guest was suspended, so that it runs again if its migration fails."""
        self._note(uuid, "suspended", "")

    def note_downtime(self, uuid: str, milliseconds: int) -> None:
        """Remembers the downtime limit, for a run that watches the migration later."""
        self._note(uuid, "downtime", str(milliseconds))

    def forget_suspended(self, uuid: str) -> None:
        """The guest runs again."""
        _remove(os.path.join(self._path(uuid), "suspended"))

    def _note(self, uuid: str, name: str, text: str) -> None:
        path = os.path.join(self._path(uuid), name)
        try:
            handle = os.open(path, _NEW, 0o600)
            try:
                os.write(handle, text.encode("ascii"))
            finally:
                os.close(handle)
        except OSError as error:
            raise FileError(f"writing {path} failed with {errno_text(error)}", path=path) from error

    def _make_folder(self, folder: str) -> None:
        make_folder(os.path.dirname(self.folder))
        for path in (self.folder, folder):
            if not os.path.isdir(path):
                os.mkdir(path, 0o700)
            check_folder(path)

    @staticmethod
    def _spawn(folder: str, lock: int, argv: Sequence[str]) -> None:
        for name in ("rc", "rc.new", "suspended", "downtime"):
            _remove(os.path.join(folder, name))
        output, errors = (os.open(os.path.join(folder, name), _NEW, 0o600) for name in ("out", "err"))
        try:
            # Its own session: neither Ctrl-C nor the end of the SSH connection reaches it. It has no deadline.
            # run_command would wait for it.
            subprocess.Popen(  # pylint: disable=ansible-bad-function
                ["/bin/sh", "-c", f"umask 077; {_SCRIPT}", "sh", *argv],
                cwd=folder,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                pass_fds=[lock],
                start_new_session=True,
            )
        finally:
            os.close(output)
            os.close(errors)

    @staticmethod
    def _text(folder: str, name: str) -> str:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                return file.read(_MAX_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise FileError(f"reading {folder}/{name} failed with {errno_text(error)}", path=folder) from error

    def _path(self, uuid: str) -> str:
        return os.path.join(self.folder, uuid)


def _locked(handle: int) -> bool:
    """Takes the lock, if no process has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
