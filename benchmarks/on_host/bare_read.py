# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least work that reads a host: opens, reads and closes the files that opened.py listed: bare_read.py LIST."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def main(listing: str) -> None:
    """Read everything and ignore the contents. The module also asks for files that this tree does not have."""
    with open(listing, encoding="utf-8") as lines:
        for line in lines:
            verb, path = line.rstrip("\n").split(" ", 1)
            with suppress(FileNotFoundError):
                read(verb, path)


def read(verb: str, path: str) -> None:
    """List a folder, or read a file."""
    if verb == "list":
        os.listdir(path)
        return
    handle = os.open(path, os.O_RDONLY)
    os.read(handle, 4096)
    os.close(handle)


if __name__ == "__main__":
    main(sys.argv[1])
