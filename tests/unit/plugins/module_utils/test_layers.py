# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The architecture: imports go downward only, and the pure packages use neither I/O nor Ansible."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

UTILS = Path(__file__).parents[4] / "plugins" / "module_utils"

# From bottom to top. A package imports only from the layers below it and from itself.
LAYERS = [
    {"_model"},
    {"_host", "_xml", "_planning"},
    {"_frameworks", "_guests"},
    {"_info", "_sriov"},
    {"_runner"},
    {"_boot"},
    {"_migration"},
    {"_fleet"},
]
PURE = {"_model", "_planning", "_xml"}
ALLOWED_IN_PURE = {"__future__", "collections", "copy", "dataclasses", "difflib", "functools", "hashlib", "itertools"}
ALLOWED_IN_PURE |= {"json", "lxml", "re", "sys", "types", "typing", "uuid", "xml"}
MAX_LINES, MAX_FILES, MAX_ARROWS = 400, 10, 40

FILES = sorted(path for path in UTILS.rglob("*.py"))
PACKAGES = sorted({path.parent for path in FILES})


def package(path: Path) -> str:
    return path.relative_to(UTILS).parts[0]


def imports(path: Path) -> tuple[set[str], set[str]]:
    """The imports of a file: our packages, and the top-level names of all other modules."""
    ours, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            others.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            others.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            above = path.parents[node.level - 1]
            names = [node.module or ""] if node.module else [alias.name for alias in node.names]
            ours.update(package(above / name.replace(".", "/") / "x") for name in names)
    return ours, others


def test_every_package_has_its_layer() -> None:
    assert {package(path) for path in FILES} == set().union(*LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(UTILS)))
def test_imports_go_downward(path: Path) -> None:
    layer = next(number for number, names in enumerate(LAYERS) if package(path) in names)
    ours, others = imports(path)
    assert ours <= set().union(*LAYERS[:layer]) | {package(path)}
    assert "ansible" not in others
    assert "ansible_collections" not in others
    if package(path) in PURE:
        assert others <= ALLOWED_IN_PURE


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(UTILS)))
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: str(path.relative_to(UTILS)))
def test_packages_are_small(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) <= MAX_FILES


def test_few_packages_know_each_other() -> None:
    arrows = {(package(path), other) for path in FILES for other in imports(path)[0] if other != package(path)}
    assert len(arrows) <= MAX_ARROWS
