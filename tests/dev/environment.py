# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual environment and the distribution's packages that checks and demo need."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import packages
from lab.cache import lock
from lab.process import run
from lab.progress import say, stage

CHECKOUT = Path(__file__).parents[2]
REQUIREMENTS = CHECKOUT / "tests" / "requirements.txt"

# Beside what the lab needs: git to copy the tree, FUSE for stand-in drivers, a browser to read the report.
_PACKAGES = ("chromium", "fuse3", "git")


def cache() -> Path:
    """Where everything is kept that a fresh clone need not make again."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vfio-mdev"


def venv() -> Path:
    """The virtual environment for these requirements and this Python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.base_prefix.encode()).hexdigest()[:12]
    return cache() / f"venv-{version}-{key}"


def run_inside(module: str, arguments: Sequence[str]) -> int:
    """Runs a module of ours with the virtual environment's Python, set up before where it is not there."""
    prepare()
    python = venv() / "bin" / "python"
    path = f"{venv() / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run([python, "-m", module, *arguments], env={**os.environ, "PATH": path}, check=False).returncode


def prepare() -> None:
    """Installs what is missing, and says so first."""
    cache().mkdir(parents=True, exist_ok=True)
    packages.install_missing(_PACKAGES)
    with lock("venv"):
        if not (venv() / "complete").is_file():
            _make_venv()


def _make_venv() -> None:
    """A half made environment is never taken: the mark that it is complete comes last."""
    names = [line.split(">")[0] for line in REQUIREMENTS.read_text().splitlines() if line and line[0] != "#"]
    say(f"Python packages are installed into {venv()} (some 400 MB): {' '.join(names)}")
    for old in cache().glob("venv-*"):
        shutil.rmtree(old)
    log = cache() / "venv.log"
    with stage("installing Python packages"):
        run([sys.executable, "-m", "venv", venv()], log=log, deadline=120)
        run([venv() / "bin" / "pip", "install", "--quiet", "-r", REQUIREMENTS], log=log, deadline=900)
    (venv() / "complete").touch()
