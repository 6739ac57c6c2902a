# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the report on many big hosts: ./dev bench fleet [--hosts N] [--keep FOLDER].

It needs no lab hosts. Each host has 8 cards of 20 functions, 24 types and 40 devices, and answers with a recorded
result. A playbook with a single ping task runs on the same hosts: much of the controller's time is Ansible's own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dev.environment import CHECKOUT
from dev.stage import collections_path, staged
from lab.errors import LabError

_SECONDS = 1800.0
_CARDS, _FUNCTIONS, _TYPES, _DEVICES = 8, 20, 24, 40
_PING = """---
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
"""


@dataclass(frozen=True)
class Cost:
    """CPU seconds of the controller and its children, and the largest resident memory of one process."""

    cpu_seconds: float
    peak_mib: float


def big_host() -> dict[str, Any]:
    """The result of mdev_info on a big host, built by the module's own functions."""
    sys.path.insert(0, str(CHECKOUT / "tests" / "playbooks"))
    recorded = importlib.import_module("fleet")
    values = importlib.import_module("ansible_collections.vfio.mdev.plugins.module_utils._model.inventory")

    types = tuple(
        values.Type(
            f"nvidia-{700 + number}", f"NVIDIA L40S-{number + 1}Q", f"framebuffer={1024 * (number + 1)}M", "vfio-pci", 1
        )
        for number in range(_TYPES)
    )
    parents: list[Any] = []
    devices: list[Any] = []
    for card in range(_CARDS):
        functions = [
            recorded.parent(
                f"0000:{0x40 + card:02x}:{4 + number // 8:02x}.{number % 8}",
                *types,
                driver="nvidia",
                numa_node=card % 2,
                physical_function=f"0000:{0x40 + card:02x}:00.0",
            )
            for number in range(_FUNCTIONS)
        ]
        for number in range(_DEVICES // _CARDS):
            full = tuple(replace(mdev_type, available_instances=0) for mdev_type in types)
            functions[number] = replace(functions[number], types=full)
            index = card * _DEVICES + number
            user = recorded.guest(f"guest-{card}-{number}", 1000 + index)
            devices.append(recorded.device(index, functions[number], "nvidia-703", user, iommu_group=index))
        parents += functions
    definitions = tuple(recorded.defined(active) for active in devices)
    result: dict[str, Any] = recorded.answer(values.Inventory(tuple(parents), tuple(devices), definitions))
    return result


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Cost:
    """Run a command in a process of its own, so that only its children are counted."""
    program = (
        "import json, resource, subprocess, sys\n"
        "code = subprocess.run(json.loads(sys.argv[1]), stdout=subprocess.DEVNULL).returncode\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(list(command))],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        timeout=_SECONDS,
        check=True,
    )
    code, cpu_seconds, peak_mib = json.loads(done.stdout)
    if code != 0:
        raise LabError(f"'{' '.join(command)}' ended with exit code {code}")
    return Cost(cpu_seconds, peak_mib)


def inventory(folder: Path, hosts: int, answer: Mapping[str, Any]) -> Path:
    """Hosts whose Python prints the recorded result."""
    (folder / "answer.json").write_text(json.dumps(answer))
    python = folder / "python"
    python.write_text(f"#!/bin/sh\nexec cat {folder}/answer.json\n")
    python.chmod(0o755)
    connection = {"ansible_connection": "local", "ansible_python_interpreter": str(python)}
    place = folder / "inventory.yml"
    place.write_text(json.dumps({"all": {"hosts": {f"gpu-{number}": connection for number in range(hosts)}}}))
    return place


def main(arguments: Sequence[str]) -> int:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(prog="./dev bench fleet", description=__doc__)
    parser.add_argument("--hosts", type=int, default=200, help="default 200")
    parser.add_argument("--keep", type=Path, help="copy the page to this folder")
    options = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with staged() as stage, tempfile.TemporaryDirectory(prefix="vfio-mdev-fleet-") as name:
        folder, page = Path(name), Path(name) / "fleet.html"
        sys.path.insert(0, str(collections_path(stage)))
        answer = big_host()
        hosts = inventory(folder, options.hosts, answer)
        (folder / "ping.yml").write_text(_PING)
        environment = {"ANSIBLE_COLLECTIONS_PATH": str(collections_path(stage)), "ANSIBLE_PIPELINING": "1"}
        command = ["ansible-playbook", "-i", str(hosts)]
        report = measure([*command, "vfio.mdev.report", "-e", f"report_file={page}"], folder, environment)
        ping = measure([*command, str(folder / "ping.yml")], folder, environment)
        print(f"hosts                                {options.hosts}")
        print(f"answer of a host                     {(folder / 'answer.json').stat().st_size / 1000:.0f} kB")
        print(f"page                                 {page.stat().st_size / 1e6:.2f} MB")
        print(f"CPU of the report                    {report.cpu_seconds:.1f} s")
        print(f"CPU of a playbook with one ping task {ping.cpu_seconds:.1f} s")
        print(f"memory of the controller             {report.peak_mib:.0f} MiB")
        if options.keep:
            (options.keep / "fleet.html").write_bytes(page.read_bytes())
    return 0
