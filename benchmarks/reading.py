# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mdev_info on hosts with many parents, compared with mdevctl and with a bare loop over the same files.

The trees consist of files and are mounted at /sys in a mount namespace, so that every program reads the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from lab.progress import say

from benchmarks.host import FOLDER, BenchHost

PARENTS = (16, 32, 64, 128)
_TYPES = 24
_DEVICES_A_PARENT = 8
_LIST = "opened.txt"


@dataclass(frozen=True)
class Sample:
    """One process's time and peak memory on a tree."""

    way: str
    parents: int
    seconds: float
    peak_kib: int


_WAYS = {
    "mdev_info": "python3 info.py",
    "ping": "python3 ping.py",
    "mdevctl types and list": "sh -c 'mdevctl types --dumpjson && mdevctl list --dumpjson'",
    "bare loop": f"python3 bare_read.py {_LIST}",
    "Python alone": "python3 -c pass",
}


def measure(host: BenchHost, runs: int) -> dict[str, Any]:
    """Measure every way on every tree, ``runs`` times."""
    shipped = {
        "ansible.builtin.ping": host.payload("ping", "ansible.builtin.ping", {}),
        "vfio.mdev.mdev_info": host.payload("info", "vfio.mdev.mdev_info", {}),
    }
    samples: list[Sample] = []
    twice = 0
    for parents in PARENTS:
        tree = f"{FOLDER}/tree{parents}"
        say(f"{parents} parents with {_TYPES} types each, {parents * _DEVICES_A_PARENT} devices")
        host.sh(
            f"mkdir {tree} && mount -t tmpfs -o nr_inodes=100k none {tree} && "
            f"python3 {FOLDER}/make_tree.py {tree} {parents} {_TYPES} {parents * _DEVICES_A_PARENT}"
        )
        host.sh(_at_sys(tree, f"python3 opened.py {_LIST} info.py"))
        opened = Counter(host.sh(f"cat {FOLDER}/{_LIST}").splitlines())
        twice += sum(1 for count in opened.values() if count > 1)
        for _run in range(runs):
            for way, line in _WAYS.items():
                usage = host.usage_of(_at_sys(tree, f"python3 measure.py {line}"))
                samples.append(Sample(way, parents, usage.seconds, usage.peak_kib))
        host.sh(f"umount {tree}")
    return {"shipped_bytes": shipped, "opened_twice": twice, "samples": [asdict(sample) for sample in samples]}


def _at_sys(tree: str, line: str) -> str:
    quoted = f"mount --bind {tree} /sys && cd {FOLDER} && {line}".replace('"', '\\"')
    return f'unshare --mount sh -c "{quoted}"'
