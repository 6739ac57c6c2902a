# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creating devices: one mdev_set task compared with loops of tasks, a loop on the host, and bare writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from lab.progress import say

from benchmarks.host import BenchHost, Task

COUNTS = (1, 16, 64, 256)
_PARENT, _TYPE = "mdpy", "mdpy-vga"
_PING: Task = {"ansible.builtin.ping": {}}


_NOTE = "Loops of tasks are measured in the first run only, because each of their tasks takes seconds."

_Timings = list[tuple[str, float, int]]
_Ways = dict[str, Callable[[BenchHost, int, bool], _Timings]]


@dataclass(frozen=True)
class Sample:
    """One measurement. seconds is the time of a task if ``way`` is a task, otherwise of a process on the host."""

    way: str
    count: int
    defined: bool
    seconds: float
    peak_kib: int = 0


def measure(host: BenchHost, runs: int) -> dict[str, Any]:
    """Measure every way with every count, and repeat that ``runs`` times."""
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
    return {"shipped_bytes": shipped, "note": _NOTE, "samples": [asdict(sample) for sample in samples]}


def _all_ways(host: BenchHost, count: int, defined: bool, ways: _Ways) -> Iterator[Sample]:
    for way, measured in ways.items():
        for name, seconds, peak in measured(host, count, defined):
            yield Sample(name or way, count, defined, seconds, peak)
        host.usage("python3 clean.py")


def _one_task(host: BenchHost, count: int, defined: bool) -> _Timings:
    """The set, the same set again, and a task that does nothing, in one play."""
    task = {"vfio.mdev.mdev_set": _set(count, defined)}
    _first, created, again, nothing = host.play(_PING, task, task, _PING)
    return [("mdev_set", created, 0), ("mdev_set again", again, 0), ("ping", nothing, 0)]


def _module_process(host: BenchHost, count: int, defined: bool) -> _Timings:
    """The module's own process with the work, and without any work."""
    timings = []
    for name, program in (("module start-up", "clean"), ("module", _program(count, defined))):
        usage = host.usage(f"python3 {program}.py")
        timings.append((name, usage.seconds, usage.peak_kib))
    return timings


def _device_loop(host: BenchHost, count: int, defined: bool) -> _Timings:
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


def _mdevctl_loop(host: BenchHost, count: int, defined: bool) -> _Timings:
    line = _mdevctl("{{ item | to_uuid }}", defined)
    task: Task = {"ansible.builtin.shell": {"cmd": line}, "loop": _items(count)}
    return [("", host.play(_PING, task)[1], 0)]


def _shell_loop(host: BenchHost, count: int, defined: bool) -> _Timings:
    line = f"for index in $(seq {count}); do {_mdevctl('$(cat /proc/sys/kernel/random/uuid)', defined)} || exit 1; done"
    return [("", host.usage(f"sh -c '{line}'").seconds, 0)]


def _bare_writes(host: BenchHost, count: int, defined: bool) -> _Timings:
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
    """The commands for one device, as an operator types them. start has all arguments and needs no definition."""
    arguments = f"-u $uuid -p {_PARENT} -t {_TYPE}"
    define = f"mdevctl define {arguments} && " if defined else ""
    return f"uuid={uuid}; {define}mdevctl start {arguments}"


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
