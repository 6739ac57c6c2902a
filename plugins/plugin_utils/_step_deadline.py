# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A deadline for a step on a host: ssh has none of its own when the network is cut."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Optional


@contextmanager
def step_deadline(seconds: float, task_timeout: int) -> Iterator[None]:
    """Raises TimeoutError after the deadline. With a timeout of the task, Ansible uses the alarm itself."""
    if task_timeout:
        yield
        return

    def over(_signum: int, _frame: Optional[FrameType]) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
