# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a Python program and records what it opens and lists below /sys: opened.py LIST PROGRAM.

Each access is a line 'open PATH' or 'list PATH'.
"""

from __future__ import annotations

import os
import runpy
import sys

_EVENTS = {"open": "open", "os.listdir": "list", "os.scandir": "list"}


def main(listing: str, program: str) -> None:
    """Run the program with an audit hook, which sees every open(2) that Python makes (PEP 578)."""
    out = os.open(listing, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def note(event: str, arguments: tuple[object, ...]) -> None:
        verb = _EVENTS.get(event)
        if verb is not None and str(arguments[0]).startswith("/sys/"):
            os.write(out, f"{verb} {arguments[0]}\n".encode())

    sys.addaudithook(note)
    sys.argv = [program]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
