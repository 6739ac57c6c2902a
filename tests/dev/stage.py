# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the tree in the folder that Ansible's tools expect: .../ansible_collections/vfio/mdev."""

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
    """Copy the collection, with all files that git tracks or would track. The copy is removed when the block ends.

    The copy is never below the checkout: in a folder that git ignores, ansible-test skips every target and succeeds.
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
    """The value of ANSIBLE_COLLECTIONS_PATH for a staged collection."""
    return stage.parents[2]
