# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures as tables in Markdown, with targets beside the measured ratios."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.medians import Medians

_HEAD = """# Figures

Written by `./dev bench`; all figures are in `figures.json`. They are medians, and the other ways were measured in the
same run. Software emulation is about twenty times slower than hardware: compare the ratios, not the seconds.
[README.md](README.md) explains where the time goes and why some ratios miss their targets.
"""


def text(figures: dict[str, Any]) -> str:
    """The page FIGURES.md."""
    parts = [section(figures[part]) for part, section in _SECTIONS.items() if part in figures]
    return "\n".join([_HEAD, *parts])


def _creating(part: dict[str, Any]) -> str:
    medians = Medians(part["samples"])
    blocks = ["## Creating devices\n", _runs(part), "![Creating](creating.svg)\n"]
    for defined in (False, True):
        where: dict[str, object] = {"defined": defined}
        blocks.append(f"### {'Created and defined' if defined else 'Created'}, seconds\n")
        blocks.append(_table_of(medians, "count", "devices", where))
        blocks.append(_targets(_creating_targets(medians, {**where, "count": medians.sizes("count")[-1]})))
    blocks.append("![Creating and defining](creating_defined.svg)\n")
    peak = medians.peak_kib("module", defined=True, count=medians.sizes("count")[-1])
    blocks.append(_sizes(part, peak))
    return "\n".join([*blocks, _machine(part)])


def _creating_targets(medians: Medians, where: dict[str, object]) -> list[Sequence[str]]:
    module, startup = medians.seconds("module", **where), medians.seconds("module start-up", **where)
    work = None if module is None or startup is None else module - startup
    over = _divided(work, medians.seconds("bare writes", **where))
    count = where["count"]
    return [
        (
            f"a task loop of `mdevctl start` / one `mdev_set` task, {count} devices",
            "at least 30",
            _number(medians.ratio("mdevctl task loop", "mdev_set", **where)),
        ),
        (
            f"a loop of `mdev_device` tasks / one `mdev_set` task, {count} devices",
            "",
            _number(medians.ratio("mdev_device loop", "mdev_set", **where)),
        ),
        (
            f"a shell loop of `mdevctl start` on the host / the module's process, {count} devices",
            "at least 3",
            _number(medians.ratio("mdevctl shell loop", "module", **where)),
        ),
        (
            f"a shell loop of `mdevctl start` on the host / one `mdev_set` task, {count} devices",
            "",
            _number(medians.ratio("mdevctl shell loop", "mdev_set", **where)),
        ),
        (f"the module's process without its start-up / bare writes, {count} devices", "at most 1.3", _number(over)),
        (
            f"a second run that changes nothing / `ansible.builtin.ping`, {count} devices",
            "at most 1.3",
            _number(medians.ratio("mdev_set again", "ping", **where)),
        ),
    ]


def _reading(part: dict[str, Any]) -> str:
    medians = Medians(part["samples"])
    largest = medians.sizes("parents")[-1]
    first = medians.seconds("mdev_info", parents=medians.sizes("parents")[0])
    last = medians.seconds("mdev_info", parents=largest)
    growth = _divided(last, first)
    ours = _difference(medians, "mdev_info", "ping", largest)
    bare = _difference(medians, "bare loop", "Python alone", largest)
    mdevctl = medians.seconds("mdevctl types and list", parents=largest)
    rows = [
        (
            f"`mdev_info` / `mdevctl types` and `mdevctl list`, {largest} parents",
            "at most 1",
            _number(medians.ratio("mdev_info", "mdevctl types and list", parents=largest)),
        ),
        (
            f"`mdev_info` / a bare loop over the same files, {largest} parents",
            "at most 2.5",
            _number(medians.ratio("mdev_info", "bare loop", parents=largest)),
        ),
        (
            f"`mdev_info` without what `ping` takes / `mdevctl types` and `mdevctl list`, {largest} parents",
            "",
            _number(_divided(ours, mdevctl)),
        ),
        (
            f"`mdev_info` without what `ping` takes / a bare loop without Python's start, {largest} parents",
            "",
            _number(_divided(ours, bare)),
        ),
        (f"`mdev_info`, {largest} parents / {medians.sizes('parents')[0]} parents", "at most 8", _number(growth)),
        ("files opened more than once in a run", "0", str(part["opened_twice"])),
    ]
    blocks = [
        "## Reading a host\n",
        _runs(part),
        "![Reading](reading.svg)\n",
        "### Seconds\n",
        _table_of(medians, "parents", "parents", {}),
        _targets(rows),
        _sizes(part, medians.peak_kib("mdev_info", parents=largest)),
    ]
    return "\n".join([*blocks, _machine(part)])


def _difference(medians: Medians, way: str, other: str, parents: int) -> float | None:
    first, second = medians.seconds(way, parents=parents), medians.seconds(other, parents=parents)
    return None if first is None or second is None else first - second


def _divided(dividend: float | None, divisor: float | None) -> float | None:
    return None if dividend is None or divisor is None else dividend / divisor


def _preparing(part: dict[str, Any]) -> str:
    medians = Medians(part["samples"])
    few, many = medians.sizes("guests")
    ratio = _divided(medians.seconds("prepare", guests=many), medians.seconds("prepare", guests=few))
    blocks = [
        "## Preparing for a migration\n",
        _runs(part),
        "### Seconds, two devices a guest\n",
        _table_of(medians, "guests", "guests", {}),
        _targets([(f"{many} guests prepared / {few} guest", "at most 2", _number(ratio))]),
    ]
    return "\n".join([*blocks, _machine(part)])


_SECTIONS = {"creating": _creating, "reading": _reading, "preparing": _preparing}


def _runs(part: dict[str, Any]) -> str:
    return f"{part['runs']} runs. {part.get('note', '')}".strip() + "\n"


def _table_of(medians: Medians, key: str, label: str, where: dict[str, object]) -> str:
    sizes = medians.sizes(key)
    rows = [[way, *(_number(medians.seconds(way, **where, **{key: size})) for size in sizes)] for way in medians.ways()]
    return _table([label, *(str(size) for size in sizes)], rows)


def _targets(rows: Iterable[Sequence[str]]) -> str:
    return _table(["ratio", "target", "measured"], rows)


def _sizes(part: dict[str, Any], peak_kib: float | None) -> str:
    rows = [
        [f"shipped for a task of `{name}`", f"{size / 1000:.0f} kB"] for name, size in part["shipped_bytes"].items()
    ]
    rows.append(["peak memory of the module's process", f"{(peak_kib or 0) / 1024:.0f} MiB"])
    return _table(["size", ""], rows)


def _machine(part: dict[str, Any]) -> str:
    return _table(["measured on", ""], part["machine"].items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
