# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev matrix: the tests that need no hosts, with each ansible-core that is supported and a Python at hand can run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.cache import lock
from lab.errors import LabError
from lab.process import run
from lab.progress import stage as progress

from dev.check import Check, Count, by_junit, run_check
from dev.environment import CHECKOUT, cache, run_main
from dev.schemas import schemas
from dev.stage import collections_path, staged

# Versions of ansible-core, and the Pythons that they run with on a controller, the newest first.
# Source: the support matrix in Ansible's documentation, "Releases and maintenance".
CORES = {
    "2.16": ("3.12", "3.11", "3.10"),
    "2.17": ("3.12", "3.11", "3.10"),
    "2.18": ("3.13", "3.12", "3.11"),
    "2.19": ("3.13", "3.12", "3.11"),
    "2.20": ("3.14", "3.13", "3.12"),
    "2.21": ("3.14", "3.13", "3.12"),
}
# The Pythons of managed hosts.
TARGETS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")

_PACKAGES = ("hypothesis>=6,<7", "lxml>=5,<7", "mfusepy>=3,<4", "pytest>=8,<10")
_TESTS = ("tests/unit", "tests/modules", "tests/drivers")
_USABLE = "import ssl, venv, ensurepip, sys; print('%d.%d' % sys.version_info[:2])"


def _candidates(version: str) -> Iterator[Path]:
    """Where a Python of this version may be: on the PATH, and where pyenv and uv install it."""
    yield from (Path(folder) / f"python{version}" for folder in os.environ["PATH"].split(os.pathsep))
    yield from sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True)
    yield from sorted(Path.home().glob(f".local/share/uv/python/cpython-{version}.*/bin/python{version}"), reverse=True)


def find_python(version: str) -> Path | None:
    """A Python of this version that can make virtual environments. Wrappers for other Pythons are not used."""
    return next((python for python in _candidates(version) if python.is_file() and _version(python) == version), None)


def _version(python: Path) -> str:
    asked = subprocess.run([python, "-c", _USABLE], capture_output=True, text=True, timeout=30, check=False)
    return asked.stdout.strip()


def _environment(core: str, python: Path) -> Path:
    """A virtual environment with this ansible-core. The file `complete` is written last."""
    place = cache() / "matrix" / f"core-{core}-{_version(python)}"
    with lock("matrix"):
        if not (place / "complete").is_file():
            place.parent.mkdir(exist_ok=True)
            log = place.with_suffix(".log")
            with progress(f"installing ansible-core {core} for Python {_version(python)}"):
                run([python, "-m", "venv", "--clear", place], log=log, deadline=120)
                packages = [f"ansible-core=={core}.*", *_PACKAGES]
                run([place / "bin" / "pip", "install", "--quiet", *packages], log=log, deadline=900)
            (place / "complete").touch()
    return place


def _core_checks(core: str, python: Path, stage: Path, logs: Path) -> list[Check]:
    venv = _environment(core, python)
    name, report = f"ansible-core {core} on Python {_version(python)}", logs / f"core-{core}.xml"
    playbooks = sorted(str(path.relative_to(stage)) for path in (stage / "playbooks").glob("*.yml"))
    environment = {
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": "tests:.",
        "LIBVIRT_SCHEMAS": str(schemas()),
        "ANSIBLE_COLLECTIONS_PATH": str(collections_path(stage)),
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    tests = ["pytest", f"--junit-xml={report}", "-p", "no:cacheprovider", *_TESTS]
    syntax = ["ansible-playbook", "--syntax-check", "-i", "localhost,", *playbooks]
    # The tests are those of the checkout, whose folder may have any name.
    return [
        Check(f"{name}: units and modules", tests, CHECKOUT, 2400, environment, by_junit(report)),
        Check(f"{name}: syntax of playbooks", syntax, stage, 120, environment),
    ]


def _target_check(version: str, python: Path, stage: Path) -> Check:
    """The code that runs on managed hosts has the syntax of their Python."""
    command: list[str | Path] = [python, "-m", "compileall", "-q", "-f", "plugins/modules", "plugins/module_utils"]
    return Check(f"syntax of modules for Python {version}", command, stage, 120, {"PYTHONDONTWRITEBYTECODE": ""})


def main(arguments: Sequence[str]) -> int:
    """Run the versions that are named, or all. The last line shows the total."""
    logs = Path(tempfile.mkdtemp(prefix="vfio-mdev-logs-"))
    print(f"Logs are in {logs}", flush=True)
    missing: list[str] = []
    total = Count(0, 0)
    with staged() as stage:
        for core in arguments or CORES:
            if core not in CORES:
                raise LabError(f"ansible-core {core} is not one of {', '.join(CORES)}")
            python = next((python for python in map(find_python, CORES[core]) if python is not None), None)
            if python is None:
                missing.append(f"ansible-core {core}: it needs one of Python {', '.join(CORES[core])}")
                continue
            total += sum((run_check(check, logs) for check in _core_checks(core, python, stage, logs)), Count(0, 0))
        for version in TARGETS if not arguments else ():
            target = find_python(version)
            if target is None:
                missing.append(f"syntax of modules for Python {version}: it is not installed")
            else:
                total += run_check(_target_check(version, target, stage), logs)
    for line in missing:
        print(f"not run {line}", flush=True)
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    run_main(lambda: main(sys.argv[1:]))
