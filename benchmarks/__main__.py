# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev bench [--runs N] [creating] [reading]: measures on a lab host and writes figures.json, FIGURES.md and plots."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dev.environment import CHECKOUT
from dev.stage import staged
from lab import hosts
from lab.errors import LabError
from lab.progress import stage as step
from lab.suites import HostName

from benchmarks import creating, reading
from benchmarks.host import BenchHost

HERE = CHECKOUT / "benchmarks"
_HOST = HostName("bookworm", "a")
PARTS: dict[str, Callable[[BenchHost, int], dict[str, Any]]] = {
    "creating": creating.measure,
    "reading": reading.measure,
}


def main(arguments: Sequence[str]) -> int:
    """Measures the parts that were asked for; the results of the others stay as they are."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="default 3")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default all")
    options = parser.parse_args(arguments)
    _install_plotting()
    figures = HERE / "figures.json"
    found: dict[str, Any] = json.loads(figures.read_text()) if figures.is_file() else {}
    for part in options.parts or PARTS:
        # A freshly restored host for each part.
        [machine] = hosts.restore([_HOST])
        try:
            with staged() as tree:
                host = BenchHost(machine, tree)
                found[part] = {**PARTS[part](host, options.runs), "runs": options.runs, "machine": _machine(host)}
        finally:
            hosts.down([_HOST])
        figures.write_text(json.dumps(found, indent=1) + "\n")
    _report(found)
    return 0


def _report(found: dict[str, Any]) -> None:
    from benchmarks import plots, report

    (HERE / "FIGURES.md").write_text(report.text(found))
    plots.draw(found, HERE)
    print(report.text(found))


def _install_plotting() -> None:
    with step("installing what plots"):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt")]
        subprocess.run(command, check=True, timeout=600)


def _machine(host: BenchHost) -> dict[str, str]:
    """What it was measured on."""
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
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        print(f"dev: error: {error}", file=sys.stderr)
        sys.exit(1)
