# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures tasks beside ping on this machine: ./dev bench native [--hosts N] [--runs N].

It needs no lab hosts. Each inventory host is a tree of files on this machine, with a local connection. First the
modules' processes are measured alone, then whole plays with one host and with many, with and without pipelining.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from dev.stage import collections_path, staged
from lab.errors import LabError
from lab.progress import say, stage

from benchmarks.on_host import make_tree, measure

_FORKS = 20
_SECONDS = 60.0
# How often the process of a module is measured for each run of the plays: it is short.
_PROCESSES_A_RUN = 5
_PING = "ping"


@dataclass(frozen=True)
class Size:
    """The tree of a host: parents, types of each, devices, and virtual functions of a card."""

    parents: int
    types: int
    devices: int
    functions: int


SIZES = {"small": Size(4, 4, 40, 1), "big": Size(160, 24, 40, 20)}


@dataclass(frozen=True)
class Way:
    """A task on hosts of one size. wanted: the most that its process should take beside that of ping."""

    name: str
    module: str
    size: str
    wanted: float = 0.0


WAYS = (
    Way(_PING, "ansible.builtin.ping", "small"),
    Way("mdev_info", "vfio.mdev.mdev_info", "small", 1.2),
    Way("mdev_set of 40 devices again", "vfio.mdev.mdev_set", "small", 1.3),
    Way("mdev_info, big host", "vfio.mdev.mdev_info", "big", 1.8),
    Way("mdev_set of 40 devices again, big host", "vfio.mdev.mdev_set", "big"),
)


@dataclass(frozen=True)
class Play:
    """How a task runs in a play."""

    hosts: int
    pipelining: bool


@dataclass(frozen=True)
class Sample:
    """Seconds of a process or of a whole play. module: CPU seconds of the module's process on a host, in a play."""

    wall: float
    cpu: float
    module: float = 0.0


Samples = dict[str, list[Sample]]


def main(arguments: Sequence[str]) -> int:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(prog="./dev bench native", description=__doc__)
    parser.add_argument("--hosts", type=int, default=200, help="default 200")
    parser.add_argument("--runs", type=int, default=3, help="plays with one host, default 3")
    options = parser.parse_args(arguments)
    with staged() as tree, tempfile.TemporaryDirectory(prefix="vfio-mdev-native-") as name:
        bench = Bench(Path(name), collections_path(tree), options.hosts)
        bench.prepare()
        print(process_table(bench.processes(options.runs * _PROCESSES_A_RUN)))
        plays = {
            Play(hosts, pipelining): bench.plays(Play(hosts, pipelining), options.runs if hosts == 1 else 1)
            for hosts in (1, options.hosts)
            for pipelining in (True, False)
        }
        print(play_table(plays))
    return 0


class Bench:
    """The hosts, and what is measured on them."""

    def __init__(self, folder: Path, collections: Path, hosts: int) -> None:
        self.folder = folder
        self.hosts = hosts
        configuration = folder / "ansible.cfg"
        configuration.touch()
        self._settings: dict[str, object] = {
            "ANSIBLE_CONFIG": configuration,
            "ANSIBLE_HOME": folder / "home",
            "ANSIBLE_LOCAL_TEMP": folder / "local",
            "ANSIBLE_REMOTE_TEMP": folder / "remote",
            "ANSIBLE_COLLECTIONS_PATH": collections,
            "ANSIBLE_FORKS": _FORKS,
        }

    def prepare(self) -> None:
        """Build the hosts and define their devices, so that a second mdev_set changes nothing."""
        with stage("building hosts"):
            for name, size in SIZES.items():
                build(self._tree(name, 0), size)
                self._keep_payload(next(way for way in WAYS if way.size == name and way.module.endswith("mdev_set")))
            for number in range(1, self.hosts):
                shutil.copytree(self._tree("small", 0), self._tree("small", number), symlinks=True)
        for way in WAYS:
            self._keep_payload(way)
            check_unchanged(self._payload(way))

    def processes(self, runs: int) -> Samples:
        """The modules' processes alone, each in turn."""
        with stage("measuring processes"):
            return in_turn(WAYS, runs, lambda way: self._measure([sys.executable, str(self._payload(way))]))

    def plays(self, play: Play, runs: int) -> Samples:
        """A play with a single task, for each way in turn. Only one host is big."""
        say(f"plays, hosts: {play.hosts}, pipelining {'on' if play.pipelining else 'off'}")
        ways = [way for way in WAYS if play.hosts == 1 or way.size == "small"]
        return in_turn(ways, runs, lambda way: self._play(way, play))

    def _play(self, way: Way, play: Play) -> Sample:
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            folder = Path(name)
            python = timed_python(folder)
            sample = self._measure(self._command(way, play, folder, python))
            modules = [module_seconds(path.read_text()) for path in (folder / "times").iterdir()]
        if len(modules) != play.hosts:
            raise LabError(f"{way.name}: {len(modules)} processes on {play.hosts} hosts")
        return replace(sample, module=sum(modules) / play.hosts)

    def _command(self, way: Way, play: Play, folder: Path, python: Path, **settings: object) -> list[str]:
        hosts = {
            f"host-{number}": {"tree": str(self._tree(way.size, number)), "ansible_connection": "local"}
            for number in range(play.hosts)
        }
        variables = {"ansible_python_interpreter": str(python)}
        (folder / "inventory.yml").write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))
        task = {"name": way.name, way.module: self._arguments(way)}
        book = [{"name": "Measured", "hosts": "all", "gather_facts": False, "tasks": [task]}]
        (folder / "playbook.yml").write_text(json.dumps(book))
        all_settings = {**self._settings, "ANSIBLE_PIPELINING": int(play.pipelining), **settings}
        assigned = [f"{name}={value}" for name, value in all_settings.items()]
        return ["env", *assigned, "ansible-playbook", "-i", f"{folder}/inventory.yml", f"{folder}/playbook.yml"]

    def _arguments(self, way: Way) -> dict[str, Any]:
        paths = {"sysfs_path": "{{ tree }}/sys", "definitions_path": "{{ tree }}/etc/mdevctl.d"}
        if way.name == _PING:
            return {}
        if way.module.endswith("mdev_set"):
            return {**paths, "name": "set", "devices": devices(self._tree(way.size, 0)), "autostart": False}
        return paths

    def _keep_payload(self, way: Way) -> None:
        """Run the task once, and keep what Ansible ships for it. Without pipelining, Ansible can leave its files."""
        place = self._payload(way).parent
        shutil.rmtree(place, ignore_errors=True)
        settings = {"ANSIBLE_KEEP_REMOTE_FILES": 1, "ANSIBLE_REMOTE_TEMP": place}
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            command = self._command(way, Play(1, False), Path(name), Path(sys.executable), **settings)
            measure.measure(command)
        [payload] = place.rglob("AnsiballZ_*.py")
        payload.rename(self._payload(way))

    def _payload(self, way: Way) -> Path:
        return self.folder / "payloads" / way.name.replace(" ", "_") / "payload.py"

    def _tree(self, size: str, number: int) -> Path:
        return self.folder / "hosts" / f"{size}-{number}"

    def _measure(self, command: list[str]) -> Sample:
        usage = measure.measure(command)
        return Sample(usage["seconds"], usage["cpu_seconds"])


