# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, restore, look up and stop lab hosts. This is the interface for tests and benchmarks."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from lab import accel, cache, image, packages, ports, qemu
from lab.errors import LabError
from lab.machine import Machine
from lab.progress import say, stage
from lab.suites import ALL_HOSTS, LETTERS, HostName

_Result = TypeVar("_Result")


def build(suites: Iterable[str]) -> None:
    """Build the images of these suites in parallel, unless they are in the cache."""
    names = list(suites)
    if not all(image.locate(suite).folder.is_dir() for suite in names):
        packages.install_missing()
    _in_parallel(image.ensure, names)


def up(names: Sequence[HostName]) -> list[Machine]:
    """Start these hosts and build missing images first. Returns when every host answers by ssh."""
    return _bring_up(names, restart=False)


def restore(names: Sequence[HostName]) -> list[Machine]:
    """Restore the hosts to the clean snapshot taken after boot, from any state."""
    return _bring_up(names, restart=True)


def down(names: Sequence[HostName]) -> None:
    """Stop the hosts. Their contents are lost; the snapshots stay."""
    for suite in _suites(names):
        with cache.lock(f"suite-{suite}"):
            for name in names:
                if name.suite == suite:
                    _end(name, "as requested")


def plug_card(names: Sequence[HostName]) -> None:
    """Add a card with SR-IOV to each of these running hosts."""
    _in_parallel(lambda name: find(name).plug_card(), names)


def find(name: HostName) -> Machine:
    """The running machine of a host. Raises LabError if it does not run with the current recipe."""
    machine = _known(name)
    if machine is None or not machine.is_running():
        raise LabError(f"{name} does not run; start it with `up --suite {name.suite} --host {name.letter}`")
    return machine


def running() -> list[Machine]:
    """Every host that runs, in the lab's own order."""
    known = (_known(name) for name in ALL_HOSTS)
    return [machine for machine in known if machine and machine.is_running()]


def _bring_up(names: Sequence[HostName], restart: bool) -> list[Machine]:
    suites = _suites(names)
    build(suites)
    per_suite = _in_parallel(lambda suite: _bring_suite_up(suite, names, restart), suites)
    return [machine for machines in per_suite for machine in machines]


def _bring_suite_up(suite: str, names: Sequence[HostName], restart: bool) -> list[Machine]:
    with cache.lock(f"suite-{suite}"):
        machines = _ready_to_start(suite)
        selected = [machine for machine in machines if machine.name in names]
        if restart:
            for machine in selected:
                machine.end()
        with stage(f"{suite}: {'restoring' if restart else 'starting'} {', '.join(str(m.name) for m in selected)}"):
            _in_parallel(_start, selected)
            up_now = {machine.name for machine in machines if machine.is_running()}
            _in_parallel(lambda machine: machine.answer(machine.name.peer in up_now), selected)
    return selected


def _start(machine: Machine) -> None:
    if not machine.is_running():
        machine.start()


def _ready_to_start(suite: str) -> list[Machine]:
    """Both hosts of a suite. Stops hosts with another recipe, QEMU or accelerator, and removes older images."""
    built = image.locate(suite)
    accelerator = accel.choose(built)
    noted = ports.recall(suite)
    names = [HostName(suite, letter) for letter in LETTERS]
    for name in names:
        if noted is None or not Machine(name, built, accelerator, noted).is_running():
            _end(name, "it belongs to another recipe, QEMU or accelerator")
    image.prune(suite)
    is_any_running = any(qemu.running(qemu.Files(cache.host_folder(name))) for name in names)
    allotted = noted if noted and is_any_running else ports.allot(suite)
    return [Machine(name, built, accelerator, allotted) for name in names]


def _end(name: HostName, reason: str) -> None:
    files = qemu.Files(cache.host_folder(name))
    if qemu.running(files) is not None:
        say(f"{name}: stopping, {reason}")
        qemu.end(files)


def _known(name: HostName) -> Machine | None:
    """The host with the current recipe, if its image exists and it was started before."""
    built = image.locate(name.suite)
    noted = ports.recall(name.suite)
    if noted is None or not built.folder.is_dir():
        return None
    return Machine(name, built, accel.choose(built), noted)


def _suites(names: Iterable[HostName]) -> list[str]:
    return list(dict.fromkeys(name.suite for name in names))


def _in_parallel(work: Callable[..., _Result], items: Sequence[object]) -> list[_Result]:
    """Do the work for each item in its own thread. When all are done, raise the first error."""
    with concurrent.futures.ThreadPoolExecutor(max(len(items), 1)) as pool:
        pending = [pool.submit(work, item) for item in items]
    return [done.result() for done in pending]
