# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors of this collection, one class per kind. Messages are for operators, details are for playbooks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Optional, Union

# The modules execute this file of ours first. Others can't be imported by an older Python, which some versions of
# ansible-core still accept. ansible.module_utils.basic refuses what is below its own minimum in the same way.
if sys.version_info < (3, 9):  # noqa: UP036
    sys.stdout.write(
        '{"failed": true, "msg": "The collection vfio.mdev needs Python 3.9 or newer on the host, and this is Python '
        f'{sys.version_info[0]}.{sys.version_info[1]}. Set ansible_python_interpreter to a newer one."}}\n'
    )
    raise SystemExit(1)

Fact = Union[None, bool, int, float, str, "list[str]", "list[dict[str, object]]", "dict[str, object]"]


class MdevError(Exception):
    """Base of all errors of this collection.

    The message says what was tried, on what, what came back, what that means and what to do.

    details:     additional facts for playbooks
    rolled_back: whether all previous steps could be undone; None if there were none
    problems:    the errors that this error combines, each with the label of its entry
    """

    kind: ClassVar[str] = "error"
    # Attributes of an error class that are also returned as results.
    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str, **details: Fact) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.rolled_back: Optional[bool] = None
        self.problems: tuple[Problem, ...] = ()

    def extended(self, before: str = "", after: str = "", rolled_back: Optional[bool] = None) -> MdevError:
        """The same error with more text around its message."""
        error = type(self).__new__(type(self))
        error.__dict__.update(self.__dict__)
        error.message = f"{before}{self.message}{after}"
        error.args = (error.message,)
        if rolled_back is not None:
            error.rolled_back = rolled_back
        return error

    def as_result(self) -> dict[str, Fact]:
        """The error as a failing module returns it."""
        result: dict[str, Fact] = {"kind": self.kind, **self.details}
        result.update({field: getattr(self, field) for field in self.fields})
        if self.rolled_back is not None:
            result["rolled_back"] = self.rolled_back
        if self.problems:
            problems: list[dict[str, object]] = [
                {"entry": problem.label, "message": problem.error.message, **problem.error.as_result()}
                for problem in self.problems
            ]
            result["problems"] = problems
        return result


@dataclass(frozen=True)
class Problem:
    """One of several errors. label: the entry or device that it is about."""

    label: str
    error: MdevError


class InvalidInput(MdevError):
    """The user's input can't be valid on any host."""

    kind = "invalid_input"


class NotFound(MdevError):
    """A parent or type that this host does not have."""

    kind = "not_found"


class Ambiguous(MdevError):
    """A name that matches more than one thing on this host."""

    kind = "ambiguous"


class NoRoom(MdevError):
    """No candidate has an instance of the type left."""

    kind = "no_room"


class Mismatch(MdevError):
    """The UUID exists with another type or parent, or an attribute that can't be changed differs."""

    kind = "mismatch"


class InUse(MdevError):
    """A process holds the device."""

    kind = "in_use"


class HasDevices(MdevError):
    """A card's virtual functions would be removed together with the devices on them, although nobody uses these."""

    kind = "has_devices"


class VfsMissing(MdevError):
    """A card does not have the number of virtual functions that it was given."""

    kind = "vfs_missing"


class Removing(MdevError):
    """The device is half removed: the kernel waits for its user."""

    kind = "removing"


class KernelRefused(MdevError):
    """A write to sysfs failed. errno is the kernel's, attribute the device's attribute that was written."""

    kind = "kernel_refused"
    fields = ("errno", "attribute")

    def __init__(self, message: str, errno: Optional[int], attribute: Optional[str] = None, **details: Fact) -> None:
        super().__init__(message, **details)
        self.errno = errno
        self.attribute = attribute


class FileError(MdevError):
    """A file on disk could not be read, written or removed."""

    kind = "file_error"


