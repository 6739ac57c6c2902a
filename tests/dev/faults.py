# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev faults: the whole campaign. Prints its seed and its table, which it also writes into docs/faults.md."""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dev.environment import CHECKOUT
from dev.schemas import schemas

PAGE = CHECKOUT / "docs" / "faults.md"
_MARKED = re.compile(r"(<!-- table -->\n).*(<!-- end of table -->\n)", re.DOTALL)


def main(arguments: Sequence[str]) -> int:
    """Run the campaign. Returns 0 if there is no fault."""
    parser = argparse.ArgumentParser(prog="./dev faults", description="kills, errors, hostile input, runs at once")
    parser.add_argument("--seed", type=int, help="repeats a campaign with this seed")
    parser.add_argument("--share", type=float, default=1.0, help="of the rounds, for a shorter campaign (1.0)")
    parser.add_argument("--only", metavar="NAME", help="only the scenario with this name, or 'inputs', or 'at once'")
    parser.add_argument("--test", metavar="TEST", help="only this test, as docs/faults.md names it for a past fault")
    options = parser.parse_args(arguments)
    if options.test is not None:
        return _run_test(options.test)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    # It needs the checkout as the collection, which conftest registers, as for the tests.
    importlib.import_module("conftest")
    report = importlib.import_module("faults.report")
    print(f"seed {seed}: repeat with ./dev faults --seed {seed}", flush=True)
    start = time.monotonic()
    campaign = report.Campaign(seed, report.show, options.share, lambda text: print(text, flush=True))
    campaign.run(options.only)
    share = "" if options.share == 1.0 else f" --share {options.share:g}"
    minutes = f"{(time.monotonic() - start) / 60:.0f}"
    text = (
        f"{datetime.date.today().isoformat()}, `./dev faults --seed {seed}{share}`, {minutes} minutes "
        f"on {os.cpu_count()} cores, Python {sys.version.split()[0]}.\n\n{campaign.table()}\n"
    )
    print(f"\n{text}")
    if options.only is None:
        write_page(PAGE, text)
    print(f"{len(campaign.faults)} faults")
    return 0 if campaign.ok else 1


def _run_test(name: str) -> int:
    environment = {**os.environ, "LIBVIRT_SCHEMAS": str(schemas())}
    command = ["pytest", "-p", "no:cacheprovider", name]
    return subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode


def write_page(page: Path, text: str) -> None:
    """Replace the table of the page."""
    page.write_text(_MARKED.sub(lambda marks: f"{marks[1]}{text}{marks[2]}", page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
