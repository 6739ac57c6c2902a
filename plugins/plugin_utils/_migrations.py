# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several migrations from one source: which one starts when, what is done about each, and what became of it.

It remembers one Migration per guest, however long they take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol

from ansible_collections.vfio.mdev.plugins.module_utils._migration.convergence import (
    ABORT,
    CONTINUE,
    DEFAULT_MAX_DOWNTIME,
    DEFAULT_MAX_DOWNTIME_OF_DEVICES,
    RAISE_DOWNTIME,
    SUSPEND,
    Decision,
    Limits,
    Sample,
    Watch,
    bytes_text,
    decide,
)

MIGRATED, FAILED, GOES_ON, UNKNOWN, NOT_STARTED = "migrated", "failed", "running", "unknown", "not_started"
# How long a migration may take to end after it was aborted.
_ABORT_SECONDS = 120.0
# Of a reason in a line that is shown again and again.
_MAX_CHARACTERS = 300

Result = dict[str, Any]


class NoAnswer(Exception):
    """The source did not answer, so nobody knows whether the step was done."""


class Step(Protocol):
    """Runs a step on the source for guests, and returns the module's result. Raises NoAnswer."""

    def __call__(self, name: str, guests: list[Result], **more: Any) -> Result: ...


@dataclass
class Migration:
    """A guest's migration.

    answered_at: when libvirt on the source last reported on it
    is_ready:    whether it can be started: it does not run yet, and the guest is on the source
    watch:       while it runs
    is_started:  whether it was started for sure, by this task or before
    aborted_at:  when it was aborted first, and abort_reason why
    outcome:     None until it has ended
    """

    guest: Result
    limits: Limits
    answered_at: float
    is_ready: bool = False
    watch: Optional[Watch] = None
    is_started: bool = False
    aborted_at: Optional[float] = None
    abort_reason: str = ""
    outcome: Optional[str] = None
    error: Optional[str] = None
    figures: Optional[Result] = None

    @property
    def label(self) -> str:
        """The guest and where it goes."""
        return f"{self.guest['name']} to {self.guest['destination']}"

    def end(self, outcome: str, error: Optional[str] = None, figures: Optional[Result] = None) -> None:
        """It has an outcome."""
        self.outcome, self.error, self.figures, self.watch = outcome, error, figures, None


