# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules do not load what they have no use for: each host compiles what is imported, at every task."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tree import Tree

UUID = "11111111-2222-3333-4444-555555555555"
TESTS = Path(__file__).parents[1]
PROGRAM = """
import json, sys
sys.path[:0] = [sys.argv[1]]
import conftest
from run_module import run_module
result = run_module(sys.argv[2], **json.loads(sys.argv[3]))
assert not result.get("failed"), result
core = "ansible_collections.vfio.mdev.plugins.module_utils."
print(json.dumps(sorted(name[len(core):] for name in sys.modules if name.startswith(core))))
"""
FORBIDDEN = ("_planning.planner", "_planning.placement", "_frameworks.backends", "_runner.apply", "_sriov", "_boot")


# What runs NVIDIA's tool, and reads its output.
TOOLS = ["_frameworks.drivers.nvidia_smi", "_frameworks.drivers.nvidia_smi_text", "_host.tool"]


# Where the capacity rules are: those of drivers are loaded only if the driver is there.
RULES = ("_planning.capacity", "_frameworks.drivers.nvidia")


# What acts.
ACTS = ("_runner.apply", "_frameworks.backends", "_frameworks.device_files", "_host.sysfs_writer", "_info.hints")


def loaded(tree: Tree, module: str, **arguments: object) -> list[str]:
    """The files of ours that a run of the module imports."""
    places = {"sysfs_path": str(tree.sys), "definitions_path": str(tree.root / "etc/mdevctl.d")}
    command = [sys.executable, "-c", PROGRAM, str(TESTS), module, json.dumps({**places, **arguments})]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    names: list[str] = json.loads(done.stdout)
    return names


@pytest.mark.parametrize(("driver", "rules"), [("mtty", RULES[:1]), ("nvidia", RULES)])
@pytest.mark.parametrize("module", ["mdev_info"])
def test_reading_never_imports_the_planner(tree: Tree, module: str, driver: str, rules: tuple[str, ...]) -> None:
    folder = tree.parent("0000:41:00.0", "pci", t_1="23")
    tree.device(folder, UUID, "t-1")
    tree.link(f"{folder}/driver", f"sys/bus/pci/drivers/{driver}")
    names = loaded(tree, module)
    assert "_frameworks.registry" in names
    assert [name for name in names if name.startswith(FORBIDDEN)] == []
    assert tuple(name for name in RULES if name in names) == rules
    assert [name for name in names if name in TOOLS] == (TOOLS if driver == "nvidia" else [])


def test_a_set_that_is_there_never_imports_what_acts(tree: Tree) -> None:
    folder = tree.parent("0000:41:00.0", "pci", t_1="23")
    tree.device(folder, UUID, "t-1")
    there = {"uuid": UUID, "type": "t-1", "persistent": False}
    unchanged = loaded(tree, "mdev_set", name="set", devices=[there], autostart=False)
    assert "_planning.planner" in unchanged
    assert [name for name in ACTS if name in unchanged] == []
    changed = loaded(tree, "mdev_set", name="set", devices=[{**there, "persistent": True}], autostart=False)
    assert [name for name in ACTS if name in changed] == list(ACTS[:4])
