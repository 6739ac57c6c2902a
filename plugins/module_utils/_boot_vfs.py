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

from ._errors import MdevError
from ._host import HostPaths
from ._run_vfs import VfsJob, run_vfs
from ._vfs import AUTO, TOOLS, WantedVfs, wanted_vfs

_POLL_SECONDS = 1.0
# A tool that fails gets another try while there is time: it must not use it all up at once.
_TRIES = 4


def enable_functions(paths: HostPaths, wanted: list[WantedVfs], tool: str, seconds: float) -> list[str]:
    """Gives cards their functions. Returns what failed, in words; empty when all have them.

    seconds: how long to try, for all cards together.
    """
    end = time.monotonic() + seconds
    missing = dict.fromkeys(wanted, "")
    while True:
        for one in list(missing):
            try:
                done = run_vfs(VfsJob(paths, (one,), tool, seconds / _TRIES, seconds), check_mode=False)
            except MdevError as error:
                missing[one] = error.message
                continue
            del missing[one]
            _say(f"card {one.address}: {'enabled' if done.steps else 'has already'} {len(done.cards[0].functions)}")
        if not missing or time.monotonic() >= end:
            return [f"{message}, tried for {seconds:.0f} s" for message in missing.values()]
        time.sleep(_POLL_SECONDS)


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