class NoAutostart(MdevError):
    """A device should start at boot, but nothing on the host would start it."""

    kind = "no_autostart"


class BackendFailed(MdevError):
    """A tool reported an error. answer: the tool's unchanged output. exit_code: None if it has none."""

    kind = "backend_failed"
    fields = ("backend", "answer", "exit_code")

    def __init__(
        self, message: str, backend: str, answer: str = "", exit_code: Optional[int] = None, **details: Fact
    ) -> None:
        super().__init__(message, **details)
        self.backend = backend
        self.answer = answer
        self.exit_code = exit_code


class LockTimeout(MdevError):
    """Another run works on this host's devices and did not finish in time."""

    kind = "lock_timeout"


class MultipleProblems(MdevError):
    """More than one problem was found before anything was changed."""

    kind = "multiple"


class NotReady(MdevError):
    """A migration's destination can't take the guests. checks: all findings, as results show them."""

    kind = "not_ready"

    def __init__(self, message: str, checks: list[dict[str, object]]) -> None:
        super().__init__(message)
        self.checks = checks


class NotMigrated(MdevError):
    """A guest is not at the destination with the devices that were prepared for it."""

    kind = "not_migrated"


class Migrated(MdevError):
    """A guest that should be rolled back is at the destination, with the devices that were prepared for it."""

    kind = "migrated"


class LibvirtError(MdevError):
    """libvirt did not report its guests. The message contains virsh's unchanged output."""

    kind = "libvirt_error"


class Interrupted(MdevError):
    """A signal interrupted the run."""

    kind = "interrupted"


class Unexpected(MdevError):
    """An error that no code here expects: no memory, no file handles, or a bug in this collection."""

    kind = "unexpected"

    @classmethod
    def from_exception(cls, error: Exception) -> Unexpected:
        """The error for any other exception."""
        return cls(f"an unexpected error occurred: {type(error).__name__}: {error}")


class MissingLibrary(MdevError):
    """A Python library that the request needs is not on the host."""

    kind = "missing_library"


def closest_name(name: str, known: Iterable[Optional[str]], likeness: float = 0.85) -> Optional[str]:
    """The known name that was probably meant. likeness: from 0 to 1, how much of the names must be equal."""
    # Imported here since most runs have no error.
    from difflib import get_close_matches

    by_lower = {candidate.lower(): candidate for candidate in known if candidate}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=likeness)
    # A name without the vendor: A100-8C for NVIDIA A100-8C.
    close = close or [candidate for candidate in by_lower if candidate.endswith(f" {name.lower()}")]
    return by_lower[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[Optional[str]]) -> str:
    """The known name that was probably meant, as a sentence with a space before it. Empty if none is like it."""
    closest = closest_name(name, known)
    return f" Did you mean '{closest}'?" if closest else ""


def combine_errors(problems: Sequence[Problem]) -> MdevError:
    """One error for all problems. The devices of one entry usually have the same problem."""
    alike: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        alike.setdefault((problem.label, problem.error.kind), []).append(problem.error.message)
    about: dict[str, list[str]] = {}
    for (label, _kind), messages in alike.items():
        about.setdefault(_first_message(messages), []).append(label)
    lines = [_labelled(labels, text) for text, labels in about.items()]
    if len(lines) > 1:
        combined: MdevError = MultipleProblems(f"{len(lines)} problems, nothing was changed. {' | '.join(lines)}")
    else:
        combined = problems[0].error.extended()
        combined.message = lines[0]
        combined.args = (lines[0],)
    if len(problems) > 1:
        combined.problems = tuple(problems)
    return combined


def _first_message(messages: Sequence[str]) -> str:
    others = len(set(messages)) - 1
    return messages[0] + (f". {others} more devices of this entry fail for the same reason" if others else "")


def _labelled(labels: Sequence[str], text: str) -> str:
    known = dict.fromkeys(label for label in labels if label)
    return f"{', '.join(known)}: {text}" if known else text
