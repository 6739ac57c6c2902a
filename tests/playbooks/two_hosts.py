# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts on this machine whose guests migrate: Ansible and the modules are real, virsh is a stand-in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from controller import Controller

NUMBERS = {"web-1": "1", "web-2": "2", "web-3": "3"}
UUIDS = {name: f"{digit * 8}-1111-4111-8111-111111111111" for name, digit in NUMBERS.items()}


class TwoHosts:
    """The hosts gpu-1 (with the guests) and gpu-2."""

    def __init__(self, folder: Path, controller: Controller) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._controller = controller
        for name in ("src", "dst", "names", "job", "stuck", "bad", "late", "ends"):
            (self.state / name).mkdir(parents=True)
        (folder / "bin").mkdir()
        shutil.copy(Path(__file__).parent / "virsh", folder / "bin" / "virsh")
        self.migrations_take(0)
        for name, uuid in UUIDS.items():
            (self.state / "names" / uuid).write_text(name)
        hosts = {"gpu-1": self._host("src"), "gpu-2": self._host("dst")}
        (folder / "inventory.yml").write_text(json.dumps({"all": {"hosts": hosts}}))

    def _host(self, name: str) -> dict[str, Any]:
        """Its Python has a virsh of this host."""
        python = self.folder / f"python-{name}"
        variables = f"VIRSH_HOST={name} VIRSH_STATE={self.state} PATH={self.folder}/bin:$PATH"
        python.write_text(f'#!/bin/sh\nexec env {variables} {sys.executable} "$@"\n')
        python.chmod(0o755)
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": str(python),
            "prepare_migration_records_path": str(self.folder / f"records-{name}"),
            "prepare_migration_xml_path": str(self.folder / "outgoing"),
        }

    def add(self, *names: str, state: str = "running") -> None:
        """Guests on the source."""
        for name in names:
            (self.state / "src" / UUIDS[name]).write_text(state)

    def guests(self, host: str) -> dict[str, str]:
        """The states of the host's guests."""
        names = {uuid: name for name, uuid in UUIDS.items()}
        return {names[path.name]: path.read_text() for path in sorted((self.state / host).glob("[0-9]*"))}

    def migrations_take(self, seconds: float) -> None:
        """How long each migration takes."""
        (self.state / "seconds").write_text(str(seconds))

    def mark(self, folder: str, name: str, text: str = "") -> None:
        """stuck: the guest's migration does not end; bad: it fails; late: it fails, noticed so many seconds later."""
        (self.state / folder / UUIDS[name]).write_text(text)

    def left_behind(self) -> list[str]:
        """Records and XML."""
        folders = (self.folder / "records-dst", self.folder / "outgoing")
        return [path.name for folder in folders if folder.exists() for path in folder.iterdir()]

    def calls(self, command: str) -> int:
        """How often virsh was called on the source."""
        return sum(line.startswith(f"src {command} ") for line in (self.state / "log").read_text().splitlines())

    def command(self, *names: str, **variables: Any) -> list[str]:
        """Migrates guests to gpu-2."""
        given = {
            "migrate_source": "gpu-1",
            "migrate_guest_names": names,
            "migrate_to": "qemu+ssh://gpu-2/system",
            "migrate_watch_interval": 0.1,
            "migrate_jobs_path": str(self.folder / "jobs"),
            **variables,
        }
        inventory = str(self.folder / "inventory.yml")
        limit = ["-l", "gpu-2", "-e", json.dumps(given)]
        return ["ansible-playbook", "-i", inventory, "vfio.mdev.migrate", *limit]

    def migrate(self, *names: str, fails: bool = False, options: tuple[str, ...] = (), **variables: Any) -> str:
        """Runs the playbook. Returns its output."""
        completed = self._controller.run([*self.command(*names, **variables), *options])
        output = completed.stdout + completed.stderr
        assert (completed.returncode != 0) == fails, output
        return output

    def killed(self, text: str, *names: str, **variables: Any) -> None:
        """Runs the playbook, and kills it when it prints this."""
        play = subprocess.Popen(
            self.command(*names, **variables),
            env={**self._controller.environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        assert play.stdout is not None
        seen = any(text in line for line in play.stdout)
        os.killpg(play.pid, signal.SIGKILL)
        play.stdout.close()
        play.wait(10)
        assert seen
