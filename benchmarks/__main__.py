# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures on lab hosts and writes figures.json, FIGURES.md and plots: ./dev bench [--runs N] [PART]...

./dev bench payload, planning, fleet and native measure without lab hosts and write nothing (see the files of these
names).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.environment import CHECKOUT, run_main
from dev.stage import staged
from lab import hosts
from lab.progress import stage as step
from lab.suites import HostName

from benchmarks import creating, fleet, native, payload, planning, preparing, reading
from benchmarks.host import BenchHost

HERE = CHECKOUT / "benchmarks"


@dataclass(frozen=True)
class Part:
    """A part of the measurements. measure receives its hosts and the number of runs."""

    hosts: tuple[HostName, ...]
    measure: Callable[..., dict[str, Any]]


_SINGLE_HOST = (HostName("bookworm", "a"),)
_HOST_PAIR = (HostName("trixie", "a"), HostName("trixie", "b"))
PARTS = {
    "creating": Part(_SINGLE_HOST, creating.measure),
    "reading": Part(_SINGLE_HOST, reading.measure),
    "preparing": Part(_HOST_PAIR, preparing.measure),
}
_WITHOUT_HOSTS: dict[str, Callable[[Sequence[str]], int]] = {
    "fleet": fleet.main,
    "native": native.main,
    "payload": payload.main,
    "planning": planning.main,
}


def main(arguments: Sequence[str]) -> int:
    """Measure the named parts. The results of the other parts stay as they are."""
    if arguments[:1] and arguments[0] in _WITHOUT_HOSTS:
        return _WITHOUT_HOSTS[arguments[0]](arguments[1:])
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="default 3")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default all")
    options = parser.parse_args(arguments)
    _install_plotting()
    path = HERE / "figures.json"
    figures: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    for name in options.parts or PARTS:
        part = PARTS[name]
        # Restore the hosts for each part.
        machines = hosts.restore(part.hosts)
        try:
            with staged() as tree:
                measured = [BenchHost(machine, tree) for machine in machines]
                result = part.measure(*measured, options.runs)
                figures[name] = {**result, "runs": options.runs, "machine": _machine(measured[0])}
        finally:
            hosts.down(part.hosts)
        path.write_text(json.dumps(figures, indent=1) + "\n")
    _report(figures)
    return 0


def _report(figures: dict[str, Any]) -> None:
    from benchmarks import plots, report

    (HERE / "FIGURES.md").write_text(report.text(figures))
    plots.draw(figures, HERE)
    print(report.text(figures))


def _install_plotting() -> None:
    with step("installing matplotlib"):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt")]
        subprocess.run(command, check=True, timeout=600)


def _machine(host: BenchHost) -> dict[str, str]:
    """The machine, host and versions of a measurement."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return {
        "cpu": f"{cpu.partition(': ')[2]}, {os.cpu_count()} cores",
        "host": f"lab host {host.machine.name} in QEMU, software emulation (TCG)",
        "kernel": host.sh("uname -r").strip(),
        "mdevctl": host.sh("mdevctl --version").strip(),
        "python on the host": host.sh("python3 --version").strip(),
        "python on the controller": platform.python_version(),
        "ansible-core": subprocess.run(
            ["ansible", "--version"], capture_output=True, text=True, check=True, timeout=60
        ).stdout.split("\n")[0],
    }


if __name__ == "__main__":
    run_main(lambda: main(sys.argv[1:]))
