# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals that ask this process to end, kept until it is safe: a step of a plan is never cut in the middle."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Optional

# What Ansible, a closing ssh connection and an operator's Ctrl-C send.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class Signals:
    """The signal that came, if one did."""

    pending: Optional[signal.Signals] = None


@contextmanager
def deferred_signals() -> Iterator[Signals]:
    """Notes signals while the block runs, instead of ending the process. Only in the main thread of a process."""
    signals = Signals()

    def note(number: int, _frame: Optional[FrameType]) -> None:
        signals.pending = signal.Signals(number)

    previous = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield signals
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
