# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices created: one mdev_set task beside loops of tasks, a loop on the host, and bare writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from lab.progress import say

from benchmarks.host import BenchHost, Task

COUNTS = (1, 16, 64, 256)
_PARENT, _TYPE = "mdpy", "mdpy-vga"
_PING: Task = {"ansible.builtin.ping": {}}


_NOTE = "Loops of tasks are measured in the first one only: each is the sum of so many tasks that take seconds each."

_Found = list[tuple[str, float, int]]
_Ways = dict[str, Callable[[BenchHost, int, bool], _Found]]


@dataclass(frozen=True)
class Sample:
    """One measurement. seconds is a task's time where ``way`` is one, else a process's time on the host."""

    way: str
    count: int
    defined: bool
    seconds: float
    peak_kib: int = 0


def measure(host: BenchHost, runs: int) -> dict[str, Any]:
    """All ways at all counts, one after the other, and all of it again."""
    host.sh("modprobe -r mdpy; modprobe mdpy count=300")
    shipped = {"ansible.builtin.ping": host.payload("ping", "ansible.builtin.ping", {})}
    shipped["vfio.mdev.mdev_set"] = host.payload("clean", "vfio.mdev.mdev_set", _cleaned())
    for count in COUNTS:
        for defined in (False, True):
            host.payload(_program(count, defined), "vfio.mdev.mdev_set", _set(count, defined))
    host.usage("python3 clean.py")
    samples: list[Sample] = []
    for run in range(runs):
        for count in COUNTS:
            for defined in (False, True):
                say(f"run {run + 1} of {runs}: {count} devices{', defined' if defined else ''}")
                samples.extend(_all_ways(host, count, defined, _WAYS if run == 0 else _SHORT))
    return {"shipped_bytes": shipped, "note": _NOTE, "samples": [asdict(one) for one in samples]}


def _all_ways(host: BenchHost, count: int, defined: bool, ways: _Ways) -> Iterator[Sample]:
    for way, measured in ways.items():
        for name, seconds, peak in measured(host, count, defined):
            yield Sample(name or way, count, defined, seconds, peak)
        host.usage("python3 clean.py")


def _one_task(host: BenchHost, count: int, defined: bool) -> _Found:
    """The set, the same again, and a task that does nothing at all, in one play."""
    task = {"vfio.mdev.mdev_set": _set(count, defined)}
    _first, created, again, nothing = host.play(_PING, task, task, _PING)
    return [("mdev_set", created, 0), ("mdev_set again", again, 0), ("ping", nothing, 0)]


def _module_process(host: BenchHost, count: int, defined: bool) -> _Found:
    """What the module itself takes, and what it takes where nothing is to be done."""
    found = []
    for name, program in (("module start-up", "clean"), ("module", _program(count, defined))):
        usage = host.usage(f"python3 {program}.py")
        found.append((name, usage.seconds, usage.peak_kib))
    return found


def _device_loop(host: BenchHost, count: int, defined: bool) -> _Found:
    task = {
        "vfio.mdev.mdev_device": {
            "name": "bench-{{ item }}",
            "type": _TYPE,
            "parent": _PARENT,
            "persistent": defined,
            "autostart": False,
        }
    }
    return [("", host.play(_PING, {**task, "loop": _items(count)})[1], 0)]


def _mdevctl_loop(host: BenchHost, count: int, defined: bool) -> _Found:
    line = _mdevctl("{{ item | to_uuid }}", defined)
    task: Task = {"ansible.builtin.shell": {"cmd": line}, "loop": _items(count)}
    return [("", host.play(_PING, task)[1], 0)]


def _shell_loop(host: BenchHost, count: int, defined: bool) -> _Found:
    line = f"for one in $(seq {count}); do {_mdevctl('$(cat /proc/sys/kernel/random/uuid)', defined)} || exit 1; done"
    return [("", host.usage(f"sh -c '{line}'").seconds, 0)]


def _bare_writes(host: BenchHost, count: int, defined: bool) -> _Found:
    definitions = " /etc/mdevctl.d" if defined else ""
    return [("", host.usage(f"python3 bare_create.py {_PARENT} {_TYPE} {count}{definitions}").seconds, 0)]


_SHORT: _Ways = {
    "set": _one_task,
    "process": _module_process,
    "mdevctl shell loop": _shell_loop,
    "bare writes": _bare_writes,
}
_WAYS: _Ways = {**_SHORT, "mdev_device loop": _device_loop, "mdevctl task loop": _mdevctl_loop}


def _program(count: int, defined: bool) -> str:
    return f"set{count}{'d' if defined else ''}"


def _items(count: int) -> str:
    return f"{{{{ range({count}) | map('string') | list }}}}"


def _mdevctl(uuid: str, defined: bool) -> str:
    """What an operator types for one device. start gets all it needs, so that nothing depends on a definition."""
    words = f"-u $one -p {_PARENT} -t {_TYPE}"
    define = f"mdevctl define {words} && " if defined else ""
    return f"one={uuid}; {define}mdevctl start {words}"


def _set(count: int, defined: bool) -> dict[str, Any]:
    return {
        "name": "bench",
        "devices": [{"type": _TYPE, "parent": _PARENT, "count": count}],
        "persistent": defined,
        "autostart": False,
        "purge": "owned",
    }


def _cleaned() -> dict[str, Any]:
    return {"name": "bench", "devices": [], "purge": "all", "on_in_use": "fail"}
