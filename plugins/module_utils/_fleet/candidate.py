# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which guests of another host this host could take, each by itself, by the rules that prepare a migration.

Nothing is changed and no lock is taken. Whether several guests fit together is decided where the answers of all hosts
are (see _planning/moves.py), by the same planner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

from .._migration.findings import Finding, finding_results
from .._migration.record import MigrationRecord
from .._migration.request import Guest
from .._migration.run import Preparation
from .._model.errors import LibvirtError, MdevError, NotReady
from .._model.inventory import Inventory
from .._model.request import DeviceRequest
from .._xml.domain_cpu import DomainCpu


@dataclass(frozen=True)
class GuestAnswer:
    """Whether this host could take a guest.

    checks:      the findings, as results show them
    requests:    the devices that need a place here; empty if a check failed
    is_prepared: whether the guest is already prepared here, so that it may be on its way
    """

    guest: Guest
    checks: tuple[dict[str, Any], ...]
    requests: tuple[DeviceRequest, ...]
    is_prepared: bool

    @property
    def fits(self) -> bool:
        """Whether no check failed."""
        return not any(check["severity"] == "error" and not check["ok"] for check in self.checks)


@dataclass(frozen=True)
class Answer:
    """The answers for all guests, and the records of guests that are prepared here."""

    guests: tuple[GuestAnswer, ...]
    records: tuple[MigrationRecord, ...]


def answer(whole: Preparation, cpus: Mapping[str, DomainCpu], inventory: Inventory) -> Answer:
    """The answers for all guests of the preparation. cpus: the guests' CPUs, by the guests' UUIDs."""
    request = whole.request
    whole.look()
    stored, _problems = whole.records.scan()
    compared: dict[DomainCpu, Finding] = {}
    guests: list[GuestAnswer] = []
    for guest in request.guests:
        record = stored.get(guest.uuid)
        cpu = cpus.get(guest.uuid)
        if cpu is not None and cpu not in compared:
            compared[cpu] = _compare(cpu, whole)
        alone = replace(whole, request=replace(request, guests=(guest,)))
        guests.append(
            _guest_answer(
                alone,
                guest,
                inventory,
                _for_guest(compared[cpu], guest) if cpu is not None else None,
                record is not None and record.source == request.source,
            )
        )
    return Answer(tuple(guests), tuple(stored[uuid] for uuid in sorted(stored)))


def _guest_answer(
    preparation: Preparation, guest: Guest, inventory: Inventory, cpu: Optional[Finding], is_prepared: bool
) -> GuestAnswer:
    requests: tuple[DeviceRequest, ...] = ()
    try:
        requests = tuple(request for request in preparation.requests(inventory) if _needs_place(request, inventory))
        checks = finding_results(preparation.found.findings if preparation.found is not None else ())
    except NotReady as error:
        checks = error.checks
    except MdevError as error:
        checks = finding_results([Finding.error("request", error.message, guest.name)])
    if cpu is not None:
        checks = [*checks, *finding_results([cpu])]
    return GuestAnswer(guest, tuple(checks), requests, is_prepared)


def _needs_place(request: DeviceRequest, inventory: Inventory) -> bool:
    """Whether the device has to be created. One that is here already and stays is counted as it is."""
    return request.present and (inventory.device(request.key) is None or request.recreate_active)


def _compare(cpu: DomainCpu, preparation: Preparation) -> Finding:
    try:
        problem = preparation.virsh.cpu_problem(cpu)
    except LibvirtError as error:
        return Finding.warning("cpu", f"libvirt can't compare its CPU with the CPU here: {error.message}")
    if problem:
        return Finding.error("cpu", f"the hypervisor here can't provide its CPU: {problem}")
    return Finding.passed("cpu", "the hypervisor here can provide its CPU")


def _for_guest(finding: Finding, guest: Guest) -> Finding:
    """The comparison as a finding about a guest. A guest that is shut off can be moved, but not started."""
    if finding.is_error and not guest.running:
        return Finding.warning(finding.check, f"{finding.detail}. It could not be started here", guest.name)
    return replace(finding, guest=guest.name)
