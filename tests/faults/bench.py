# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for the campaign: each round starts in the same state, modules run disturbed, and all state is shown."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivers.kit.host_files import Driver, HostFiles
from drivers.kit.isolated_host import IsolatedHost
from drivers.kit.mount import mounted
from drivers.kit.namespace import Namespace

from faults.hook import Disturbance

_SYSTEMCTL = Path(__file__).with_name("systemctl")
# How long one run may take. No run of the campaign waits on purpose.
# Far more than a run takes: on a busy machine a slow one is not a hang.
RUN_SECONDS = 25.0

Files = dict[str, list[str]]


@dataclass(frozen=True)
class Run:
    """One run of a module, or of a program of the boot."""

    module_name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Scenario:
    """What is disturbed, on which host.

    drivers: makes the hardware; before: prepares the host, with modules or by hand, as often as there are rounds
    run: the run that is disturbed; hardware: shows what the hardware holds besides mediated devices
    foreign: words of devices and paths that belong to somebody else: nothing may change there
    repeat: what heals the host after a disturbance. None: the same run again
    """

    name: str
    group: str
    drivers: Callable[[], Sequence[Driver]]
    before: Callable[[Bench], None]
    run: Run
    hardware: Callable[[Bench], dict[str, Any]] = lambda bench: {}
    foreign: Sequence[str] = ()
    repeat: Run | None = None


@dataclass(frozen=True)
class State:
    """All that a round can change."""

    devices: dict[str, Any] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    files: Files = field(default_factory=dict)

    @property
    def effects(self) -> dict[str, Any]:
        """Devices, hardware, and the definitions and units on disk: what messages make claims about."""
        stored = {path: shown for path, shown in self.files.items() if _is_claimed(path, shown)}
        return {**self.devices, **self.hardware, **stored}

    def of(self, words: Sequence[str]) -> dict[str, Any]:
        """Only devices and files that contain one of the words."""
        everything = {**self.devices, **self.hardware, **self.files}
        return {key: shown for key, shown in everything.items() if any(word in f"{key} {shown}" for word in words)}


def _is_claimed(path: str, shown: list[str]) -> bool:
    folders = ("/etc/mdevctl.d/", "/etc/vfio-mdev.d/", "/etc/systemd/")
    return path.startswith(folders) and not shown[0].startswith("d") and "/." not in path


@dataclass(frozen=True)
class Answer:
    """How a run ended."""

    killed: bool
    hung: bool
    result: dict[str, Any] | None
    output: str
    problem: str | None = None
    count: int = 0
    code: int = 0
    names: Mapping[str, str] = field(default_factory=dict)
    trace: Sequence[tuple[str, Sequence[str]]] = ()

    @property
    def failed(self) -> bool:
        return bool(self.killed or self.hung or self.problem or self.code or (self.result or {}).get("failed"))

    @property
    def changed(self) -> bool:
        return bool((self.result or {}).get("changed"))

    @property
    def message(self) -> str:
        text = str((self.result or {}).get("msg") or self.problem or self.output.strip())
        failures = [line for line in text.splitlines() if line.startswith("FAILED")]
        return " | ".join(failures) or text

    @property
    def traceback(self) -> bool:
        return bool(self.problem) or "Traceback (most recent call last)" in self.output


class Bench(IsolatedHost):
    """A host in a namespace."""

    def __init__(self, files: HostFiles, scratch: Path) -> None:
        self._scratch = scratch
        self._number = 0
        self._files = files
        super().__init__(files, self._new())
        self._run = self._module

    def _new(self) -> Namespace:
        self._number += 1
        folder = self._scratch / str(self._number)
        folder.mkdir()
        return Namespace(self._files.root, folder, "faults.inside")

    def _module(self, module_name: str, /, **arguments: Any) -> dict[str, Any]:
        answer = self.attempt(Run(module_name, arguments))
        if answer.result is None or answer.result.get("failed"):
            raise AssertionError(f"preparing with {module_name} {arguments} failed: {answer.message}")
        return answer.result

    @property
    def etc(self) -> Path:
        return self._namespace.etc

    def start(self, scenario: Scenario) -> None:
        """The host in the state in which the scenario begins."""
        if not self._namespace.alive:
            self._namespace = self._new()
        self.files.kernel.removals_end.set()
        self._namespace._command("clear")
        for path in self.etc.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._namespace._fill()
        shutil.copy(_SYSTEMCTL, self.etc / "programs/systemctl")
        self.files.boot(*scenario.drivers())
        scenario.before(self)

    def attempt(self, run: Run, disturbance: Disturbance = Disturbance()) -> Answer:  # noqa: B008 is frozen
        """Run it once, disturbed."""
        return self.attempts([run], disturbance)[0]

    def attempts(self, runs: Sequence[Run], disturbance: Disturbance = Disturbance()) -> list[Answer]:  # noqa: B008
        """Run all at once."""
        answers = self._namespace._command(
            "attempts",
            runs=[{"module_name": run.module_name, "arguments": dict(run.arguments)} for run in runs],
            disturbance=dataclasses.asdict(disturbance),
            seconds=RUN_SECONDS,
        )
        return [Answer(**answer) for answer in answers]

    def state(self, scenario: Scenario) -> State:
        tree: Files = self._namespace._command("tree")
        return State(self._kernel(), scenario.hardware(self), tree)

    def _kernel(self) -> dict[str, Any]:
        devices = {}
        for device in self.files.kernel.devices.values():
            parent = next(driver for driver in _parents(self.files.drivers) if driver.address == device.parent)
            nodes = parent.attributes(device)
            values = {name: node.read() for name, node in nodes.items() if node.read is not None}
            devices[device.uuid] = [device.parent, device.type_id, device.removing, values]
        return devices

    def lingering(self) -> list[str]:
        left: list[str] = self._namespace._command("lingering")
        return left

    def stop(self) -> None:
        self._namespace.stop()


def _parents(drivers: Sequence[Any]) -> Iterator[Any]:
    for driver in drivers:
        yield from getattr(driver, "functions", [driver])


@contextmanager
def bench() -> Iterator[Bench]:
    """A host while the block runs."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as scratch:
        root = Path(scratch, "host")
        root.mkdir()
        with mounted(root) as files:
            host = Bench(files, Path(scratch))
            try:
                yield host
            finally:
                host.stop()
