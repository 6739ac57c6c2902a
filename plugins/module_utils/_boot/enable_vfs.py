# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Enables the virtual functions of cards: what vfio-mdev-vfs.service runs at boot, without Ansible.

Cards forget their functions at a reboot. Drivers may come late, and NVIDIA's tool can fail while the driver is still
starting: each card is tried until one deadline for all. The exit code is 1 when a card does not have what it should.
"""

from __future__ import annotations

import argparse
import sys
import time

from .._host.paths import HostPaths
from .._model.errors import MdevError
from .._sriov.cards import Sriov
from .._sriov.plan import AUTO, TOOLS, WantedVfs, wanted_vfs
from .._sriov.run import VfsJob, run_vfs

_POLL_SECONDS = 1.0
# What a try that starts late still gets.
_LEAST_SECONDS = 5.0


def enable_functions(paths: HostPaths, wanted: list[WantedVfs], tool: str, seconds: float) -> list[str]:
    """Gives cards their functions. Returns what failed, in words; empty when all have them.

    seconds: how long to try, for all cards together.
    """
    end = time.monotonic() + seconds
    missing = dict.fromkeys(wanted, "")
    while True:
        left = end - time.monotonic()
        for one in list(missing):
            # A card without a driver is only tried when time is up, to have the reason told.
            if (left > 0 and Sriov(paths, seconds).is_ready(one)) or (left <= 0 and not missing[one]):
                _try(one, VfsJob(paths, (one,), tool, max(left, _LEAST_SECONDS), max(left, _LEAST_SECONDS)), missing)
        if not missing or left <= 0:
            return [f"{message}, tried for {seconds:.0f} s" for message in missing.values()]
        time.sleep(_POLL_SECONDS)


def _try(wanted: WantedVfs, job: VfsJob, missing: dict[WantedVfs, str]) -> None:
    try:
        done = run_vfs(job, check_mode=False)
    except MdevError as error:
        missing[wanted] = error.message
        return
    del missing[wanted]
    _say(f"card {wanted.address}: {'enabled' if done.steps else 'has already'} {len(done.cards[0].functions)}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """The unit's command."""
    parser = argparse.ArgumentParser(description="Enables the virtual functions of cards.")
    parser.add_argument("--wait", type=float, default=120.0, metavar="SECONDS", help="for late cards (%(default)s)")
    parser.add_argument("--tool", choices=TOOLS, default=AUTO, help="(%(default)s)")
    parser.add_argument("--sysfs", default="/sys", metavar="FOLDER", help="(%(default)s)")
    parser.add_argument("cards", nargs="+", metavar="ADDRESS=NUMBER", help="a card, and a number or 'max'")
    options = parser.parse_args()
    try:
        wanted = [wanted_vfs(*one.rsplit("=", 1)) for one in options.cards]
        failed = enable_functions(HostPaths(options.sysfs), wanted, options.tool, options.wait)
    except MdevError as error:
        failed = [error.message]
    for text in failed:
        sys.stderr.write(f"FAILED {text}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
