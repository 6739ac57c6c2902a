# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command of this machine with a deadline and a log."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError

# Seconds a command gets to clean up after SIGTERM before SIGKILL.
GRACE = 10.0
LOG_LINES = 25


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    deadline: float,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a command to its end and append its output to ``log``.

    Raises LabError if it fails or is not done after ``deadline`` seconds. The text ends with the last lines of the log.
    """
    arguments = [str(argument) for argument in command]
    with log.open("ab") as output:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
            start_new_session=True,
        )
        try:
            process.communicate(stdin.encode(), timeout=deadline)
        except subprocess.TimeoutExpired:
            raise LabError(f"{arguments[0]} was stopped: not done after {deadline:.0f} s.\n{tail(log)}") from None
        finally:
            end_group(process)
    if process.returncode != 0:
        raise LabError(f"{' '.join(arguments)[:300]} failed with exit code {process.returncode}.\n{tail(log)}")


def output(command: Sequence[str | Path], *, deadline: float) -> str:
    """Return the standard output of a short command. Raises LabError if it fails."""
    arguments = [str(argument) for argument in command]
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline, check=False
        )
    except FileNotFoundError as error:
        raise LabError(f"{arguments[0]} is not installed on this machine: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(arguments)} was not done after {deadline:.0f} s.") from error
    if done.returncode != 0:
        raise LabError(f"{' '.join(arguments)} failed with exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads its own session, and its children. Does nothing if it has ended already."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            continue


def tail(log: Path) -> str:
    """The last lines of a log for the text of an error."""
    if not log.exists():
        return f"({log} was not written)"
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join([f"The end of {log}:", *lines])
