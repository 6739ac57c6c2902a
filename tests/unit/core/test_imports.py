# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house: imports run downwards only, and the pure part does no I/O and knows no Ansible."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

UTILS = Path(__file__).parents[3] / "plugins" / "module_utils"

# From the ground up, the last of all being what runs at boot. A module imports what stands above it here, never below.
ORDER = [
    "_errors",
    "_model",
    "_address",
    "_ap_matrix",
    "_attribute_changes",
    "_wanted",
    "_vendor_vfio",
    "_candidates",
    "_room",
    "_placement",
    "_fit",
    "_refusals",
    "_states",
    "_selection",
    "_hints",
    "_nodedev_xml",
    "_domain_xml",
    "_definition_json",
    "_steps",
    "_plan",
    "_vfs",
    "_unit_files",
    "_migration_record",
    "_migration",
    "_members",
    "_results",
    "_run_results",
    "_host",
    "_arguments",
    "_hardware",
    "_autostart",
    "_files",
    "_definitions",
    "_users",
    "_sysfs",
    "_vendor_sysfs",
    "_inventory",
    "_remover",
    "_kernel",
    "_sriov",
    "_lock",
    "_backend",
    "_direct",
    "_vendor_backend",
    "_mdevctl",
    "_libvirt",
    "_backends",
    "_apply",
    "_job",
    "_run",
    "_virsh",
    "_guests",
    "_guest_files",
    "_versions",
    "_migration_records",
    "_migrating",
    "_run_vfs",
    "_boot_vfs",
    "_boot",
    "_boot_unit",
]
PURE = ORDER[: ORDER.index("_host")]
ALLOWED_IN_PURE = {
    "__future__",
    "collections",
    "copy",
    "dataclasses",
    "functools",
    "hashlib",
    "itertools",
    "json",
    "lxml",
    "re",
    "types",
    "typing",
    "uuid",
    "xml",
}


def imports(name: str) -> set[str]:
    """Names of all modules that a file imports; ours with a leading dot."""
    found = set()
    for node in ast.walk(ast.parse((UTILS / f"{name}.py").read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            named = [node.module] if node.module else [alias.name for alias in node.names]
            found.update("." + one if node.level else one.split(".")[0] for one in named)
    return found


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted(path.stem for path in UTILS.glob("_*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", ORDER)
def test_imports_run_downwards(name: str) -> None:
    ours = {one[1:] for one in imports(name) if one.startswith(".")}
    assert ours <= set(ORDER[: ORDER.index(name)])


@pytest.mark.parametrize("name", PURE)
def test_the_pure_part_has_no_input_or_output(name: str) -> None:
    assert {one for one in imports(name) if not one.startswith(".")} <= ALLOWED_IN_PURE


@pytest.mark.parametrize("name", ORDER)
def test_the_core_knows_no_ansible(name: str) -> None:
    assert not {one for one in imports(name) if one.startswith("ansible")}
