# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of a guest's migration: libvirt on the source is asked first, then the job, then the destination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .._guests.job_info import JobInfo
from .._guests.jobs import Jobs, JobState
from .._guests.virsh import RUNNING, Virsh
from .._model.errors import LibvirtError, MdevError

# idle: not started; unknown: libvirt did not answer, so the next look decides.
IDLE, RUNS, MIGRATED, FAILED, UNKNOWN = "idle", "running", "migrated", "failed", "unknown"
_PAUSED = "paused"
# What virsh prints if libvirt has no such guest.
_NO_GUEST = "failed to get domain"


@dataclass(frozen=True)
class Observation:
    """A guest's migration. state: of the guest on the source, None if it is not there. downtime_limit: ms."""

    status: str
    state: Optional[str] = None
    error: str = ""
    job: Optional[JobInfo] = None
    downtime_limit: Optional[int] = None

    def as_result(self, uuid: str) -> dict[str, Any]:
        """As a module returns it."""
        job = self.job.as_result() if self.job is not None else None
        return {
            "uuid": uuid,
            "status": self.status,
            "state": self.state,
            "error": self.error or None,
            "job": job,
            "downtime_limit": self.downtime_limit,
        }


class Observer:
    """Looks at guests' migrations. After libvirt has missed one deadline, it is not asked again in the same run."""

    def __init__(self, virsh: Virsh, jobs: Jobs) -> None:
        self._virsh = virsh
        self._jobs = jobs
        self._silent: Optional[LibvirtError] = None

    def observe(self, guest: Mapping[str, Any]) -> Observation:
        """The guest's migration now."""
        uuid = guest["uuid"]
        # The job first: if it has ended by now, what libvirt answers is the final state.
        process = self._jobs.state(uuid)
        try:
            state = self._state(uuid)
            job = self._job(uuid) if state is not None and guest["running"] else None
        except MdevError as error:
            # Also while virsh runs: it may wait for libvirt too.
            return Observation(UNKNOWN, error=error.message)
        if process.is_alive or (job is not None and job.is_migration):
            return Observation(RUNS, state, job=job, downtime_limit=process.downtime)
        if state is None:
            return self._gone(guest, process)
        return self._here(guest, process, state)

    def _state(self, uuid: str) -> Optional[str]:
        """The guest's state, None if libvirt does not have it."""
        if self._silent is not None:
            raise self._silent
        try:
            return self._virsh.state(uuid)
        except LibvirtError as error:
            if _NO_GUEST in error.message:
                return None
            if error.details.get("timed_out"):
                self._silent = error
            raise

    def _job(self, uuid: str) -> Optional[JobInfo]:
        try:
            return self._virsh.job(uuid)
        except LibvirtError as error:
            if _NO_GUEST in error.message or "domain is not running" in error.message:
                # It has left or was shut off since the last question.
                return None
            raise

    def _gone(self, guest: Mapping[str, Any], process: JobState) -> Observation:
        """The source does not have the guest any more."""
        destination = Virsh(guest["desturi"], self._virsh.seconds)
        try:
            state = destination.state(guest["uuid"])
        except LibvirtError as error:
            if process.code == 0:
                return Observation(MIGRATED)
            if _NO_GUEST in error.message:
                text = f"libvirt has it neither here nor at {guest['desturi']}. {process.errors}"
                return Observation(FAILED, error=text.strip())
            return Observation(UNKNOWN, error=error.message)
        if guest["running"] and state == _PAUSED and process.code != 0:
            return Observation(UNKNOWN, error=f"it is paused at {guest['desturi']}, so it may be arriving")
        return Observation(MIGRATED, job=_completed(destination, guest["uuid"]))

    def _here(self, guest: Mapping[str, Any], process: JobState, state: str) -> Observation:
        """The source has the guest, and nothing migrates it."""
        if process.was_suspended and state == _PAUSED:
            self._virsh.resume(guest["uuid"])
            self._jobs.forget_suspended(guest["uuid"])
            state = RUNNING
        if not process.exists:
            return Observation(IDLE, state)
        if process.is_lost:
            text = "virsh was ended before it had migrated the guest, and libvirt does not migrate it"
            return Observation(FAILED, state, text)
        text = process.errors or f"virsh ended with {process.code}, but the guest is still on the source"
        return Observation(FAILED, state, text)


def _completed(virsh: Virsh, uuid: str) -> Optional[JobInfo]:
    """libvirt's figures of the migration. It may have forgotten them."""
    try:
        return virsh.completed_job(uuid)
    except LibvirtError:
        return None
