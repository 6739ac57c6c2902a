# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's schemas from the distribution's package, without installing libvirt."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from pathlib import Path

from lab.errors import LabError
from lab.process import run
from lab.progress import stage

from dev.environment import cache

_INSTALLED = Path("/usr/share/libvirt/schemas")
# The packages with the schemas: libvirt-common in Debian 13, libvirt0 in Debian 12.
_PACKAGES = ("libvirt-common", "libvirt0")
_downloading = threading.Lock()


def schemas() -> Path:
    """The folder with nodedev.rng, downloaded once."""
    with _downloading:
        return _schemas()


def _schemas() -> Path:
    cached = cache() / "libvirt" / _INSTALLED.relative_to("/")
    for folder in (_INSTALLED, cached):
        if (folder / "nodedev.rng").is_file():
            return folder
    with stage("downloading libvirt's schemas"):
        for package in _PACKAGES:
            if _unpacked(package) and (cached / "nodedev.rng").is_file():
                return cached
    raise LabError(f"none of the packages {', '.join(_PACKAGES)} of this distribution has libvirt's nodedev.rng")


def _unpacked(package: str) -> bool:
    """Unpack the package into the cache. Returns False if there is no such package."""
    known = subprocess.run(["apt-cache", "show", package], check=False, capture_output=True)
    if known.returncode != 0:
        return False
    log = cache() / "schemas.log"
    with tempfile.TemporaryDirectory() as folder:
        fetch = f'cd "$1" && exec apt-get -o APT::Sandbox::User=root download {package}'
        run(["sh", "-c", fetch, "sh", folder], log=log, deadline=300)
        for file in Path(folder).glob("*.deb"):
            run(["dpkg", "-x", file, cache() / "libvirt"], log=log, deadline=60)
    return True
