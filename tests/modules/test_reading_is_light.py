# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that only read do not load what plans and acts: each host compiles what is imported, at every task."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tree import Tree

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


@pytest.mark.parametrize(("driver", "rules"), [("mtty", RULES[:1]), ("nvidia", RULES)])
@pytest.mark.parametrize("module", ["mdev_info"])
def test_reading_never_imports_the_planner(tree: Tree, module: str, driver: str, rules: tuple[str, ...]) -> None:
    folder = tree.parent("0000:41:00.0", "pci", t_1="23")
    tree.device(folder, "11111111-2222-3333-4444-555555555555", "t-1")
    tree.link(f"{folder}/driver", f"sys/bus/pci/drivers/{driver}")
    places = {"sysfs_path": str(tree.sys), "definitions_path": str(tree.root / "etc/mdevctl.d")}
    command = [sys.executable, "-c", PROGRAM, str(TESTS), module, json.dumps(places)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    loaded = json.loads(done.stdout)
    assert "_frameworks.registry" in loaded
    assert [name for name in loaded if name.startswith(FORBIDDEN)] == []
    assert tuple(name for name in RULES if name in loaded) == rules
    assert [name for name in loaded if name in TOOLS] == (TOOLS if driver == "nvidia" else [])
