# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contents of a host's image, and the hash that identifies a built image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "recipe"
# The code that determines the contents of an image.
_BUILD_CODE = ("debootstrap.py", "drivers.py", "image.py", "initrd.py", "recipe.py", "sources.py")


def names(file: str) -> list[str]:
    """The entries of a list file of the recipe, without comments."""
    lines = (line.partition("#")[0].strip() for line in (FOLDER / file).read_text().splitlines())
    return [line for line in lines if line]


def fingerprint(suite: str) -> str:
    """The hash of all our files that go into the image of a suite: 12 hexadecimal digits."""
    code = (Path(__file__).parent / name for name in _BUILD_CODE)
    recipe = (path for path in FOLDER.rglob("*") if path.is_file())
    return digest(suite, [*code, *recipe])


def digest(suite: str, files: Iterable[Path]) -> str:
    """The hash of a suite's name and of files: their names, modes and contents."""
    summary = hashlib.sha256(suite.encode())
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        executable = bool(path.stat().st_mode & 0o100)
        summary.update(f"\n{path.relative_to(Path(__file__).parent)} {executable} {content}".encode())
    return summary.hexdigest()[:12]
