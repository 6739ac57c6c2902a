# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines that the programs write to the journal, and the times on their command lines."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from typing import TextIO


def say(text: str) -> None:
    """Writes one line."""
    _write(sys.stdout, text)


def exit_code(failures: Sequence[str]) -> int:
    """Writes a line for each failure. Returns 1 if there is one."""
    for failure in failures:
        _write(sys.stderr, f"FAILED {failure}")
    return 1 if failures else 0


def seconds(text: str) -> float:
    """A time on the command line: a finite number that is not negative."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds")
    return number


def _write(stream: TextIO, text: str) -> None:
    """One line, in any locale: what the stream can't encode is escaped, since definitions can contain anything."""
    encoding = stream.encoding or "utf-8"
    line = " ".join(text.splitlines())
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
