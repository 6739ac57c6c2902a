# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a picture of the page that the report playbook writes.

python -m dev.picture PAGE.html PICTURE.png [--dark] [--width 1280] [--height 900] [--open HOST]...
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from dev.chromium import browser

# Opens the line of a host like a click.
_OPEN = """for (const line of document.querySelectorAll("details"))
    if (line.querySelector(".name").textContent.trim() === %s) line.open = true"""


def take(page: Path, picture: Path, *, opened: Iterable[str] = (), dark: bool, width: int, height: int) -> None:
    """Open the page in a browser without a window and write a picture of it. height: from the top, 0 for the page."""
    with browser() as tab:
        tab.look(width=width, dark=dark)
        tab.open(page)
        for host in opened:
            tab.read(_OPEN % json.dumps(host))
        tab.picture(picture, height or tab.read("document.documentElement.scrollHeight"))


def main() -> int:
    """Take the picture that the command line describes."""
    parser = argparse.ArgumentParser(description="Takes a picture of a page.")
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--dark", action="store_true", help="use the dark color scheme")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=900, help="height from the top of the page; 0: the whole page")
    parser.add_argument("--open", action="append", default=[], metavar="HOST", help="show the details of this host")
    options = parser.parse_args()
    size = {"width": options.width, "height": options.height}
    take(options.page, options.picture, opened=options.open, dark=options.dark, **size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
