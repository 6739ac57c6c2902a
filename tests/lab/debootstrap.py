# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install Debian packages into a folder with mmdebstrap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab import sources
from lab.process import run

# Left out of a host's image: nothing reads or loads them there, and unpacking them takes time.
_LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "*/lib/modules/*/kernel/drivers/gpu/*",
    "*/lib/modules/*/kernel/drivers/infiniband/*",
    "*/lib/modules/*/kernel/drivers/media/*",
    "*/lib/modules/*/kernel/drivers/net/wireless/*",
    "*/lib/modules/*/kernel/sound/*",
)
_MERGED_USR = "/usr/share/mmdebstrap/hooks/merged-usr"
_DEADLINE = 900.0


def install(suite: str, packages: Sequence[str], target: Path, source_list: str, log: Path) -> None:
    """Install a minimal system of a suite with these packages, without recommends and without an initrd."""
    excludes = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    _mmdebstrap("minbase", suite, packages, target, source_list, log, excludes)


def unpack(suite: str, packages: Sequence[str], target: Path, source_list: str, log: Path) -> None:
    """Unpack these packages and their dependencies without configuring them: enough for a compiler, in seconds."""
    _mmdebstrap("extract", suite, packages, target, source_list, log, [f"--hook-dir={_MERGED_USR}"])


def _mmdebstrap(
    variant: str,
    suite: str,
    packages: Sequence[str],
    target: Path,
    source_list: str,
    log: Path,
    extra: Sequence[str],
) -> None:
    reach = [f"--aptopt={option}" for option in sources.reaching_options()]
    run(
        [
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            f"--variant={variant}",
            f"--include={','.join(packages)}",
            *extra,
            *reach,
            suite,
            target,
            "-",
        ],
        log=log,
        deadline=_DEADLINE,
        stdin=source_list,
        environment={"INITRD": "No"},
    )
