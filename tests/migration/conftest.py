# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests that run on the controller, with two lab hosts: real guests with real devices migrate."""

from __future__ import annotations

import base64
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
from lab.guest import RESTLESS_DISK, guest_xml, restless_disk
from lab.machine import Machine
from lab.suites import parse_host

HERE = Path(__file__).parent
# A restless guest changes its memory faster than it is copied, and a page of it takes longer than this downtime.
SLOWLY = {"migrate_bandwidth": 1, "migrate_max_downtime": 1, "migrate_stall_timeout": 100000}
# In milliseconds: enough for a restless guest too.
ENOUGH_DOWNTIME = 100000
STALLED = {**SLOWLY, "migrate_stall_timeout": 10}
# A play for four guests takes minutes on emulated hosts, more on a busy machine.
_SECONDS = 900.0

_CLEAN = """
for guest in $(virsh list --uuid); do virsh destroy $guest; done
for guest in $(virsh list --all --uuid); do virsh undefine $guest; done
timeout 60 sh -c 'until [ -z "$(ls /sys/bus/mdev/devices)" ]; do
    for device in /sys/bus/mdev/devices/*; do echo 1 > $device/remove || sleep 0.2; done
done' || exit 1
rm -rf /var/lib/vfio-mdev /var/log/libvirt/qemu/*.log
"""


