# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests as libvirt's command virsh reports them. Every host that runs guests has it, so nothing else is needed.

virsh takes the text after --domain as the id of a running guest first, then as a UUID, and then as a name
(virshLookupDomainInternal). A guest called "5" is therefore not found by its name if another guest has the id 5, so
guests are listed once, and named by their UUID everywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from .._host.tool import run_tool
from .._model.errors import LibvirtError, did_you_mean
from .._xml.domain_cpu import DomainCpu
from .job_info import JobInfo, parse_job_info

_SECONDS = 120.0
# libvirt's protocol has no text above 4 MiB: REMOTE_STRING_MAX in remote_protocol.x. A list of guests has many texts.
_MAX_BYTES = 16 << 20
# The output of 'virsh version' in English.
_LIBVIRT = re.compile(r"^Running against daemon: (\S+)", re.MULTILINE)
_QEMU = re.compile(r"^Running hypervisor: QEMU (\S+)", re.MULTILINE)
# A line of 'virsh list --uuid --name'. Old versions of virsh pad the name with spaces.
_GUEST = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) (.*)")
# VIR_ERR_CPU_INCOMPATIBLE in libvirt's virerror.c. The reason follows after a colon.
_INCOMPATIBLE = "the CPU is incompatible with host CPU"

SHUT_OFF = "shut off"
RUNNING = "running"


@dataclass(frozen=True)
class Virsh:
    """virsh with a connection URI. seconds: the deadline of each call."""

    uri: str
    seconds: float = _SECONDS

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

    def job(self, uuid: str) -> JobInfo:
        """The guest's current job."""
        return parse_job_info(_text(self._run("domjobinfo", "--domain", uuid)))

    def completed_job(self, uuid: str) -> JobInfo:
        """The guest's last job, if libvirt has it. After a migration, the destination has it too."""
        return parse_job_info(_text(self._run("domjobinfo", "--domain", uuid, "--completed", "--keep-completed")))

    def abort_job(self, uuid: str) -> None:
        """Aborts the guest's current job."""
        self._run("domjobabort", "--domain", uuid)

    def suspend(self, uuid: str) -> None:
        """Stops the guest. libvirt lets it run again when its migration has ended at the destination."""
        self._run("suspend", "--domain", uuid)

    def resume(self, uuid: str) -> None:
        """Lets the guest run again."""
        self._run("resume", "--domain", uuid)

    def set_max_downtime(self, uuid: str, milliseconds: int) -> None:
        """Sets how long the guest may be stopped at the end of its migration."""
        self._run("migrate-setmaxdowntime", "--domain", uuid, "--downtime", str(milliseconds))

    def cpu_problem(self, cpu: DomainCpu) -> str:
        """Why the hypervisor here can't provide a guest's CPU; empty if it can. Raises LibvirtError if that is unknown.

        With --error, libvirt reports an incompatible CPU as an error with the missing features (virsh(1)).
        """
        facts = {"--virttype": cpu.virttype, "--arch": cpu.arch, "--machine": cpu.machine}
        options = [text for name, value in facts.items() if value for text in (name, value)]
        try:
            compare = ("hypervisor-cpu-compare", "--file", "/dev/stdin", "--error")
            self._run(*compare, *options, text=cpu.xml)
        except LibvirtError as error:
            if _INCOMPATIBLE not in error.message:
                raise
            return error.message.partition(_INCOMPATIBLE)[2].lstrip(": ") or "it is incompatible with the CPU here"
        return ""

    def _run(self, *argv: str, text: str = "") -> bytes:
        command = ["virsh", "--quiet", "--connect", self.uri, *argv]
        action = f"'{' '.join(command)}'"
        try:
            answer = run_tool(command, self.seconds, text, _MAX_BYTES, stop_at_most=True)
        except FileNotFoundError as error:
            raise LibvirtError(
                f"{action} failed: virsh is not installed on this host. Install libvirt's client tools"
            ) from error
        except OSError as error:
            raise LibvirtError(f"{action} could not be started: {error}") from error
        if answer.is_cut:
            raise LibvirtError(
                f"{action} printed more than {_MAX_BYTES} bytes and was stopped. libvirt does not print so much: "
                "check which program is called virsh on this host"
            )
        if answer.code is None:
            raise LibvirtError(
                f"{action} timed out after {self.seconds:.0f} s. Check that libvirt's daemon is running and responsive",
                timed_out=True,
            )
        if answer.code != 0:
            raise LibvirtError(f"{action} failed: {_text(answer.errors).strip()}", exit_code=answer.code)
        return answer.output


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
