# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev demo: the collection at work on a real kernel with real mediated devices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import hosts, inventory, ssh
from lab.errors import LabError
from lab.guest import guest_xml
from lab.machine import Machine
from lab.suites import HostName

from dev.environment import CHECKOUT
from dev.stage import collections_path, staged
from dev.table import devices_table, parents_table

_HOSTS = [HostName("trixie", "a"), HostName("trixie", "b")]
_PLAYBOOK = CHECKOUT / "tests" / "dev" / "demo.yml"
_GUEST = CHECKOUT / "tests" / "lab" / "guest.xml"
_SECONDS = 300.0


class Demo:
    """A host, and the commands that an operator types."""

    def __init__(self, machine: Machine, other: Machine, stage: Path) -> None:
        self.machine, self.other = machine, other
        self.environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(collections_path(stage)),
            "ANSIBLE_INVENTORY": str(inventory.write([machine, other])),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
        }

    def play(self) -> None:
        """Runs the playbook; its output is the user's."""
        self._ansible(["ansible-playbook", str(_PLAYBOOK.relative_to(CHECKOUT))], check=True)

    def ask(self) -> dict[str, Any]:
        """Shows what the host has, and returns it."""
        command = ["ansible", str(self.machine.name), "-m", "vfio.mdev.mdev_info"]
        print(f"$ {' '.join(command)}   # its answer, as a table", flush=True)
        done = self._ansible(command, check=True, captured=True)
        answer: dict[str, Any] = json.loads(done.stdout.partition("=>")[2])
        print(f"{parents_table(answer)}\n\n{devices_table(answer)}\n", flush=True)
        return answer

    def refuse(self, uuid: str) -> None:
        """Tries to remove the device that the guest has."""
        words = ["-m", "vfio.mdev.mdev_device", "-a", f"uuid={uuid} state=absent"]
        self._ansible(["ansible", str(self.machine.name), *words], check=False)

    def migrate(self) -> None:
        """Moves the guest to the other host."""
        given = {
            "migrate_source": str(self.machine.name),
            "migrate_guests": ["web"],
            "migrate_to": self.address,
            "prepare_migration_uuids": "new",
        }
        words = ["--limit", str(self.other.name), "--extra-vars", json.dumps(given)]
        self._ansible(["ansible-playbook", "vfio.mdev.migrate", *words], check=True)

    @property
    def address(self) -> str:
        """Where libvirt of the first host finds that of the other."""
        return f"qemu+ssh://{self.other.name.lan_address}/system"

    def on_host(self, line: str, stdin: str = "", fails: bool = False) -> None:
        """Runs a command on the host and shows what it says."""
        self._on(self.machine, line, stdin, fails)

    def on_other(self, line: str) -> None:
        """The same on the other host."""
        self._on(self.other, line, "", fails=False)

    @staticmethod
    def _on(machine: Machine, line: str, stdin: str, fails: bool) -> None:
        print(f"{machine.name}# {line}", flush=True)
        done = ssh.run(machine.ssh_port, machine.image.ssh_key, line, _SECONDS, stdin)
        print(done.stdout + done.stderr, flush=True)
        if (done.returncode != 0) != fails:
            raise LabError(f"'{line}' ended on {machine.name} with exit code {done.returncode}")

    def _ansible(self, command: Sequence[str], check: bool, captured: bool = False) -> subprocess.CompletedProcess[str]:
        if not captured:
            print(f"$ {' '.join(command)}", flush=True)
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env=self.environment,
            text=True,
            capture_output=captured,
            timeout=_SECONDS,
            check=False,
        )
        if check and done.returncode != 0:
            raise LabError(f"'{' '.join(command)}' ended with exit code {done.returncode}\n{done.stderr or ''}")
        return done


def main() -> int:
    """Shows all of it, and ends the host whatever happens."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    title("Two hosts with a real kernel and three parents each: Linux' sample drivers, no GPU needed")
    machine, other = hosts.restore(_HOSTS)
    try:
        with staged() as stage:
            _show(Demo(machine, other, stage))
    finally:
        hosts.down(_HOSTS)
    return 0


def _show(demo: Demo) -> None:
    title("A playbook declares devices on two parents")
    print(_PLAYBOOK.read_text())
    demo.play()
    title("The same again: nothing changes")
    demo.play()
    title("What the host has: parents, types, used and free")
    answer = demo.ask()
    title("libvirt's view of the same devices")
    demo.on_host("virsh nodedev-list --cap mdev")
    [web] = [one for one in answer["devices"] if one["parent"] == "mtty"]
    title("A guest takes a device, and nobody can remove it under the guest")
    guest = _GUEST.read_text().replace("@NAME@", "web").replace("@UUID@", web["uuid"])
    demo.on_host("virsh create /dev/stdin", guest)
    demo.refuse(web["uuid"])
    title("The guest ends, the host reboots, and the devices are there again")
    demo.on_host("virsh destroy web")
    demo.machine.reboot()
    demo.on_host("systemctl status --no-pager --lines 20 vfio-mdev.service; mdevctl list")
    title("A guest runs with its device, and can't move: the other host does not have it")
    demo.on_host("virsh define /dev/stdin && virsh start web", guest_xml("web", web["uuid"]))
    demo.on_host(f"virsh migrate --live web {demo.address}", fails=True)
    title("A playbook makes the device there, under a UUID of that host, and moves the guest")
    demo.migrate()
    demo.on_other("virsh list; virsh dumpxml web | grep uuid; mdevctl list")


def title(text: str) -> None:
    """A heading between the steps."""
    print(f"\n=== {text}\n", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"dev: error: {error}", file=sys.stderr)
        sys.exit(1)
