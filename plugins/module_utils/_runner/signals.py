# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Defers signals that would end this process until it is safe, so that no step of a plan is cut in the middle."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Optional

# These come from Ansible, from a closing SSH connection and from an operator's Ctrl-C.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class Signals:
    """The signal that was received, if any."""

    pending: Optional[signal.Signals] = None


@contextmanager
def deferred_signals() -> Iterator[Signals]:
    """Notes signals while the block runs, instead of ending the process. Only in the main thread of a process."""
    signals = Signals()

    def note(signum: int, _frame: Optional[FrameType]) -> None:
        signals.pending = signal.Signals(signum)

    previous = {signum: signal.signal(signum, note) for signum in _SIGNALS}
    try:
        yield signals
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