class Host:
    """One of the two hosts. connection: the socket of a shared SSH connection, since each new one takes seconds."""

    def __init__(self, machine: Machine, connection: Path) -> None:
        self.machine = machine
        self.name = str(machine.name)
        self._ssh_options = ["-o", f"ControlPath={connection}"]
        master = ssh.command(machine.ssh_port, machine.image.ssh_key, ["-M", "-N", *self._ssh_options])
        self._connection = subprocess.Popen(master, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        """Close the connection."""
        self._connection.terminate()
        self._connection.wait(20)

    def sh(self, line: str, stdin: str = "", fails: bool = False) -> str:
        """The output of a command line that must succeed, or, with fails, the errors of one that must fail."""
        key = self.machine.image.ssh_key
        completed = ssh.run(self.machine.ssh_port, key, line, _SECONDS, stdin, self._ssh_options)
        assert (completed.returncode != 0) == fails, f"{line}: {completed.stdout}{completed.stderr}"
        return completed.stderr if fails else completed.stdout

    def guest(self, name: str, *uuids: str, restless: bool = False) -> None:
        """Create devices and start a guest that uses them. restless: whether it changes its memory all the time."""
        create = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create"
        for uuid in uuids:
            self.sh(f"echo {uuid} > {create}")
        self.sh(f"virsh define /dev/stdin && virsh start {name}", guest_xml(name, *uuids, restless=restless))

    def uuid(self, guest: str) -> str:
        """The guest's UUID in libvirt."""
        return self.sh(f"virsh domuuid {guest}").strip()

    def guests(self) -> set[str]:
        """The running guests."""
        return set(self.sh("virsh list --name --state-running").split())

    def devices(self) -> set[str]:
        """The active devices."""
        return set(self.sh("ls /sys/bus/mdev/devices").split())

    def mdevs(self, guest: str, *options: str) -> set[str]:
        """The devices in the guest's XML."""
        return set(re.findall("<address uuid='([^']+)'", self.sh(f"virsh dumpxml {' '.join(options)} {guest}")))

    def files(self) -> set[str]:
        """The files of this collection on the host."""
        return set(self.sh("find /var/lib/vfio-mdev -type f 2>/dev/null || true").split())

    def states(self, guest: str) -> str:
        """The migration states of the guest's devices, from QEMU's trace."""
        return self.sh(f"grep -ao 'state [A-Z_0-9]*' /var/log/libvirt/qemu/{guest}.log || true")

    def when_incoming(self, guest: str, pattern: str, line: str) -> None:
        """Run a command as soon as the log of the guest's QEMU matches a pattern. Return at once."""
        log = f"/var/log/libvirt/qemu/{guest}.log"
        self.sh("cat > /run/when", f"until grep -aqs '{pattern}' {log}; do sleep 0.05; done\n{line}\n")
        self.sh(f"rm -f {log}; systemd-run --quiet --collect sh /run/when")

    def kill_incoming(self, guest: str) -> None:
        """Kill the guest's QEMU as soon as its device loads the state from the source."""
        self.when_incoming(guest, "RESUMING", f"pkill -KILL -f guest={guest}")

    def let_go(self, guest: str) -> None:
        """Permit enough downtime for a restless guest: its migration ends."""
        self.sh(f"virsh migrate-setmaxdowntime {guest} {ENOUGH_DOWNTIME}")

    def cut_ssh(self, seconds: int) -> None:
        """End all SSH connections to this host, and accept none for some time."""
        line = (
            f"sleep 1; systemctl stop ssh.socket ssh.service; pkill sshd; sleep {seconds}; systemctl start ssh.service"
        )
        self.sh(f"systemd-run --quiet --collect sh -c '{line}'")


class RunningPlay:
    """A playbook that runs."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        self._output: list[str] = []

    def wait_for(self, text: str, times: int = 1) -> None:
        """Read until this was printed so many times."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._output.append(line)
            times -= text in line
            if times == 0:
                return
        raise AssertionError("".join(self._output))

    def kill(self) -> None:
        """Kill the controller."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate(timeout=10)

    def end(self, fails: bool = False) -> str:
        """Wait until it has succeeded, or failed. Return its output."""
        rest, _nothing = self._process.communicate(timeout=_SECONDS)
        output = "".join(self._output) + rest
        assert (self._process.returncode != 0) == fails, output
        return output


class Lab:
    """The two hosts, and Ansible on the controller."""

    def __init__(self, folder: Path) -> None:
        self.a, self.b = (Host(hosts.find(parse_host(name)), folder / name) for name in ("trixie_a", "trixie_b"))
        self._environment = {
            **os.environ,
            "ANSIBLE_INVENTORY": os.environ.get("LAB_INVENTORY", str(inventory.path())),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            # YAML would fold long texts over several lines.
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        }

    def migrate(self, source: Host, destination: Host, *guest_names: str, fails: bool = False, **variables: Any) -> str:
        """Run the playbook vfio.mdev.migrate. Return its output."""
        return self._play(
            ["vfio.mdev.migrate"], destination, self._variables(source, destination, guest_names, variables), fails
        )

    def start_migrate(self, source: Host, destination: Host, *guest_names: str, **variables: Any) -> RunningPlay:
        """Start the playbook vfio.mdev.migrate."""
        given = self._variables(source, destination, guest_names, variables)
        return RunningPlay(self._command(["vfio.mdev.migrate"], destination, given), self._environment)

    def drain(self, source: Host, destination: Host, fails: bool = False, **variables: Any) -> str:
        """Run the playbook vfio.mdev.drain. Return its output."""
        return self.start_drain(source, destination, **variables).end(fails)

    def start_drain(self, source: Host, destination: Host, **variables: Any) -> RunningPlay:
        """Start the playbook vfio.mdev.drain for up to three guests at a time."""
        common = {
            "drain_to": destination.name,
            "drain_desturi_map": {destination.name: f"qemu+ssh://{destination.machine.name.lan_address}/system"},
            "drain_parallel": 3,
            "migrate_watch_interval": 2,
        }
        return RunningPlay(self._command(["vfio.mdev.drain"], source, {**common, **variables}), self._environment)

    def undrain(self, host: Host) -> str:
        """Run the playbook vfio.mdev.undrain. Return its output."""
        return self._play(["vfio.mdev.undrain"], host, {}, False)

    @staticmethod
    def _variables(
        source: Host, destination: Host, guest_names: tuple[str, ...], variables: dict[str, Any]
    ) -> dict[str, Any]:
        common = {
            "migrate_source": source.name,
            "migrate_guest_names": guest_names,
            "migrate_to": f"qemu+ssh://{destination.machine.name.lan_address}/system",
            "migrate_watch_interval": 2,
        }
        return {**common, **variables}

    def role(
        self,
        entry_point: str,
        source: Host,
        destination: Host,
        *guest_names: str,
        check: bool = False,
        fails: bool = False,
    ) -> str:
        """Run one entry point of the role prepare_migration. Return its output."""
        command = [str(HERE / "role.yml"), *(["--check"] if check else [])]
        return self._play(command, destination, self._role_variables(entry_point, source, guest_names), fails)

    @staticmethod
    def _role_variables(entry_point: str, source: Host, guest_names: tuple[str, ...]) -> dict[str, Any]:
        return {
            "prepare_migration_source": source.name,
            "prepare_migration_guest_names": guest_names,
            "role_tasks": entry_point,
        }

    def killed_prepare(self, task: str, source: Host, destination: Host, *guest_names: str) -> None:
        """Run the entry point main, and kill the controller a moment after this task has started."""
        variables = self._role_variables("main", source, guest_names)
        self._killed(self._command([str(HERE / "role.yml")], destination, variables), task, 1)

    def _killed(self, command: list[str], task: str, seconds: int) -> None:
        """Run a command, and kill it that long after the task has started."""
        with tempfile.TemporaryFile() as errors:
            play = subprocess.Popen(
                command,
                env={**self._environment, "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                text=True,
            )
            assert play.stdout is not None
            started = any(line.startswith("TASK") and task in line for line in play.stdout)
            subprocess.run(["sleep", str(seconds)], check=True)
            os.killpg(play.pid, signal.SIGKILL)
            play.wait(10)
            assert started

    def _play(self, playbook: list[str], limit: Host, variables: dict[str, Any], fails: bool) -> str:
        completed = subprocess.run(
            self._command(playbook, limit, variables),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        output = completed.stdout + completed.stderr
        assert (completed.returncode != 0) == fails, output
        return output

    @staticmethod
    def _command(playbook: list[str], limit: Host, variables: dict[str, Any]) -> list[str]:
        options = ["--limit", limit.name, "--extra-vars", json.dumps(variables)]
        return ["ansible-playbook", *playbook, *options]


@pytest.fixture(scope="session")
def shared_lab() -> Iterator[Lab]:
    # The path of a socket is limited to 107 characters.
    with tempfile.TemporaryDirectory(prefix="vfio-mdev-") as folder:
        lab = Lab(Path(folder))
        for host in (lab.a, lab.b):
            host.sh(f"base64 -d > {RESTLESS_DISK}", base64.b64encode(restless_disk()).decode())
        yield lab
        lab.a.close()
        lab.b.close()


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    for host in (shared_lab.a, shared_lab.b):
        host.sh(_CLEAN)
    yield shared_lab