def build(tree: Path, size: Size) -> None:
    """A host as files: sysfs, and /proc with this process only, which holds no device."""
    make_tree.build(tree / "sys", size.parents, size.types, size.devices, size.functions)
    (tree / "etc").mkdir()
    (tree / "etc" / "machine-id").write_text(f"{'0' * 31}1\n")
    (tree / "proc").mkdir()
    (tree / "proc" / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")


def check_unchanged(payload: Path) -> None:
    """A task that changes its host would be measured once only."""
    done = subprocess.run([sys.executable, str(payload)], capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0 or json.loads(done.stdout).get("changed"):
        raise LabError(f"{payload} failed or changed its host: {(done.stdout + done.stderr)[-2000:]}")


def devices(tree: Path) -> list[dict[str, str]]:
    """The devices of a tree as mdev_set takes them."""
    return [
        {
            "uuid": device.name,
            "type": (device / "mdev_type").resolve().name,
            "parent": device.resolve().parent.name,
        }
        for device in sorted((tree / "sys/bus/mdev/devices").iterdir())
    ]


def timed_python(folder: Path) -> Path:
    """A Python that leaves the CPU time of each of its runs in the folder 'times'."""
    (folder / "times").mkdir()
    python = folder / "python"
    python.write_text(f'#!/bin/bash\n"{sys.executable}" "$@"\ncode=$?\ntimes >"{folder}/times/$$"\nexit $code\n')
    python.chmod(0o755)
    return python


def module_seconds(times: str) -> float:
    """The CPU seconds of the children in the output of 'times': its second line, such as '0m0.120s 0m0.031s'."""
    fields = [field.rstrip("s").split("m") for field in times.splitlines()[1].split()]
    return sum(60 * int(minutes) + float(seconds) for minutes, seconds in fields)


def in_turn(ways: Iterable[Way], runs: int, sample: Callable[[Way], Sample]) -> Samples:
    """Samples of all ways, each once in each run, so that a busy moment of the machine hits all of them."""
    samples: Samples = defaultdict(list)
    for _run in range(runs):
        for way in ways:
            samples[way.name].append(sample(way))
    return samples


def process_table(samples: Samples) -> str:
    """The processes in Markdown."""
    rows = []
    for way in WAYS:
        cpu, wall = (_median(samples, way.name, value) for value in ("cpu", "wall"))
        ratios = (cpu / _median(samples, _PING, "cpu"), wall / _median(samples, _PING, "wall"))
        wanted = f"{way.wanted:.1f}" if way.wanted else ""
        rows.append([way.name, f"{cpu:.3f}", f"{ratios[0]:.2f}", wanted, f"{wall:.3f}", f"{ratios[1]:.2f}"])
    return _table(["process", "CPU s", "/ ping", "at most", "wall s", "/ ping"], rows)


def play_table(plays: Mapping[Play, Samples]) -> str:
    """The plays in Markdown. The controller's CPU time is that of the play without that of the modules."""
    rows = []
    for play, samples in plays.items():
        for name in samples:
            wall, cpu, module = (_median(samples, name, value) for value in ("wall", "cpu", "module"))
            controller = cpu - play.hosts * module
            ping = _median(samples, _PING, "cpu"), _median(samples, _PING, "wall"), _median(samples, _PING, "module")
            rows.append(
                [
                    str(play.hosts),
                    "on" if play.pipelining else "off",
                    name,
                    f"{module:.3f}",
                    f"{module / ping[2]:.2f}",
                    f"{controller:.2f}",
                    f"{controller / (ping[0] - play.hosts * ping[2]):.2f}",
                    f"{wall:.2f}",
                    f"{wall / ping[1]:.2f}",
                ]
            )
    heads = ["hosts", "pipelining", "task", "module's CPU s on a host", "/ ping", "controller's CPU s", "/ ping"]
    return _table([*heads, "wall s", "/ ping"], rows)


def _median(samples: Samples, name: str, value: str) -> float:
    return float(median(getattr(sample, value) for sample in samples[name]))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    texts = 3 if heads[0] == "hosts" else 1
    lines = [heads, [*["---"] * texts, *["---:"] * (len(heads) - texts)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
