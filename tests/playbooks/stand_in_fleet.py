# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several stand-in hosts for real runs of ansible-playbook: each module runs in the namespace of its host.

Ansible connects locally. The Python of each host is a script that enters the host's namespaces and root.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller import CHECKOUT, ansible_environment
from drivers.kit.host_files import Driver
from drivers.kit.isolated_host import IsolatedHost
from drivers.kit.mount import mounted
from drivers.kit.namespace import Namespace

HERE = Path(__file__).parent

_ENTER = """#!/bin/sh
export PATH=/etc/programs:$PATH TMPDIR=/run
exec nsenter --target {pid} --mount --pid --root --wd=/ {python} "$@"
"""
_SECONDS = 240


def domain(name: str, uuid: str, *devices: str) -> str:
    """The XML of a guest with these devices."""
    hostdevs = "".join(
        f"<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='{device}'/></source></hostdev>"
        for device in devices
    )
    return f"<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid><devices>{hostdevs}</devices></domain>"


@dataclass(frozen=True)
class Played:
    """A finished run of ansible-playbook."""

    code: int
    output: str


class Fleet:
    """The hosts by name, and a controller."""

    def __init__(self, folder: Path, hosts: Mapping[str, IsolatedHost], pids: Mapping[str, int]) -> None:
        self.hosts = hosts
        self._folder = folder
        place = folder / "collections/ansible_collections/vfio"
        place.mkdir(parents=True)
        (place / "mdev").symlink_to(CHECKOUT)
        entries: dict[str, dict[str, Any]] = {}
        for name, pid in pids.items():
            python = folder / f"python-{name}"
            python.write_text(_ENTER.format(pid=pid, python=shlex.quote(sys.executable)))
            python.chmod(0o755)
            entries[name] = {"ansible_connection": "local", "ansible_python_interpreter": str(python)}
        inventory = {"all": {"children": {"gpu_hosts": {"hosts": entries}}}}
        (folder / "inventory.yml").write_text(json.dumps(inventory))

    def add_guest(self, host: str, name: str, uuid: str, *devices: str, state: str = "running") -> None:
        """Let libvirt on the host have a guest."""
        path = self._folder / "fleet" / host / uuid
        path.with_suffix(".state").write_text(state)
        path.write_text(domain(name, uuid, *devices))

    def mark(self, host: str, uuid: str, mark: str, is_set: bool = True) -> None:
        """Let a guest's migration be slow or broken."""
        path = (self._folder / "fleet" / host / uuid).with_suffix(f".{mark}")
        path.touch() if is_set else path.unlink()

    def move(self, source: str, destination: str, uuid: str, state: str) -> None:
        """Let a guest be on another host, as if its migration had got this far, or at a place that is no host."""
        folder = self._folder / "fleet"
        (folder / destination).mkdir(exist_ok=True)
        (folder / destination / uuid).with_suffix(".state").write_text(state)
        (folder / source / uuid).rename(folder / destination / uuid)
        (folder / source / uuid).with_suffix(".state").unlink()

    def guests(self) -> dict[str, set[tuple[str, str]]]:
        """The guests of each host, as (name, state)."""
        return {
            name: {(guest["name"], guest["state"]) for guest in host.guest_info()} for name, host in self.hosts.items()
        }

    def desturis(self) -> dict[str, str]:
        """The libvirt URIs of the hosts."""
        return {name: f"stand-in:{name}" for name in self.hosts}

    @property
    def environment(self) -> dict[str, str]:
        """That of Ansible on the controller."""
        return {
            **ansible_environment(self._folder),
            "PYTHONUNBUFFERED": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_FORKS": "10",
        }

    def start(self, playbook: str, limit: str, *options: str, **variables: Any) -> subprocess.Popen[str]:
        """Start ansible-playbook."""
        command = ["ansible-playbook", "-i", "inventory.yml", playbook, "-l", limit, "-e", json.dumps(variables)]
        return subprocess.Popen(
            [*command, *options],
            cwd=self._folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )

    def play(self, playbook: str, limit: str, *options: str, **variables: Any) -> Played:
        """Run a playbook of the collection."""
        process = self.start(playbook, limit, *options, **variables)
        try:
            output, _errors = process.communicate(timeout=_SECONDS)
        finally:
            process.kill()
        return Played(process.returncode, output)


@contextmanager
def fleet(folder: Path, more: Path | None = None, **drivers: Driver) -> Iterator[Fleet]:
    """Hosts with these names, each with a driver. '_' in a name stands for '-'. more: more files of the hosts."""
    hosts: dict[str, IsolatedHost] = {}
    pids: dict[str, int] = {}
    shared = folder / "fleet"
    shared.mkdir()
    (shared / "seconds").write_text("0.5")
    with ExitStack() as stack:
        for python_name, driver in drivers.items():
            name = python_name.replace("_", "-")
            place, scratch = folder / name / "host", folder / name / "scratch"
            place.mkdir(parents=True)
            scratch.mkdir()
            files = stack.enter_context(mounted(place, driver))
            namespace = Namespace(place, scratch, shared=shared, more=more)
            stack.callback(namespace.stop)
            (shared / name).mkdir()
            (namespace.etc / "fleet-name").write_text(name)
            shutil.copy(HERE / "fleet_virsh", namespace.etc / "programs/virsh")
            hosts[name] = IsolatedHost(files, namespace)
            hosts[name].reboot()
            pids[name] = namespace.inner_pid
        yield Fleet(folder, hosts, pids)
