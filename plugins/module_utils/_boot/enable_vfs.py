# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Enables the virtual functions of cards. vfio-mdev-vfs.service runs this program at boot, without Ansible.

Cards lose their functions when the host reboots. Drivers can load late, and NVIDIA's tool can fail while the driver is
still starting, so the program retries each card until a common deadline. The exit code is 1 if a card does not have the
requested functions.
"""

from __future__ import annotations

import argparse
import sys
import time

from .._host.paths import Host
from .._model.errors import MdevError
from .._sriov.cards import Sriov
from .._sriov.plan import AUTO, BACKENDS, VfsRequest, vfs_request
from .._sriov.run import VfsRunContext, run_vfs

_POLL_SECONDS = 1.0
# The least time for an attempt that starts shortly before the deadline.
_LEAST_SECONDS = 5.0


def enable_functions(host: Host, requests: list[VfsRequest], backend: str, wait_timeout: float) -> list[str]:
    """Enables the functions of cards. Returns a message for each card that failed.

    wait_timeout: seconds for all cards together
    """
    end = time.monotonic() + wait_timeout
    missing = dict.fromkeys(requests, "")
    while True:
        left = end - time.monotonic()
        timeout = max(left, _LEAST_SECONDS)
        for request in list(missing):
            # A card without a driver is only tried at the deadline, to get an error that explains it.
            if (left > 0 and Sriov(host, wait_timeout).is_ready(request)) or (left <= 0 and not missing[request]):
                _enable(request, VfsRunContext(host, (request,), backend, timeout, timeout), missing)
        if not missing or left <= 0:
            return [f"{message}, tried for {wait_timeout:.0f} s" for message in missing.values()]
        time.sleep(_POLL_SECONDS)


def _enable(request: VfsRequest, context: VfsRunContext, missing: dict[VfsRequest, str]) -> None:
    try:
        outcome = run_vfs(context, check_mode=False)
    except MdevError as error:
        missing[request] = error.message
        return
    del missing[request]
    count = len(outcome.cards[0].functions)
    _print(f"card {request.address}: {'enabled' if outcome.steps else 'already has'} {count} virtual functions")


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Runs the program with its command line."""
    parser = argparse.ArgumentParser(description="Enable the virtual functions of cards.")
    parser.add_argument(
        "--wait", type=float, default=120.0, metavar="SECONDS", help="how long to wait for cards (%(default)s)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default=AUTO, help="(%(default)s)")
    parser.add_argument("--sysfs", default="/sys", metavar="FOLDER", help="(%(default)s)")
    parser.add_argument("cards", nargs="+", metavar="ADDRESS=NUMBER", help="a card, and a number or 'max'")
    options = parser.parse_args()
    try:
        requests = [vfs_request(*card.rsplit("=", 1)) for card in options.cards]
        failed = enable_functions(Host(options.sysfs), requests, options.backend, options.wait)
    except MdevError as error:
        failed = [error.message]
    for text in failed:
        sys.stderr.write(f"FAILED {text}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
