# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress messages."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

# Seconds between two messages about a long stage.
HEARTBEAT = 15.0

_print_lock = threading.Lock()


def say(text: str) -> None:
    """Print a line on stderr, so that stdout contains results only."""
    with _print_lock:
        print(f"lab: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def stage(text: str) -> Iterator[None]:
    """Announce a stage, report while it runs, and print how many seconds it took."""
    started = time.monotonic()
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT):
            say(f"{text}: still running after {time.monotonic() - started:.0f} s")

    say(f"{text} ...")
    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        ended.set()
        say(f"{text}: {outcome} after {time.monotonic() - started:.1f} s")
