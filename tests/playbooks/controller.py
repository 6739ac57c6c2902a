# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for the playbooks: real hosts for Ansible, whose modules return recorded results."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
_ZIP_CACHE = CHECKOUT / "tests/lab/recipe/rootfs/usr/lib/python3/dist-packages/lab_zip_cache.py"


def ansible_environment(folder: Path) -> dict[str, str]:
    """The environment of Ansible in a folder: only this collection, and nothing of the user's."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"),
        "ANSIBLE_NOCOLOR": "1",
    }


@dataclass(frozen=True)
class Controller:
    """Runs ansible-playbook in a folder."""

    folder: Path

    def play(self, playbook: str, answers: Mapping[str, Mapping[str, Any]], *options: str, **extra: str) -> str:
        """Run a playbook of the collection on hosts whose mdev_info returns these answers. Return its output."""
        variables = ["-e", json.dumps(extra)]
        inventory = str(self._inventory(answers))
        completed = self.run(["ansible-playbook", "-i", inventory, playbook, *variables, *options])
        assert completed.returncode == 0, completed.stdout + completed.stderr
        return completed.stdout

    def _inventory(self, answers: Mapping[str, Mapping[str, Any]]) -> Path:
        hosts = {name: self._host(number, answer) for number, (name, answer) in enumerate(answers.items())}
        place = self.folder / "inventory.yml"
        place.write_text(json.dumps({"all": {"hosts": hosts}}))
        return place

    def _host(self, number: int, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Its Python does not run the module, but prints the recorded result. Port 1 refuses all connections."""
        if answer.get("unreachable"):
            return {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_python_interpreter": "/usr/bin/python3"}
        if "module_stderr" in answer:
            return {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python9"}
        recorded = self.folder / f"answer-{number}.json"
        recorded.write_text(json.dumps(answer))
        python = self.folder / f"python-{number}"
        python.write_text(f"#!/bin/sh\nexec cat {shlex.quote(str(recorded))}\n")
        python.chmod(0o755)
        return {"ansible_connection": "local", "ansible_python_interpreter": str(python)}

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command of Ansible."""
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )

    @property
    def environment(self) -> dict[str, str]:
        """That of Ansible, with modules that compile once."""
        return {**ansible_environment(self.folder), **self._zip_cache()}

    def _zip_cache(self) -> dict[str, str]:
        """Let modules on this machine compile once, as on lab hosts."""
        site = self.folder / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(_ZIP_CACHE.read_text())
        return {"PYTHONPATH": str(site), "LAB_ZIP_CACHE": str(self.folder / "compiled")}
