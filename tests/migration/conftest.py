# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""These tests run on the controller, with two lab hosts: real guests on real devices move from one to the other."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import hosts, inventory, ssh
from lab.guest import guest_xml
from lab.machine import Machine
from lab.suites import parse_host

HERE = Path(__file__).parent
_SECONDS = 300.0

_CLEAN = """
for guest in $(virsh list --name); do virsh destroy $guest; done
for guest in $(virsh list --all --name); do virsh undefine $guest; done
for device in /sys/bus/mdev/devices/*; do [ -e $device ] && echo 1 > $device/remove; done
rm -rf /var/lib/vfio-mdev /var/log/libvirt/qemu/*.log
"""


class Host:
    """One of the two hosts. connection: an open one that all commands go through, since each new one takes seconds."""

    def __init__(self, machine: Machine, connection: Path) -> None:
        self.machine = machine
        self.name = str(machine.name)
        self._through = ["-o", f"ControlPath={connection}"]
        open_it = ssh.command(machine.ssh_port, machine.image.ssh_key, ["-M", "-N", *self._through])
        self._connection = subprocess.Popen(open_it, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.terminate()
        self._connection.wait(20)

    def sh(self, line: str, stdin: str = "", fails: bool = False) -> str:
        """What a command line prints. It must succeed, or fail: then its errors."""
        done = ssh.run(self.machine.ssh_port, self.machine.image.ssh_key, line, _SECONDS, stdin, self._through)
        assert (done.returncode != 0) == fails, f"{line}: {done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    def guest(self, name: str, *uuids: str) -> None:
        """Creates devices and starts a guest that has them."""
        create = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create"
        for uuid in uuids:
            self.sh(f"echo {uuid} > {create}")
        self.sh(f"virsh define /dev/stdin && virsh start {name}", guest_xml(name, *uuids))

    def guests(self) -> set[str]:
        """The guests that run."""
        return set(self.sh("virsh list --name --state-running").split())

    def devices(self) -> set[str]:
        """The active devices."""
        return set(self.sh("ls /sys/bus/mdev/devices").split())

    def mdevs(self, guest: str, *options: str) -> set[str]:
        """The devices in the guest's XML."""
        return set(re.findall("<address uuid='([^']+)'", self.sh(f"virsh dumpxml {' '.join(options)} {guest}")))

    def files(self) -> set[str]:
        """What this collection has left."""
        return set(self.sh("find /var/lib/vfio-mdev -type f 2>/dev/null || true").split())

    def states(self, guest: str) -> str:
        """The states that the guest's devices went through, from QEMU's trace."""
        return self.sh(f"grep -ao 'state [A-Z_0-9]*' /var/log/libvirt/qemu/{guest}.log || true")

    def when_incoming(self, guest: str, sign: str, line: str) -> None:
        """Has a command run as soon as the log of the guest's QEMU shows a sign. Returns at once."""
        log = f"/var/log/libvirt/qemu/{guest}.log"
        self.sh("cat > /run/when", f"until grep -aqs '{sign}' {log}; do sleep 0.05; done\n{line}\n")
        self.sh(f"rm -f {log}; systemd-run --quiet --collect sh /run/when")

    def kill_incoming(self, guest: str) -> None:
        """Has the guest's QEMU killed as soon as its device takes the state from the source."""
        self.when_incoming(guest, "RESUMING", f"pkill -KILL -f guest={guest}")


class Lab:
    """The two hosts, and Ansible."""

    def __init__(self, folder: Path) -> None:
        self.a, self.b = (Host(hosts.find(parse_host(name)), folder / name) for name in ("trixie_a", "trixie_b"))
        self._environment = {
            **os.environ,
            "ANSIBLE_INVENTORY": os.environ.get("LAB_INVENTORY", str(inventory.path())),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            # Texts in one line, which YAML would fold.
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        }

    def migrate(self, source: Host, to: Host, *guests: str, fails: bool = False, **more: Any) -> str:
        """Runs the playbook vfio.mdev.migrate. Returns what it says."""
        address = to.machine.name.lan_address
        given = {"migrate_source": source.name, "migrate_guests": guests, "migrate_watch_seconds": 2}
        return self._play(
            ["vfio.mdev.migrate"], to, {"migrate_to": f"qemu+ssh://{address}/system", **given, **more}, fails
        )

    def role(self, tasks: str, source: Host, to: Host, *guests: str, check: bool = False) -> str:
        """Runs a part of the role prepare_migration."""
        variables = {"prepare_migration_source": source.name, "prepare_migration_domains": guests, "role_tasks": tasks}
        return self._play([str(HERE / "role.yml"), *(["--check"] if check else [])], to, variables, fails=False)

    def killed_prepare(self, task: str, source: Host, to: Host, *guests: str) -> None:
        """Prepares, and kills the controller a moment after the task has begun."""
        variables = {"prepare_migration_source": source.name, "prepare_migration_domains": guests, "role_tasks": "main"}
        with tempfile.TemporaryFile() as errors:
            play = subprocess.Popen(
                self._command([str(HERE / "role.yml")], to, variables),
                env={**self._environment, "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                text=True,
            )
            assert play.stdout is not None
            seen = any(line.startswith("TASK") and task in line for line in play.stdout)
            subprocess.run(["sleep", "1"], check=True)
            os.killpg(play.pid, signal.SIGKILL)
            play.wait(10)
            assert seen

    def _play(self, book: list[str], to: Host, variables: dict[str, Any], fails: bool) -> str:
        done = subprocess.run(
            self._command(book, to, variables),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, said
        return said

    @staticmethod
    def _command(book: list[str], to: Host, variables: dict[str, Any]) -> list[str]:
        return ["ansible-playbook", *book, "--limit", to.name, "--extra-vars", json.dumps(variables)]


@pytest.fixture(scope="session")
def both() -> Iterator[Lab]:
    # A socket's path may hold 107 characters only.
    with tempfile.TemporaryDirectory(prefix="vfio-mdev-") as folder:
        lab = Lab(Path(folder))
        yield lab
        lab.a.close()
        lab.b.close()


@pytest.fixture
def lab(both: Lab) -> Iterator[Lab]:
    for host in (both.a, both.b):
        host.sh(_CLEAN)
    yield both
