# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect to a lab host by ssh."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.errors import LabError

_LOCAL = "127.0.0.1"
# The exit code of the ssh client for its own failures, ssh(1).
FAILED = 255
# Known hosts are useless on 127.0.0.1, and a host that reboots must not block the client for minutes.
OPTIONS = (
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "GlobalKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    "IdentitiesOnly=yes",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=6",
    "ConnectTimeout=20",
)


def arguments(options: Sequence[str] = OPTIONS) -> list[str]:
    """ssh's options as arguments of the client."""
    return [word for option in options for word in ("-o", option)]


def command(port: int, key: Path, extra: Sequence[str] = ()) -> list[str]:
    """The ssh command line for a host, without the remote command. It ignores the user's own configuration."""
    return ["ssh", "-F", "none", "-i", str(key), "-p", str(port), *arguments(), *extra, f"root@{_LOCAL}"]


def run(
    port: int, key: Path, script: str, deadline: float, data: str = "", extra: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a shell command line on a host and capture its output. Any exit code is accepted. extra: options of ssh.

    Raises LabError if it is not done within ``deadline`` seconds (the remote process may continue).
    """
    try:
        return subprocess.run(
            [*command(port, key, ["-o", "BatchMode=yes", *extra]), script],
            input=data,
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"on port {port}, {script[:200]!r} was not done after {deadline:.0f} s") from None


def wait_for_banner(port: int, deadline: float, alive: Callable[[], bool]) -> None:
    """Wait until an ssh server answers on the port. Raises LabError at the deadline or if ``alive`` returns False."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if _greets(port):
            return
        if not alive():
            raise LabError("QEMU ended before its ssh server answered")
        time.sleep(0.2)
    raise LabError(f"no ssh server answered on 127.0.0.1:{port} within {deadline:.0f} s")


def _greets(port: int) -> bool:
    try:
        with socket.create_connection((_LOCAL, port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
