# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's numbers as metrics in Prometheus' text format. Pure.

Source of the format: https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md
node_exporter's textfile collector refuses timestamps, so the time of the run is a metric:
https://github.com/prometheus/node_exporter#textfile-collector
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .counts import HostCounts, TypeCounts

Labels = Mapping[str, str]
Sample = tuple[Labels, float]

_NO_LABELS: Labels = {}


@dataclass(frozen=True)
class Metric:
    """A gauge with its samples."""

    name: str
    help: str
    samples: Sequence[Sample]


def metrics_text(counts: HostCounts, failed_units: Mapping[str, bool], now: float) -> str:
    """The content of the file. failed_units: whether these units of ours failed. now: in seconds since 1970."""
    return "".join(_lines(metrics_of(counts, failed_units, now)))


def metrics_of(counts: HostCounts, failed_units: Mapping[str, bool], now: float) -> tuple[Metric, ...]:
    """All metrics of a host."""
    return (
        Metric(
            "vfio_mdev_devices",
            "Mediated devices and vGPUs by type and state: in_use, use_unknown, idle, or inactive (defined only).",
            [sample for mdev_type in counts.types for sample in _by_state(mdev_type)],
        ),
        Metric(
            "vfio_mdev_room",
            "Devices of this type that would fit in addition, if only this type is created.",
            [(_labels(mdev_type), mdev_type.room) for mdev_type in counts.types if mdev_type.room is not None],
        ),
        _total("vfio_mdev_drifted_devices", "Devices that differ from their definitions.", counts.drifted),
        _total("vfio_mdev_orphaned_devices", "Active devices that nothing defines and nobody uses.", counts.orphaned),
        _total(
            "vfio_mdev_half_removed_devices",
            "Devices that were removed while they were in use and still take an instance.",
            counts.half_removed,
        ),
        _total(
            "vfio_mdev_broken_definitions",
            "Files named by a UUID that are no valid definitions.",
            counts.broken_definitions,
        ),
        _total("vfio_mdev_unread_files", "Files and folders that could not be read.", counts.unread),
        Metric(
            "vfio_mdev_boot_unit_failed",
            "Whether a unit that prepares devices at boot has failed.",
            [({"unit": unit}, float(has_failed)) for unit, has_failed in failed_units.items()],
        ),
        Metric(
            "vfio_mdev_framework_info",
            "How this host slices its devices: mdev, vendor_vfio or none.",
            [({"framework": counts.framework}, 1)],
        ),
        _total("vfio_mdev_last_run_timestamp_seconds", "When these metrics were written.", now),
    )


def _total(name: str, help_text: str, value: float) -> Metric:
    return Metric(name, help_text, [(_NO_LABELS, value)])


def _by_state(mdev_type: TypeCounts) -> Iterator[Sample]:
    numbers = {
        "in_use": mdev_type.use.in_use,
        "use_unknown": mdev_type.use.unknown,
        "idle": mdev_type.use.idle,
        "inactive": mdev_type.inactive,
    }
    for state, number in numbers.items():
        yield {**_labels(mdev_type), "state": state}, number


def _labels(mdev_type: TypeCounts) -> dict[str, str]:
    return {"type": mdev_type.id, "name": mdev_type.name or mdev_type.id}


def _lines(metrics: Iterable[Metric]) -> Iterator[str]:
    for metric in metrics:
        if metric.samples:
            yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} gauge\n"
            for labels, value in metric.samples:
                yield f"{metric.name}{_label_text(labels)} {_number(value)}\n"


def _label_text(labels: Labels) -> str:
    if not labels:
        return ""
    return f"{{{','.join(f'{name}={_quoted(value)}' for name, value in labels.items())}}}"


def _quoted(value: str) -> str:
    """The format escapes backslashes, quotes and line feeds."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"
