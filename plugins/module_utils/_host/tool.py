# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a tool with a deadline and bounded output."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Optional

# What most tools may print.
_MAX_BYTES = 65536
_PART_BYTES = 65536
# How often to look whether a tool has ended that left its output open in another process.
_POLL_SECONDS = 0.05
# How long a killed tool may take to end. One that hangs in the kernel is left.
_KILL_SECONDS = 1.0
# Output is UTF-8 and messages are English in any locale.
_LOCALE = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}


@dataclass(frozen=True)
class ToolAnswer:
    """What a tool printed.

    code:   its exit code, None if it was killed
    is_cut: whether it printed more than was kept
    """

    code: Optional[int]
    output: bytes
    errors: bytes
    is_cut: bool

    @property
    def text(self) -> str:
        """Both outputs as text."""
        return (self.output + self.errors).decode("utf-8", "backslashreplace")

    @property
    def line(self) -> str:
        """Both outputs in one line."""
        return " ".join(self.text.split())


def run_tool(
    argv: Sequence[str], seconds: float, text: str = "", most: int = _MAX_BYTES, stop_at_most: bool = False
) -> ToolAnswer:
    """Runs the tool. Raises OSError if that is not possible.

    After the deadline, it and all its children are killed. It has its own session, so that one that hangs in the kernel
    does not keep Ansible's connection open.

    text:         what it can read from its input
    most:         how many bytes of its output are kept. The rest is read and dropped
    stop_at_most: whether it is killed as soon as it prints more, which is safe for a tool that changes nothing
    """
    process = _start(argv, text)
    outputs = {stream: bytearray() for stream in (process.stdout, process.stderr) if stream is not None}
    try:
        is_cut = _read(process, outputs, time.monotonic() + seconds, most, stop_at_most)
    finally:
        code = process.poll()
        if code is None:
            _kill(process)
        for stream in outputs:
            stream.close()
    output, errors = outputs.values()
    return ToolAnswer(code, bytes(output), bytes(errors), is_cut)


def _start(argv: Sequence[str], text: str) -> subprocess.Popen[bytes]:
    # In memory: a pipe would block this process if the tool did not read, and a file needs free space on a disk.
    source = os.memfd_create("input")
    try:
        os.write(source, text.encode("utf-8"))
        os.lseek(source, 0, os.SEEK_SET)
        # The programs at boot have no module whose run_command they could use, and that has no deadline.
        return subprocess.Popen(  # pylint: disable=ansible-bad-function
            argv,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **_LOCALE},
        )
    finally:
        os.close(source)


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_SECONDS)


def _read(
    process: subprocess.Popen[bytes],
    outputs: Mapping[IO[bytes], bytearray],
    end: float,
    most: int,
    stop_at_most: bool,
) -> bool:
    """Reads until the tool ends, or until the deadline. Returns whether it printed too much."""
    is_cut = False
    with selectors.DefaultSelector() as selector:
        for stream in outputs:
            selector.register(stream, selectors.EVENT_READ, outputs[stream])
        while time.monotonic() < end and not (is_cut and stop_at_most):
            has_ended = process.poll() is not None
            if not selector.get_map() and not has_ended:
                # It has closed its output and ends soon.
                time.sleep(_POLL_SECONDS / 10)
                continue
            ready = selector.select(0 if has_ended else _POLL_SECONDS) if selector.get_map() else []
            for key, _events in ready:
                part = os.read(key.fd, _PART_BYTES)
                if not part:
                    selector.unregister(key.fileobj)
                kept = part[: most - sum(map(len, outputs.values()))]
                key.data.extend(kept)
                is_cut = is_cut or len(kept) < len(part)
            if has_ended and not ready:
                break
    return is_cut
