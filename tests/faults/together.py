# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several runs at once on a card that can't hold all they ask for, while somebody creates a device by hand."""

from __future__ import annotations

import random
import threading
from typing import Any

import mfusepy

from faults.bench import Answer, Bench, Run, Scenario, State
from faults.campaign import CONVERGED, DENIED, HANGS, LEFT, TRACEBACKS, Fault, Report, Row
from faults.scenarios import SMALL, VGPU

PROCESSES = 8
_CAPACITY = 4
_PATIENT = {"lock_timeout": 8}
_PERMITTED = ("no_room", "lock_timeout")
_BY_HAND = "eeeeeeee-2222-3333-4444-555555555555"


def runs(vgpus: bool, dice: random.Random) -> list[Run]:
    """One run of each process: a device or a set of its own, or a look at the host."""
    requests: list[Run] = []
    for number in range(PROCESSES):
        options: dict[str, Any] = {"type": VGPU if vgpus else SMALL, "autostart": False}
        if dice.random() < 0.15:
            requests.append(Run("mdev_info", {}))
        elif dice.random() < 0.5:
            devices = [{**options, "count": dice.randint(1, 2)}]
            requests.append(Run("mdev_set", {"name": f"tenant-{number}", "devices": devices, **_PATIENT}))
        else:
            requests.append(Run("mdev_device", {"name": f"device-{number}", **options, **_PATIENT}))
    return requests


def together(bench: Bench, scenario: Scenario, row: Row, report: Report, dice: random.Random) -> None:
    """One round with eight processes."""
    vgpus = "vGPU" in scenario.name
    bench.start(scenario)
    before = bench.state(scenario)
    chosen = runs(vgpus, dice)
    hand = None if vgpus else threading.Timer(dice.random() * 0.3, _by_hand, [bench])
    if hand is not None:
        hand.start()
    answers = bench.attempts(chosen)
    if hand is not None:
        hand.join()
    row.tried += 1
    faults = [*_bad_ends(chosen, answers), *_bad_state(bench.state(scenario), before, chosen, answers, vgpus)]
    lingering = bench.lingering()
    if lingering:
        faults.append((HANGS, f"{len(lingering)} processes stay"))
    for column, text in faults:
        fault = Fault(column, scenario.name, f"round {row.tried}", text)
        row.faults.append(fault)
        report(fault)
    row.converged += not faults


def _by_hand(bench: Bench) -> None:
    """What `mdevctl start` does: a write to `create` without any lock."""
    parent = bench.files.drivers[0].functions[2]  # type: ignore[attr-defined]
    try:
        parent._create(SMALL, _BY_HAND)
    except mfusepy.FuseOSError:
        return


def _bad_ends(chosen: list[Run], answers: list[Answer]) -> list[tuple[str, str]]:
    faults = []
    for run, answer in zip(chosen, answers):
        kind = (answer.result or {}).get("error", {}).get("kind")
        if answer.hung:
            faults.append((HANGS, f"{run.module_name} did not end"))
        elif answer.traceback:
            faults.append((TRACEBACKS, answer.message[-300:]))
        elif answer.failed and not _permitted(kind, answer):
            faults.append((DENIED, f"{run.module_name} failed with {kind}: {answer.message[:300]}"))
    return faults


def _permitted(kind: str | None, answer: Answer) -> bool:
    """Also the driver's own refusal, if the place was taken by hand between reading and writing."""
    return kind in _PERMITTED or (kind == "kernel_refused" and "EIO" in answer.message)


def _bad_state(
    state: State, before: State, chosen: list[Run], answers: list[Answer], vgpus: bool
) -> list[tuple[str, str]]:
    granted = sum(
        len((answer.result or {}).get("devices") or [(answer.result or {}).get("device")])
        for run, answer in zip(chosen, answers)
        if not answer.failed and run.module_name != "mdev_info"
    )
    if vgpus:
        taken = sum(bool(values[0]) for values in state.hardware.values()) - 1
        capacity = len(state.hardware) - 1
    else:
        taken = len(state.devices) - len(before.devices) - (_BY_HAND in state.devices)
        capacity = _CAPACITY - (_BY_HAND in state.devices)
    folder = "/etc/vfio-mdev.d/" if vgpus else "/etc/mdevctl.d/"
    stored = [path for path in state.effects if path.startswith(folder) and path not in before.effects]
    faults = []
    if taken != granted:
        faults.append((CONVERGED, f"{taken} devices exist, {granted} were reported"))
    wants_one = any(run.module_name == "mdev_device" and answer.failed for run, answer in zip(chosen, answers))
    if wants_one and taken < capacity:
        faults.append((CONVERGED, f"{taken} of {capacity} are taken although runs were refused for lack of room"))
    if len(stored) != granted:
        faults.append((LEFT, f"{len(stored)} definitions exist for {granted} devices: {stored}"))
    return faults
