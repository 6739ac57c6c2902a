# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a picture of a page, such as the one that the playbook report writes.

python -m dev.picture PAGE.html PICTURE.png [--dark] [--width 1280] [--height 900] [--open HOST]...
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dev.chromium import browser

# Opens the line of a host, as a click does.
_OPEN = """for (const one of document.querySelectorAll("details"))
    if (one.querySelector(".name").textContent === %s) one.open = true"""


def main() -> int:
    """Opens the page in a browser without a window, and writes what is seen there."""
    parser = argparse.ArgumentParser(description="Takes a picture of a page.")
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--dark", action="store_true", help="as for readers who like it dark")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=900, help="how much of the page, from its top; 0: all")
    parser.add_argument("--open", action="append", default=[], metavar="HOST", help="with the details of this host")
    given = parser.parse_args()
    with browser() as page:
        page.look(width=given.width, dark=given.dark)
        page.open(given.page)
        for host in given.open:
            page.read(_OPEN % json.dumps(host))
        page.picture(given.picture, given.height or page.read("document.documentElement.scrollHeight"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
