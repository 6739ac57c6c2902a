# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures as plots: time over size, both axes logarithmic, a line for each way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import pyplot

from benchmarks.medians import Medians


@dataclass(frozen=True)
class _Plot:
    part: str
    file: str
    title: str
    size: str
    label: str
    where: dict[str, Any]


_PLOTS = (
    _Plot("creating", "creating.svg", "Creating devices", "count", "devices", {"defined": False}),
    _Plot("creating", "creating_defined.svg", "Creating and defining devices", "count", "devices", {"defined": True}),
    _Plot("reading", "reading.svg", "Reading a host, 24 types and 8 devices a parent", "parents", "parents", {}),
)


def draw(figures: dict[str, Any], folder: Path) -> None:
    """Write a picture for each part that was measured."""
    # The same figures give the same file.
    pyplot.rcParams["svg.hashsalt"] = "vfio.mdev"
    for plot in _PLOTS:
        if plot.part in figures:
            _draw(plot, Medians(figures[plot.part]["samples"]), folder / plot.file)


def _draw(plot: _Plot, medians: Medians, file: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    sizes = medians.sizes(plot.size)
    for way in medians.ways():
        seconds = [medians.seconds(way, **plot.where, **{plot.size: size}) for size in sizes]
        points = [(size, median) for size, median in zip(sizes, seconds, strict=True) if median is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=way)
    axes.set(xscale="log", yscale="log", xlabel=plot.label, ylabel="seconds", title=plot.title)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
