# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's own schemas, from the distribution's package, without installing libvirt."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from lab.errors import LabError
from lab.process import run
from lab.progress import stage

from dev.environment import cache

_INSTALLED = Path("/usr/share/libvirt/schemas")
# Where the schemas are: Debian 13 has them in libvirt-common, Debian 12 in libvirt0.
_PACKAGES = ("libvirt-common", "libvirt0")


def schemas() -> Path:
    """The folder with nodedev.rng, fetched once."""
    kept = cache() / "libvirt" / _INSTALLED.relative_to("/")
    for folder in (_INSTALLED, kept):
        if (folder / "nodedev.rng").is_file():
            return folder
    with stage("fetching libvirt's schemas"):
        for package in _PACKAGES:
            if _unpacked(package) and (kept / "nodedev.rng").is_file():
                return kept
    raise LabError(f"none of the packages {', '.join(_PACKAGES)} of this distribution has libvirt's nodedev.rng")


def _unpacked(package: str) -> bool:
    """Whether the package exists; its files are then in the cache."""
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
