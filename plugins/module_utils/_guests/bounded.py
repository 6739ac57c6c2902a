# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a program with a deadline, and reads no more of its output than a limit."""

from __future__ import annotations

import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

_PART_BYTES = 65536
_KILL_SECONDS = 1.0


def run_bounded(
    argv: Sequence[str], environment: Mapping[str, str], seconds: float, most: int, stdin: int = subprocess.DEVNULL
) -> tuple[int, bytes, bytes]:
    """The exit code, the output and the error output. stdin: a handle, or DEVNULL.

    Raises OSError if the program can't be run, or with EFBIG if it prints more than ``most`` bytes, and TimeoutError if
    it does not end in time. It and its children are then killed.
    """
    process = subprocess.Popen(
        argv,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    end = time.monotonic() + seconds
    try:
        output, errors = _read(process, end, most)
        return process.wait(max(0.0, end - time.monotonic())), output, errors
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        # One that hangs in the kernel is left.
        with suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_SECONDS)
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimeoutError from error
        raise
    finally:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _read(process: subprocess.Popen[bytes], end: float, most: int) -> tuple[bytes, bytes]:
    """Both outputs until their ends."""
    outputs = {stream.fileno(): bytearray() for stream in (process.stdout, process.stderr) if stream is not None}
    with selectors.DefaultSelector() as selector:
        for handle in outputs:
            selector.register(handle, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _events in ready:
                part = os.read(key.fd, _PART_BYTES)
                if not part:
                    selector.unregister(key.fd)
                outputs[key.fd] += part
            if sum(map(len, outputs.values())) > most:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    output, errors = outputs.values()
    return bytes(output), bytes(errors)