class Migrations:
    """The migrations of a task. show: prints a line. clock: seconds that never jump."""

    def __init__(
        self,
        params: Mapping[str, Any],
        step: Step,
        show: Callable[[str], object],
        clock: Callable[[], float],
        sleep: Callable[[float], object],
    ) -> None:
        self._params = params
        self._step = step
        self._show = show
        self._clock = clock
        self._sleep = sleep
        now = clock()
        self.migrations = [Migration(guest, _limits(guest, params), now) for guest in params["guests"]]
        self.changed = False

    def run(self) -> None:
        """Returns when all have an outcome."""
        while True:
            self._look()
            self._start()
            if not self._unfinished():
                return
            self._sleep(self._params["watch_interval"])

    def _unfinished(self) -> list[Migration]:
        return [migration for migration in self.migrations if migration.outcome is None]

    def _look(self) -> None:
        """Asks the source about all that may run, in one step."""
        looked_at = [migration for migration in self._unfinished() if not migration.is_ready]
        if not looked_at:
            return
        try:
            returned = self._step("query", [migration.guest for migration in looked_at])
        except NoAnswer as error:
            self._without_answer(looked_at, str(error))
            return
        if returned.get("failed"):
            self._refused(looked_at, returned["msg"])
            return
        observed = {observation["uuid"]: observation for observation in returned["guests"]}
        for migration in looked_at:
            self._observed(migration, observed[migration.guest["uuid"]])

    def _without_answer(self, looked_at: Sequence[Migration], reason: str) -> None:
        """The source, or libvirt on it, did not answer. That says nothing about the migrations."""
        now, most, text = self._clock(), self._params["unreachable_timeout"], " ".join(reason.split())[:_MAX_CHARACTERS]
        waiting = [migration for migration in looked_at if now - migration.answered_at < most]
        if waiting:
            silent = max(now - migration.answered_at for migration in waiting)
            labels = ", ".join(migration.guest["name"] for migration in waiting)
            self._show(f"{labels}: no answer for {silent:.0f} s, waiting for up to {most:.0f} s: {text}")
        for migration in looked_at:
            silent = now - migration.answered_at
            if silent >= most:
                migration.end(
                    UNKNOWN,
                    f"the source did not answer for {silent:.0f} s: {text}. The migration may go on there. Nothing was "
                    "rolled back. Run this again to watch it further",
                )

    def _refused(self, looked_at: Sequence[Migration], reason: str) -> None:
        """The step itself failed. What runs goes on."""
        self._without_answer([migration for migration in looked_at if migration.watch is not None], reason)
        for migration in looked_at:
            if migration.watch is None and migration.outcome is None:
                migration.end(FAILED, reason)

    def _observed(self, migration: Migration, observation: Result) -> None:
        status = observation["status"]
        if status == "unknown":
            self._without_answer([migration], observation["error"])
            return
        migration.answered_at = self._clock()
        if status == "running":
            self._running(migration, observation)
        elif status == "migrated":
            migration.end(MIGRATED, figures=observation["job"])
            self._show(f"{migration.label}: migrated{_downtime_text(observation['job'])}")
        elif observation["state"] is not None and not migration.is_started:
            # It was not started, or a former task has seen it fail.
            migration.is_ready, migration.watch = True, None
        else:
            error = observation["error"] or "its job is gone. Was the source rebooted?"
            reason = f"it was aborted, because {migration.abort_reason}" if migration.abort_reason else error
            migration.end(FAILED, reason)
            self._show(f"{migration.label}: failed: {reason}")

    def _running(self, migration: Migration, observation: Result) -> None:
        now, job = self._clock(), observation["job"] or {}
        migration.is_started = True
        if migration.watch is None:
            migration.watch = Watch.begin(now, migration.limits, observation["downtime_limit"])
        self._show(
            f"{migration.label}: {_progress_text(job, now - migration.watch.began_at, migration.watch.downtime)}"
        )
        if migration.aborted_at is not None:
            self._abort(migration)
            return
        sample = Sample(now, job.get("remaining"), observation["state"] == "paused")
        watch, decision = decide(migration.watch, sample, migration.limits)
        if decision.step == CONTINUE or self._done(migration, decision):
            migration.watch = watch

    def _done(self, migration: Migration, decision: Decision) -> bool:
        """Whether it was done. Else the next look decides again."""
        if decision.step == ABORT:
            migration.aborted_at, migration.abort_reason = self._clock(), decision.reason
            self._show(f"{migration.label}: aborting, because {decision.reason}")
            self._abort(migration)
            return True
        if decision.step == RAISE_DOWNTIME:
            self._show(
                f"{migration.label}: raising the downtime limit to {decision.downtime} ms, because {decision.reason}"
            )
            return self._try("max_downtime", migration, max_downtime=decision.downtime)
        self._show(f"{migration.label}: suspending the guest, because {decision.reason}")
        return self._try(SUSPEND, migration)

    def _abort(self, migration: Migration) -> None:
        """Aborts again until it has ended, or for too long."""
        if self._clock() - (migration.aborted_at or 0.0) < _ABORT_SECONDS:
            self._try(ABORT, migration)
            return
        text = f"it should have been aborted, because {migration.abort_reason}, but it goes on"
        migration.end(GOES_ON, f"{text} {_ABORT_SECONDS:.0f} s later. Nothing was rolled back")

    def _try(self, name: str, migration: Migration, **more: Any) -> bool:
        try:
            returned = self._step(name, [migration.guest], **more)
        except NoAnswer as error:
            self._show(f"{migration.label}: no answer from the source: {error}")
            return False
        if returned.get("failed"):
            self._show(f"{migration.label}: {returned['msg']}")
            return False
        return True

    def _start(self) -> None:
        """Starts what may start now. After a failure, nothing may."""
        for migration in self.migrations:
            if not migration.is_ready or migration.outcome is not None:
                continue
            failed = [other for other in self.migrations if other.outcome not in (None, MIGRATED, NOT_STARTED)]
            if failed:
                migration.end(NOT_STARTED, f"not started, because {failed[0].guest['name']} was not migrated")
            elif self._has_room(migration):
                self._start_migration(migration)

    def _has_room(self, migration: Migration) -> bool:
        """Those that nobody has looked at yet may be running."""
        running = [other for other in self._unfinished() if not other.is_ready]
        destination = migration.guest["destination"]
        beside = sum(other.guest["destination"] == destination for other in running)
        most: int = self._params["parallel"]
        per_destination: int = self._params["parallel_per_destination"] or most
        return len(running) < most and beside < per_destination

    def _start_migration(self, migration: Migration) -> None:
        migration.is_ready = False
        self.changed = True
        limits = migration.limits
        migration.watch = Watch.begin(self._clock(), limits)
        try:
            returned = self._step("start", [migration.guest], max_downtime=limits.max_downtime)
        except NoAnswer as error:
            # The next look finds out.
            self._show(f"{migration.label}: no answer from the source: {error}")
            return
        if returned.get("failed"):
            migration.end(FAILED, returned["msg"])
            self._show(f"{migration.label}: failed: {returned['msg']}")
            return
        migration.is_started = True
        self._show(f"{migration.label}: started, with a downtime limit of {migration.watch.downtime} ms")


def _limits(guest: Mapping[str, Any], params: Mapping[str, Any]) -> Limits:
    default = DEFAULT_MAX_DOWNTIME_OF_DEVICES if guest["has_devices"] else DEFAULT_MAX_DOWNTIME
    return Limits(
        max_downtime=params["max_downtime"] or default,
        stall_timeout=params["stall_timeout"],
        timeout=params["timeout"],
        on_timeout=params["on_timeout"],
    )


def _progress_text(job: Mapping[str, Any], elapsed: float, downtime: int) -> str:
    """One line: what is missing is not shown."""
    parts = [
        f"{bytes_text(job['remaining'])} left" if job.get("remaining") is not None else "no figures yet",
        f"{bytes_text(job['rate'])}/s" if job.get("rate") is not None else "",
        f"{job['dirty_rate']} pages/s changed" if job.get("dirty_rate") is not None else "",
        f"{elapsed:.0f} s",
        f"downtime limit {downtime} ms",
    ]
    return ", ".join(part for part in parts if part)


def _downtime_text(job: Optional[Mapping[str, Any]]) -> str:
    return f" with a downtime of {job['downtime']} ms" if job and job.get("downtime") is not None else ""


def outcome_results(migrations: Migrations) -> list[Result]:
    """What became of each guest. Those that were not touched are not started."""
    return [
        {
            "uuid": migration.guest["uuid"],
            "name": migration.guest["name"],
            "destination": migration.guest["destination"],
            "outcome": migration.outcome or NOT_STARTED,
            "error": migration.error,
            "downtime": (migration.figures or {}).get("downtime"),
            "duration": (migration.figures or {}).get("elapsed"),
            "transferred": (migration.figures or {}).get("processed"),
        }
        for migration in migrations.migrations
    ]
