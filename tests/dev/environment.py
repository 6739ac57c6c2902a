# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual environment and the distribution packages that checks and demo need."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from lab import packages
from lab.cache import lock
from lab.errors import LabError
from lab.process import run
from lab.progress import say, stage

CHECKOUT = Path(__file__).parents[2]
REQUIREMENTS = CHECKOUT / "tests" / "requirements.txt"

# In addition to the lab's packages: git to copy the tree, FUSE for stand-in drivers, a browser to read the report.
_PACKAGES = ("chromium", "fuse3", "git")


def cache() -> Path:
    """The folder that all clones share, so that a new clone does not build everything again."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vfio-mdev"


def venv() -> Path:
    """The virtual environment for these requirements and this Python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.base_prefix.encode()).hexdigest()[:12]
    return cache() / f"venv-{version}-{key}"


def run_inside(module: str, arguments: Sequence[str]) -> int:
    """Run one of our modules with the Python of the virtual environment, which is created first if it is missing."""
    prepare()
    python = venv() / "bin" / "python"
    path = f"{venv() / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run([python, "-m", module, *arguments], env={**os.environ, "PATH": path}, check=False).returncode


def prepare() -> None:
    """Install missing packages after listing them."""
    cache().mkdir(parents=True, exist_ok=True)
    packages.install_missing(_PACKAGES)
    with lock("venv"):
        if not (venv() / "complete").is_file():
            _make_venv()


def _make_venv() -> None:
    """Create the environment. The file `complete` is written last, so that an unfinished one is never used."""
    names = [line.split(">")[0] for line in REQUIREMENTS.read_text().splitlines() if line and line[0] != "#"]
    say(f"installing Python packages into {venv()} (about 400 MB): {' '.join(names)}")
    for old in cache().glob("venv-*"):
        shutil.rmtree(old)
    log = cache() / "venv.log"
    with stage("installing Python packages"):
        run([sys.executable, "-m", "venv", venv()], log=log, deadline=120)
        run([venv() / "bin" / "pip", "install", "--quiet", "-r", REQUIREMENTS], log=log, deadline=900)
    (venv() / "complete").touch()


def run_main(main: Callable[[], int]) -> NoReturn:
    """End this process with the exit code of a program of ./dev. A LabError is a line for the user."""
    try:
        sys.exit(main())
    except LabError as error:
        print(f"dev: error: {error}", file=sys.stderr)
        sys.exit(1)
