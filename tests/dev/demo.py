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

from dev.environment import CHECKOUT, run_main
from dev.stage import collections_path, staged
from dev.table import devices_table, types_table

_HOSTS = [HostName("trixie", "a"), HostName("trixie", "b")]
_PLAYBOOK = CHECKOUT / "tests" / "dev" / "demo.yml"
_GUEST = CHECKOUT / "tests" / "lab" / "guest.xml"
_SECONDS = 300.0


class Demo:
    """Two hosts, and the commands that an operator would type."""

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
        """Run the playbook and show its output."""
        self._ansible(["ansible-playbook", str(_PLAYBOOK.relative_to(CHECKOUT))], check=True)

    def show_devices(self) -> dict[str, Any]:
        """Show the host's types and devices, and return the result of mdev_info."""
        command = ["ansible", str(self.machine.name), "-m", "vfio.mdev.mdev_info"]
        print(f"$ {' '.join(command)}   # its result as tables", flush=True)
        completed = self._ansible(command, check=True, captured=True)
        info: dict[str, Any] = json.loads(completed.stdout.partition("=>")[2])
        summary = "\n".join(info["summary"])
        print(f"{summary}\n\n{types_table(info)}\n\n{devices_table(info)}\n", flush=True)
        return info

    def try_to_remove(self, uuid: str) -> None:
        """Try to remove the device that the guest uses."""
        options = ["-m", "vfio.mdev.mdev_device", "-a", f"uuid={uuid} state=absent"]
        self._ansible(["ansible", str(self.machine.name), *options], check=False)

    def migrate(self) -> None:
        """Migrate the guest to the other host."""
        variables = {
            "migrate_source": str(self.machine.name),
            "migrate_guest_names": ["web"],
            "migrate_to": self.address,
            "prepare_migration_uuid_policy": "new",
        }
        options = ["--limit", str(self.other.name), "--extra-vars", json.dumps(variables)]
        self._ansible(["ansible-playbook", "vfio.mdev.migrate", *options], check=True)

    @property
    def address(self) -> str:
        """The libvirt URI of the other host, as reached from the first."""
        return f"qemu+ssh://{self.other.name.lan_address}/system"

    def on_host(self, line: str, stdin: str = "", fails: bool = False) -> None:
        """Run a command on the host and show its output."""
        self._on(self.machine, line, stdin, fails)

    def on_other(self, line: str) -> None:
        """Run a command on the other host and show its output."""
        self._on(self.other, line, "", fails=False)

    @staticmethod
    def _on(machine: Machine, line: str, stdin: str, fails: bool) -> None:
        print(f"{machine.name}# {line}", flush=True)
        completed = ssh.run(machine.ssh_port, machine.image.ssh_key, line, _SECONDS, stdin)
        print(completed.stdout + completed.stderr, flush=True)
        if (completed.returncode != 0) != fails:
            raise LabError(f"'{line}' ended on {machine.name} with exit code {completed.returncode}")

    def _ansible(self, command: Sequence[str], check: bool, captured: bool = False) -> subprocess.CompletedProcess[str]:
        if not captured:
            print(f"$ {' '.join(command)}", flush=True)
        completed = subprocess.run(
            command,
            cwd=CHECKOUT,
            env=self.environment,
            text=True,
            capture_output=captured,
            timeout=_SECONDS,
            check=False,
        )
        if check and completed.returncode != 0:
            errors = completed.stderr or ""
            raise LabError(f"'{' '.join(command)}' ended with exit code {completed.returncode}\n{errors}")
        return completed


def main() -> int:
    """Run the demo, and stop the hosts in any case."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    title("Two hosts with a real kernel and three parents each: the kernel's sample drivers, no GPU needed")
    machine, other = hosts.restore(_HOSTS)
    try:
        with staged() as stage:
            _show(Demo(machine, other, stage))
    finally:
        hosts.down(_HOSTS)
    return 0


def _show(demo: Demo) -> None:
    title("A playbook creates devices on two parents")
    print(_PLAYBOOK.read_text())
    demo.play()
    title("A second run changes nothing")
    demo.play()
    title("Parents, types and devices of the host")
    info = demo.show_devices()
    title("libvirt's view of the same devices")
    demo.on_host("virsh nodedev-list --cap mdev")
    [web] = [device for device in info["devices"] if device["parent"] == "mtty"]
    title("A guest uses a device, so it can't be removed")
    guest = _GUEST.read_text().replace("@NAME@", "web").replace("@UUID@", web["uuid"])
    demo.on_host("virsh create /dev/stdin", guest)
    demo.try_to_remove(web["uuid"])
    title("The host reboots, and the devices are started again")
    demo.on_host("virsh destroy web")
    demo.machine.reboot()
    demo.on_host("systemctl status --no-pager --lines 20 vfio-mdev.service; mdevctl list")
    title("A guest with a device can't migrate to a host without that device")
    demo.on_host("virsh define /dev/stdin && virsh start web", guest_xml("web", web["uuid"]))
    demo.on_host(f"virsh migrate --live web {demo.address}", fails=True)
    title("A playbook creates the device there, under a UUID of that host, and migrates the guest")
    demo.migrate()
    demo.on_other("virsh list; virsh dumpxml web | grep uuid; mdevctl list")


def title(text: str) -> None:
    """Print a heading between the steps."""
    print(f"\n=== {text}\n", flush=True)


if __name__ == "__main__":
    run_main(main)
