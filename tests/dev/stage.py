# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the tree where Ansible's tools want it: .../ansible_collections/vfio/mdev."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dev.environment import CHECKOUT


@contextlib.contextmanager
def staged() -> Iterator[Path]:
    """The copied collection, with all that git tracks or would. It goes when the block ends.

    It is never below the checkout: ansible-test skips every target in a folder that git ignores, and is green then.
    """
    with tempfile.TemporaryDirectory(prefix="vfio-mdev-") as folder:
        target = Path(folder) / "ansible_collections" / "vfio" / "mdev"
        for name in _files():
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, place, follow_symlinks=False)
        yield target


def _files() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (CHECKOUT / name).exists()]


def collections_path(stage: Path) -> Path:
    """What ANSIBLE_COLLECTIONS_PATH must be for a staged collection."""
    return stage.parents[2]
