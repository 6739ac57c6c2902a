# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests as libvirt's command virsh reports them. Every host that runs guests has it, so nothing else is needed.

virsh takes the text after --domain as the id of a running guest first, then as a UUID, and then as a name
(virshLookupDomainInternal). A guest called "5" is therefore not found by its name if another guest has the id 5, so
guests are listed once, and named by their UUID everywhere else.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from .._model.errors import LibvirtError, did_you_mean

_SECONDS = 120.0
# The output of 'virsh version' in the C locale.
_LIBVIRT = re.compile(r"^Running against daemon: (\S+)", re.MULTILINE)
_QEMU = re.compile(r"^Running hypervisor: QEMU (\S+)", re.MULTILINE)
# A line of 'virsh list --uuid --name'. Old versions of virsh pad the name with spaces.
_GUEST = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) (.*)")

SHUT_OFF = "shut off"
RUNNING = "running"


@dataclass(frozen=True)
class Virsh:
    """virsh with a connection URI."""

    uri: str

    def versions(self) -> tuple[Optional[str], Optional[str]]:
        """The versions of libvirt's daemon and of QEMU. None if virsh does not report them."""
        text = _text(self._run("version", "--daemon"))
        libvirt, qemu = _LIBVIRT.search(text), _QEMU.search(text)
        return libvirt.group(1) if libvirt else None, qemu.group(1) if qemu else None

    def guests(self, *options: str) -> dict[str, str]:
        """The names of the running guests by their UUIDs. With --all, those of all guests."""
        lines = [line for line in _text(self._run("list", "--uuid", "--name", *options)).splitlines() if line.strip()]
        matches = [(line, _GUEST.fullmatch(line)) for line in lines]
        unknown = [line for line, match in matches if match is None]
        if unknown:
            raise LibvirtError(
                f"'virsh list --uuid --name' printed a line that is not a UUID and a name: '{unknown[0]}'"
            )
        return {match.group(1): match.group(2).rstrip() for _line, match in matches if match is not None}

    def state(self, uuid: str) -> str:
        """running, paused, shut off, ..."""
        return _text(self._run("domstate", "--domain", uuid)).strip()

    def persistent(self, uuid: str) -> bool:
        """Whether libvirt keeps the guest when it is not running."""
        information = _text(self._run("dominfo", "--domain", uuid))
        return re.search(r"^Persistent:\s+yes", information, re.MULTILINE) is not None

    def xml(self, uuid: str, *options: str) -> str:
        """The guest's XML. libvirt writes it in UTF-8."""
        try:
            return self._run("dumpxml", "--domain", uuid, *options).decode("utf-8")
        except UnicodeDecodeError as error:
            raise LibvirtError(f"the XML of guest {uuid} is not UTF-8: {error}", guest=uuid) from error

    def _run(self, *argv: str) -> bytes:
        command = ["virsh", "--quiet", "--connect", self.uri, *argv]
        action = f"'{' '.join(command)}'"
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise LibvirtError(
                f"{action} failed: virsh is not installed on this host. Install libvirt's client tools"
            ) from error
        except OSError as error:
            raise LibvirtError(f"{action} could not be started: {error}") from error
        except subprocess.TimeoutExpired as error:
            raise LibvirtError(
                f"{action} timed out after {_SECONDS:.0f} s. Check that libvirt's daemon is running and responsive"
            ) from error
        if done.returncode != 0:
            raise LibvirtError(f"{action} failed: {_text(done.stderr).strip()}", exit_code=done.returncode)
        return done.stdout


def matching_guests(texts: Sequence[str], guests: Mapping[str, str]) -> list[str]:
    """The UUIDs of the guests with these names or UUIDs, each once. guests: names by UUID."""
    matches = {text: _matching(text, guests) for text in texts}
    unknown = [text for text in texts if not matches[text]]
    if unknown:
        raise LibvirtError(
            f"guests not found on this host: {', '.join(unknown)}.{did_you_mean(unknown[0], guests.values())} "
            f"Existing guests: {', '.join(sorted(guests.values())) or 'none'}",
            guests=unknown,
        )
    ambiguous = {text: uuids for text, uuids in matches.items() if len(uuids) > 1}
    if ambiguous:
        text, uuids = next(iter(ambiguous.items()))
        raise LibvirtError(f"'{text}' is the name or UUID of several guests: {', '.join(uuids)}", guests=[text])
    return list(dict.fromkeys(uuids[0] for uuids in matches.values()))


def _matching(text: str, guests: Mapping[str, str]) -> list[str]:
    return [uuid for uuid, name in guests.items() if name == text or uuid == text.lower()]


def _text(output: bytes) -> str:
    """The output as text. virsh prints names as UTF-8, whatever the locale of this process is."""
    return output.decode("utf-8", "replace")
