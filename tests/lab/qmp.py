# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talk to a running QEMU through its monitor (QMP, https://www.qemu.org/docs/master/interop/qmp-spec.html)."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.errors import LabError


class Monitor:
    """One open QMP connection."""

    def __init__(self, stream: socket.SocketIO) -> None:
        self._stream = stream

    def execute(self, command: str, **arguments: object) -> Any:
        """Run a command and return its result. Raises LabError with QEMU's own message."""
        self._stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = self._read()
            if "error" in answer:
                raise LabError(f"QEMU refused {command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def human(self, line: str) -> str:
        """Run a line of the human monitor and return its output. Any output means that the line failed."""
        return str(self.execute("human-monitor-command", **{"command-line": line})).strip()

    def _read(self) -> dict[str, Any]:
        line = self._stream.readline()
        if not line:
            raise LabError("QEMU closed its monitor")
        message: dict[str, Any] = json.loads(line)
        return message


@contextlib.contextmanager
def connect(path: Path, deadline: float) -> Iterator[Monitor]:
    """Connect to a monitor socket. Each answer must arrive within ``deadline`` seconds. Raises LabError or OSError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(deadline)
        _connect(connection, path)
        with connection.makefile("rwb", buffering=0) as stream:
            monitor = Monitor(stream)
            monitor._read()
            monitor.execute("qmp_capabilities")
            yield monitor


def _connect(connection: socket.socket, path: Path) -> None:
    """Connect through the folder: a socket's address is limited to 107 characters, and cache paths may be longer."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
