# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev report: runs the report playbook on a fleet of lab hosts and takes the README's pictures of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from lab import hosts, inventory
from lab.errors import LabError
from lab.suites import HostName

from dev.environment import CHECKOUT, run_main
from dev.picture import take
from dev.stage import collections_path, staged

_HOSTS = [HostName("trixie", "a"), HostName("trixie", "b"), HostName("bookworm", "a")]
# A host of the fleet that is off.
_AWAY = "bookworm_b"
_PICTURES = {"report.png": False, "report-dark.png": True}
_WIDTH, _HEIGHT = 1280, 1000
_SECONDS = 600.0


def main() -> int:
    """Write the pictures and stop the hosts, also after an error."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machines = hosts.restore(_HOSTS)
    try:
        inventory.write(machines)
        with staged() as stage, tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "fleet.html"
            _play(stage, str(stage / "tests" / "dev" / "report.yml"))
            _play(stage, "vfio.mdev.report", "-i", f"{_AWAY},", "-e", f"report_file={page}")
            for name, dark in _PICTURES.items():
                place = CHECKOUT / "docs" / name
                place.parent.mkdir(exist_ok=True)
                take(page, place, opened=[str(_HOSTS[0])], dark=dark, width=_WIDTH, height=_HEIGHT)
                print(place, flush=True)
    finally:
        hosts.down(_HOSTS)
    return 0


def _play(stage: Path, playbook: str, *words: str) -> None:
    command = ["ansible-playbook", "-i", str(inventory.path()), playbook, *words]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections_path(stage)), "ANSIBLE_PIPELINING": "1"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        raise LabError(f"'{' '.join(command)}' ended with exit code {done.returncode}")


if __name__ == "__main__":
    run_main(main)
