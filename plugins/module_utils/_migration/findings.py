# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings about a migration, and the checks of the two hosts' versions. Pure.

Versions: libvirt accepts another UUID in the destination's XML since 8.6, QEMU enables the migration protocol of VFIO
devices by default since 8.1, and the kernel has it since 5.18 (docs/devel/migration/vfio.rst, nova's vGPU guide).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

from .._guests.migratable import Unsupported
from .._model.versions import Versions
from .._xml.domain import command_line_problem
from .request import Destination, Guest, MigrationRequest

_NEEDED = {"kernel": (5, 18), "libvirt": (8, 6), "qemu": (8, 1)}


@dataclass(frozen=True)
class Finding:
    """The result of one check. severity: info if it is ok, else error (nothing is done) or warning."""

    check: str
    ok: bool
    severity: str
    detail: str
    guest: Optional[str] = None

    @classmethod
    def passed(cls, check: str, detail: str, guest: Optional[str] = None) -> Finding:
        """The check passed."""
        return cls(check, True, "info", detail, guest)

    @classmethod
    def warning(cls, check: str, detail: str, guest: Optional[str] = None) -> Finding:
        """Something that the operator should know."""
        return cls(check, False, "warning", detail, guest)

    @classmethod
    def error(cls, check: str, detail: str, guest: Optional[str] = None) -> Finding:
        """Something that makes the migration impossible."""
        return cls(check, False, "error", detail, guest)

    @property
    def is_error(self) -> bool:
        """Whether this finding prevents the migration."""
        return not self.ok and self.severity == "error"


def finding_results(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """Findings as results show them."""
    return [
        {
            "check": finding.check,
            "guest": finding.guest,
            "ok": finding.ok,
            "severity": finding.severity,
            "detail": finding.detail,
        }
        for finding in findings
    ]


def host_findings(request: MigrationRequest, destination: Destination) -> Iterator[Finding]:
    """Checks the versions of the two hosts. They matter if a running guest has devices."""
    matters = any(guest.running and guest.devices for guest in request.guests)
    sides = {"destination": destination.versions, "source": request.versions or Versions()}
    for name, needed in _NEEDED.items():
        for side, versions in sides.items():
            yield _version_finding(name, side, getattr(versions, name), needed, matters)
    yield from _driver_findings(request, destination)
    # It may be the record of one of the guests, or protect a device that would be recreated.
    yield from (Finding.error("record", problem) for problem in destination.unreadable)


def guest_findings(guest: Guest, request: MigrationRequest, destination: Destination) -> Iterator[Finding]:
    """Checks whether the guest is known, and neither here nor expected from elsewhere."""
    if not guest.uuid:
        detail = "its UUID is unknown. Give uuid, or xml with a <uuid>: libvirt's names and ids can be confused"
        yield Finding.error("guest", detail, guest.name)
    yield _existing_guest_finding(guest, destination)
    yield from _record_findings(guest, request, destination)
    yield from _guest_device_findings(guest)
    yield from _driver_support_findings(guest, destination.unsupported)


def _existing_guest_finding(guest: Guest, destination: Destination) -> Finding:
    if guest.uuid in destination.running:
        detail = "it already runs here. If it is the migrated guest, commit the migration"
        return Finding.error("guest", detail, guest.name)
    other_name = destination.guests.get(guest.uuid, guest.name)
    if other_name != guest.name:
        detail = f"a guest with its UUID {guest.uuid} is called '{other_name}' here, so libvirt refuses the migration"
        return Finding.error("guest", detail, guest.name)
    others = [uuid for uuid, name in destination.guests.items() if name == guest.name and uuid != guest.uuid]
    if others:
        detail = (
            f"another guest with this name, {others[0]}, exists here, so libvirt refuses the migration. "
            "Rename one of them"
        )
        return Finding.error("guest", detail, guest.name)
    return Finding.passed("guest", "no guest with this name runs here", guest.name)


def _record_findings(guest: Guest, request: MigrationRequest, destination: Destination) -> Iterator[Finding]:
    for record in destination.records.values():
        if record.uuid == guest.uuid and record.source != request.source:
            detail = f"it is already prepared from {record.source}. Commit or roll back that first"
            yield Finding.error("record", detail, guest.name)
        elif record.uuid != guest.uuid and record.guest == guest.name:
            detail = (
                f"another guest with this name, {record.uuid}, is already prepared from {record.source}. "
                "Commit or roll back that first"
            )
            yield Finding.error("record", detail, guest.name)


def _guest_device_findings(guest: Guest) -> Iterator[Finding]:
    if guest.error:
        yield Finding.error("devices", f"its devices are unknown: {guest.error}", guest.name)
    elif guest.command_line:
        yield Finding.error("devices", command_line_problem(guest.command_line), guest.name)
    elif not guest.devices:
        yield Finding.passed("devices", "it has no mediated devices, so nothing needs to be prepared", guest.name)


def _driver_support_findings(guest: Guest, unsupported_here: Unsupported) -> Iterator[Finding]:
    """QEMU blocks the live migration of a guest with such a device (docs/devel/migration/vfio.rst).

    Unknown is not a finding: QEMU decides, and libvirt reports it at once.
    """
    several = len(guest.devices) > 1
    for device in guest.devices if guest.running else ():
        driver = f"driver {device.driver}" if device.driver else "its driver"
        alone = f"{device.label} can't be migrated live: {driver}"
        together = f"{device.label} can't be migrated live with other devices: {driver} does not support P2P"
        problems = {
            f"{alone} on the source does not support it": device.can_migrate is False,
            f"{alone} here does not support it": device.driver in unsupported_here.migration,
            f"{together} on the source": several and device.can_quiesce is False,
            f"{together} here": several and device.driver in unsupported_here.p2p,
        }
        detail = next((problem for problem, holds in problems.items() if holds), "")
        if detail:
            yield Finding.error("can_migrate", f"{detail}. Shut the guest off, and migrate it then", guest.name)


def _version_finding(name: str, side: str, version: Optional[str], needed: tuple[int, int], matters: bool) -> Finding:
    text = f"{needed[0]}.{needed[1]}"
    if version is None:
        return Finding.warning(name, f"the version of {name} on the {side} is unknown. {text} or newer is required")
    if _numbers(version) >= needed:
        return Finding.passed(name, f"{name} {version} on the {side}")
    detail = f"{name} {version} on the {side} can't migrate mediated devices live: {text} or newer is required"
    if matters:
        return Finding.error(name, detail)
    return Finding.passed(name, f"{detail}. This does not matter, because no running guest has devices")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _driver_findings(request: MigrationRequest, destination: Destination) -> Iterator[Finding]:
    source = request.versions.drivers if request.versions is not None else {}
    running = (guest for guest in request.guests if guest.running)
    names = {device.driver for guest in running for device in guest.devices if device.driver}
    for name in sorted(names):
        versions = (source.get(name), destination.versions.drivers.get(name))
        detail = f"driver {name}: {versions[0] or 'no version'} on the source, {versions[1] or 'no version'} here"
        if versions[0] == versions[1]:
            yield Finding.passed("driver", detail)
        elif request.drivers_must_match:
            yield Finding.error("driver", f"{detail}. Set driver_match: ignore if the vendor supports this")
        else:
            yield Finding.warning("driver", detail)
