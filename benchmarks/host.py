# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab host to measure on: runs commands and plays there and measures how long they take."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dev.stage import collections_path
from lab import hosts, inventory, ssh
from lab.errors import LabError
from lab.machine import Machine

Task = dict[str, Any]

# The folder on the host with the measuring programs and the modules' payloads.
FOLDER = "/var/tmp/bench"
_ON_HOST = Path(__file__).parent / "on_host"
_SECONDS = 1500.0


@dataclass(frozen=True)
class Usage:
    """Time, CPU time and memory of a process and its children. peak_kib is the largest resident size."""

    seconds: float
    cpu_seconds: float
    peak_kib: int


class BenchHost:
    """A running host, with the measuring programs on it."""

    def __init__(self, machine: Machine, stage: Path) -> None:
        self.machine = machine
        # An empty configuration, so that the user's own has no influence.
        configuration = collections_path(stage) / "ansible.cfg"
        configuration.touch()
        self._environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(collections_path(stage)),
            "ANSIBLE_INVENTORY": str(inventory.write(hosts.running())),
            "ANSIBLE_CONFIG": str(configuration),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.junit",
        }
        # Modules compile as on any other host.
        self.sh("rm -f /usr/lib/python3/dist-packages/lab_zip_cache.pth")
        for program in _ON_HOST.glob("*.py"):
            self.sh(f"mkdir -p {FOLDER}; cat > {FOLDER}/{program.name}", program.read_text())

    def sh(self, line: str, stdin: str = "") -> str:
        """Run a command line on the host, which must succeed, and return its output."""
        done = ssh.run(self.machine.ssh_port, self.machine.image.ssh_key, line, _SECONDS, stdin)
        if done.returncode != 0:
            raise LabError(f"'{line}' failed with exit code {done.returncode}: {done.stderr}")
        return done.stdout

    def usage(self, line: str) -> Usage:
        """Run a program on the host and measure it from start to end."""
        return self.usage_of(f"cd {FOLDER} && python3 measure.py {line}")

    def usage_of(self, line: str) -> Usage:
        """The same for a command line that already calls measure.py."""
        return Usage(**json.loads(self.sh(line).splitlines()[-1]))

    def play(self, *tasks: Task) -> list[float]:
        """Run tasks in one play. Returns the seconds of each task, as Ansible counts them."""
        named = [{"name": f"task {number:03d}", **task} for number, task in enumerate(tasks)]
        with tempfile.TemporaryDirectory() as folder:
            self.run(named, Path(folder))
            [report] = Path(folder).glob("*.xml")
            cases = ElementTree.parse(report).iter("testcase")
            seconds = {str(case.get("name")).split("task ")[1][:3]: float(case.get("time") or 0) for case in cases}
        return [seconds[f"{number:03d}"] for number in range(len(tasks))]

    def run(self, tasks: Sequence[Task], folder: Path) -> None:
        """Run tasks in one play, which must succeed. Its report is written to the folder."""
        play = [{"hosts": str(self.machine.name), "gather_facts": False, "tasks": list(tasks)}]
        book = folder / "play.yml"
        book.write_text(json.dumps(play))
        self._ansible(["ansible-playbook", str(book)], {"JUNIT_OUTPUT_DIR": str(folder)})

    def payload(self, name: str, module: str, arguments: dict[str, Any]) -> int:
        """Keep what Ansible ships for a task, so that NAME.py runs it without Ansible. The task runs once.

        Returns its size in bytes.
        """
        remote_tmp = "~/.ansible/tmp"
        self.sh(f"rm -rf {remote_tmp}/*")
        command = ["ansible", str(self.machine.name), "-m", module]
        command += ["-a", json.dumps(arguments)] if arguments else []
        self._ansible(command, {"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0"})
        return int(self.sh(f"mv {remote_tmp}/*/AnsiballZ_*.py {FOLDER}/{name}.py; stat -c %s {FOLDER}/{name}.py"))

    def _ansible(self, command: Sequence[str], environment: dict[str, str]) -> None:
        done = subprocess.run(
            command,
            env={**self._environment, **environment},
            cwd=tempfile.gettempdir(),
            text=True,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise LabError(f"'{' '.join(command)}' failed: {(done.stdout + done.stderr)[-2000:]}")
