# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Distribution packages that the lab needs on this machine."""

from __future__ import annotations

from collections.abc import Iterable

from lab import cache
from lab.process import output, run
from lab.progress import say, stage

NEEDED = (
    "cpio",
    "debian-archive-keyring",
    "e2fsprogs",
    "mmdebstrap",
    "openssh-client",
    "qemu-system-x86",
    "qemu-utils",
)
# Debian 12 is older than trixie's keys; its updated keyring package contains them.
_NEWEST_KEYS = "/usr/share/keyrings/debian-archive-trixie-stable.gpg"


def parse_installed(status: str) -> set[str]:
    """Names of the installed packages in the output of ``dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n'``."""
    pairs = (line.split() for line in status.splitlines())
    return {pair[1] for pair in pairs if len(pair) == 2 and pair[0] == "ii"}


def missing(also: Iterable[str] = ()) -> list[str]:
    """The packages that would be installed on this machine. also: packages that others need."""
    installed = parse_installed(output(["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\\n"], deadline=60))
    listed_keys = (
        output(["dpkg-query", "-L", "debian-archive-keyring"], deadline=60)
        if ("debian-archive-keyring" in installed)
        else ""
    )
    if _NEWEST_KEYS not in listed_keys.splitlines():
        installed.discard("debian-archive-keyring")
    return [name for name in (*NEEDED, *also) if name not in installed]


def install_missing(also: Iterable[str] = ()) -> None:
    """Install missing packages with apt-get after listing them."""
    names = missing(also)
    if not names:
        return
    say(f"installing missing distribution packages on this machine: {' '.join(names)}")
    cache.root().mkdir(parents=True, exist_ok=True)
    log = cache.root() / "apt.log"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with stage("installing packages"):
        run(["apt-get", "update"], log=log, deadline=300, environment=quiet)
        run(
            ["apt-get", "install", "--yes", "--no-install-recommends", *names],
            log=log,
            deadline=900,
            environment=quiet,
        )
