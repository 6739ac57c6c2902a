# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a tool with a deadline and bounded output."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Optional

# What a tool prints beyond this is read and dropped.
_MAX_BYTES = 65536
# How often to look whether a tool has ended that left its output open in another process.
_POLL_SECONDS = 0.05


def run_tool(argv: Sequence[str], seconds: float, text: str = "") -> tuple[Optional[int], str]:
    """The exit code and the output in one line. text: what the tool reads. See tool_output()."""
    code, output = tool_output(argv, seconds, text)
    return code, " ".join(output.split())


def tool_output(
    argv: Sequence[str], seconds: float, text: str = "", most: int = _MAX_BYTES
) -> tuple[Optional[int], str]:
    """The exit code and the first ``most`` bytes of output. Raises OSError if the tool can't be run.

    After the deadline, the tool and all its children are killed, and the code is None. It has its own session, so that
    one that hangs in the kernel does not keep Ansible's connection open. Its output is UTF-8 in any locale.
    """
    # In memory: a pipe would block this process if the tool did not read, and a file needs free space on a disk.
    source = os.memfd_create("input")
    try:
        os.write(source, text.encode("utf-8"))
        os.lseek(source, 0, os.SEEK_SET)
        process = subprocess.Popen(
            argv,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    finally:
        os.close(source)
    data = b""
    if process.stdout is not None:
        with process.stdout as output:
            data = _read_until_end(process, output.fileno(), time.monotonic() + seconds, most)
    code = process.poll()
    if code is None:
        os.killpg(process.pid, signal.SIGKILL)
    return code, data.decode("utf-8", "backslashreplace")


def _read_until_end(process: subprocess.Popen[bytes], output: int, end: float, most: int) -> bytes:
    """What the tool prints until it ends, or until the deadline."""
    data, is_open = b"", True
    while time.monotonic() < end:
        ended = process.poll() is not None
        if is_open and select.select([output], [], [], 0 if ended else _POLL_SECONDS)[0]:
            part = os.read(output, _MAX_BYTES)
            data = (data + part)[:most]
            is_open = bool(part)
        elif ended:
            break
        elif not is_open:
            # It has closed its output and ends soon.
            time.sleep(_POLL_SECONDS / 10)
    return data
