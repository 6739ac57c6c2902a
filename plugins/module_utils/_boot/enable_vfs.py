# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Enables the virtual functions and modes of cards. vfio-mdev-vfs.service runs this program at boot, without Ansible.

Cards lose their functions, GPU instances and mixed sizes when the host reboots. Drivers can load late, and NVIDIA's
tool can fail while the driver is still starting, so the program retries each card until a common deadline. The exit
code is 1 if a card is not as requested.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from .._host.paths import Host
from .._model.errors import MdevError, Unexpected
from .._sriov.cards import Sriov
from .._sriov.modes import value_text
from .._sriov.plan import AUTO, BACKENDS, exchanged_text
from .._sriov.request import VfsRequest, parse_request
from .._sriov.run import VfsOutcome, VfsRunContext, run_vfs
from .journal import exit_code, say, seconds

_POLL_SECONDS = 1.0
# The least time for an attempt that starts shortly before the deadline.
_LEAST_SECONDS = 5.0
# The most time for an attempt: a card that hangs does not take the time of the others, or the lock.
_MOST_SECONDS = 60.0


def enable_functions(host: Host, requests: list[VfsRequest], backend: str, wait_timeout: float) -> list[str]:
    """Enables the functions of cards. Returns a message for each card that failed.

    wait_timeout: seconds for all cards together
    """
    end = time.monotonic() + wait_timeout
    missing = dict.fromkeys(requests, "")
    while True:
        left = end - time.monotonic()
        for request in list(missing):
            timeout = min(max(end - time.monotonic(), _LEAST_SECONDS), _MOST_SECONDS)
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
    except Exception as error:
        missing[request] = f"card {request.address}: {Unexpected.from_exception(error).message}"
        return
    del missing[request]
    exchanged = exchanged_text(request, outcome.before)
    if exchanged:
        say(exchanged)
    say(f"card {request.address}: {'enabled' if outcome.steps else 'already has'} {_state_text(request, outcome)}")


def _state_text(request: VfsRequest, outcome: VfsOutcome) -> str:
    card = outcome.cards[0]
    texts = [f"{len(card.functions)} virtual functions"]
    if request.mig is not None:
        texts.append(
            f"MIG mode {value_text(outcome.mig(card))} with GPU instances {value_text(outcome.profiles(card))}"
        )
    if request.mixed_sizes is not None:
        texts.append(f"mixed sizes {value_text(outcome.mixed_sizes(card))}")
    return ", ".join(texts)


def _requests(cards: Sequence[str], failed: list[str]) -> list[VfsRequest]:
    """The requests on the command line. One that can't be understood does not keep the others from being done."""
    requests: list[VfsRequest] = []
    for card in cards:
        try:
            requests.append(parse_request(card))
        except MdevError as error:
            failed.append(error.message)
    return requests


def main() -> int:
    """Runs the program with its command line."""
    parser = argparse.ArgumentParser(description="Enable the virtual functions of cards.")
    parser.add_argument(
        "--wait", type=seconds, default=120.0, metavar="SECONDS", help="how long to wait for cards (%(default)s)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default=AUTO, help="(%(default)s)")
    parser.add_argument("--sysfs", default="/sys", metavar="FOLDER", help="(%(default)s)")
    parser.add_argument(
        "cards", nargs="+", metavar="ADDRESS=NUMBER[,…]", help="a card, a number or 'max', and its modes"
    )
    options = parser.parse_args()
    failed: list[str] = []
    try:
        requests = _requests(options.cards, failed)
        failed += enable_functions(Host(options.sysfs), requests, options.backend, options.wait)
    except MdevError as error:
        failed.append(error.message)
    except Exception as error:
        failed.append(Unexpected.from_exception(error).message)
    return exit_code(failed)


if __name__ == "__main__":
    raise SystemExit(main())
