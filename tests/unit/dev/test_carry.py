# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests on hosts need is packed for them."""

from __future__ import annotations

import ast
import tarfile
from pathlib import Path

from dev import carry
from dev.environment import CHECKOUT


def imported(source: str) -> set[str]:
    """The names of all modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_files_beside_the_tests_are_packed(tmp_path: Path) -> None:
    carry.pack(tmp_path / "tests.tar.gz")
    with tarfile.open(tmp_path / "tests.tar.gz") as archive:
        packed = {name for name in archive.getnames() if name.startswith("tests/") and name.endswith(".py")}
    names = set().union(*(imported((CHECKOUT / name).read_text()) for name in packed))
    needed = {f"tests/{name}.py" for name in names if (CHECKOUT / "tests" / f"{name}.py").is_file()}
    assert needed and needed <= packed
