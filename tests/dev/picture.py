# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a picture of the page that the playbook report writes.

python -m dev.picture PAGE.html PICTURE.png [--dark] [--width 1280] [--height 900] [--open HOST]...
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from dev.chromium import browser

# Opens the line of a host, as a click does.
_OPEN = """for (const one of document.querySelectorAll("details"))
    if (one.querySelector(".name").textContent.trim() === %s) one.open = true"""


def take(page: Path, picture: Path, *, opened: Iterable[str] = (), dark: bool, width: int, height: int) -> None:
    """Opens the page in a browser without a window, and writes what is seen there. height: from its top, 0 for all."""
    with browser() as tab:
        tab.look(width=width, dark=dark)
        tab.open(page)
        for host in opened:
            tab.read(_OPEN % json.dumps(host))
        tab.picture(picture, height or tab.read("document.documentElement.scrollHeight"))


def main() -> int:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Takes a picture of a page.")
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--dark", action="store_true", help="as for readers who like it dark")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=900, help="how much of the page, from its top; 0: all")
    parser.add_argument("--open", action="append", default=[], metavar="HOST", help="with the details of this host")
    given = parser.parse_args()
    take(given.page, given.picture, opened=given.open, dark=given.dark, width=given.width, height=given.height)
    return 0


if __name__ == "__main__":
    sys.exit(main())
