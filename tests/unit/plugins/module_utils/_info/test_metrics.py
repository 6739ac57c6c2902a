# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of the metrics."""

from __future__ import annotations

import re

from ansible_collections.vfio.mdev.plugins.module_utils._info.counts import HostCounts, TypeCounts, Use
from ansible_collections.vfio.mdev.plugins.module_utils._info.metrics import metrics_text

TYPES = (
    TypeCounts("nvidia-471", "NVIDIA A100-8C", Use(in_use=5, unknown=1, idle=2), inactive=1, defined=6, room=3),
    TypeCounts("odd", 'a "b"\\c\nd', Use(), inactive=0, defined=0, room=None),
)
COUNTS = HostCounts("mdev", TYPES, drifted=1, orphaned=2, half_removed=3, broken_definitions=4, unread=5)

# The grammar of a sample. Source: the page that metrics.py names.
SAMPLE = re.compile(r'[a-z_]+(\{([a-z]+="(\\[\\"n]|[^\\"\n])*",?)+\})? -?[0-9.]+')


def test_text() -> None:
    text = metrics_text(COUNTS, {"vfio-mdev.service": True}, 1790000000.25)
    lines = text.splitlines()
    assert text.endswith("\n")
    assert 'vfio_mdev_devices{type="nvidia-471",name="NVIDIA A100-8C",state="use_unknown"} 1' in lines
    assert 'vfio_mdev_devices{type="odd",name="a \\"b\\"\\\\c\\nd",state="idle"} 0' in lines
    assert [line for line in lines if line.startswith("vfio_mdev_room")] == [
        'vfio_mdev_room{type="nvidia-471",name="NVIDIA A100-8C"} 3'
    ]
    assert [line for line in lines if line[0] != "#"][-9:] == [
        'vfio_mdev_room{type="nvidia-471",name="NVIDIA A100-8C"} 3',
        "vfio_mdev_drifted_devices 1",
        "vfio_mdev_orphaned_devices 2",
        "vfio_mdev_half_removed_devices 3",
        "vfio_mdev_broken_definitions 4",
        "vfio_mdev_unread_files 5",
        'vfio_mdev_boot_unit_failed{unit="vfio-mdev.service"} 1',
        'vfio_mdev_framework_info{framework="mdev"} 1',
        "vfio_mdev_last_run_timestamp_seconds 1790000000.250",
    ]
    assert [line for line in lines if line[0] != "#" and not SAMPLE.fullmatch(line)] == []


def test_each_metric_is_described_once_before_its_samples() -> None:
    described: list[str] = []
    for line in metrics_text(COUNTS, {}, 0).splitlines():
        if line.startswith("# HELP"):
            described.append(line.split()[2])
        elif line.startswith("# TYPE"):
            assert line.split()[2:] == [described[-1], "gauge"]
        else:
            assert re.split(r"[{ ]", line)[0] == described[-1]
    assert len(described) == len(set(described))
    assert "vfio_mdev_boot_unit_failed" not in described
