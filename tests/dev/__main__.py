# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of ./dev VERB."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from lab import __main__ as lab_door
from lab.errors import LabError

from dev import environment

USAGE = """./dev demo            show the collection at work on real hosts with real mediated devices (no GPU needed)
./dev test            check everything; the last line is 'N passed, N failed'
./dev test fast       only what takes two minutes: unit tests, modules against stand-ins, ruff, mypy
./dev test playbooks  only whole playbooks on stand-ins
./dev test static     only the linters, the documentation and the package
./dev test lab        only the scenarios on real hosts
./dev test PART NAME  only the check with this name, for example: ./dev test lab "scenario reboot"
./dev matrix          run the tests that need no hosts with each supported ansible-core, for example: ./dev matrix 2.16
./dev faults          kill and disturb the modules at each system call, and write the table of docs/faults.md
./dev bench           compare the speed with other ways and write the figures into benchmarks/ (an hour)
./dev bench payload   show what each module ships to a host and compiles there (seconds, needs no hosts)
./dev bench native    compare tasks with ping on this machine, for 1 and 200 hosts (five minutes, needs no hosts)
./dev docs            build the documentation as a site, and fail on a warning about our pages
./dev report          take the README's pictures of a fleet report again
./dev lab VERB        manage the hosts themselves: up, run, ssh, restore, reboot, status, down (./dev lab --help)

Every verb lists the packages it needs before it installs them. Caches are in ~/.cache/vfio-mdev.
"""


def _demo(arguments: Sequence[str]) -> int:
    return environment.run_inside("dev.demo", arguments)


def _test(arguments: Sequence[str]) -> int:
    return environment.run_inside("dev.run_checks", arguments)


def _bench(arguments: Sequence[str]) -> int:
    return environment.run_inside("benchmarks", arguments)


def _faults(arguments: Sequence[str]) -> int:
    return environment.run_inside("dev.faults", arguments)


def _matrix(arguments: Sequence[str]) -> int:
    return environment.run_inside("dev.matrix", arguments)


def _docs(arguments: Sequence[str]) -> int:
    return environment.run_inside("dev.docs", arguments)


def _report(arguments: Sequence[str]) -> int:
    return environment.run_inside("dev.report", arguments)


def _lab(arguments: Sequence[str]) -> int:
    return lab_door.main(arguments)


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "demo": _demo,
    "test": _test,
    "bench": _bench,
    "faults": _faults,
    "matrix": _matrix,
    "docs": _docs,
    "report": _report,
    "lab": _lab,
}


def main(arguments: Sequence[str]) -> int:
    """Run the verb that the arguments name."""
    verb = VERBS.get(arguments[0]) if arguments else None
    if verb is None:
        print(USAGE, end="")
        return 0 if not arguments or arguments[0] in ("-h", "--help", "help") else 2
    try:
        return verb(arguments[1:])
    except LabError as error:
        print(f"dev: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
