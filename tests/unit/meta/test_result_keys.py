# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No result has a key with a meaning of its own in Ansible: one named ``skipped`` switches failed_when off."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

_COLLECTION = Path(__file__).parents[3]
MODULES = sorted(path.stem for path in (_COLLECTION / "plugins" / "modules").glob("*.py"))

# Source: ansible/executor/task_executor.py and task_result.py, "Common return values" of Ansible's documentation.
# Keys that a module sets with their common meaning (changed, diff, msg) are not returned under documented names.
RESERVED = {
    "ansible_facts",
    "ansible_job_id",
    "ansible_stats",
    "attempts",
    "deprecations",
    "exception",
    "failed",
    "failed_when_result",
    "finished",
    "invocation",
    "results",
    "retries",
    "skip_reason",
    "skipped",
    "started",
    "unreachable",
    "warnings",
}


@pytest.mark.parametrize("name", MODULES)
def test_no_key_of_a_result_is_ansibles_own(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.vfio.mdev.plugins.modules.{name}")
    keys = set(yaml.safe_load(module.RETURN))
    assert keys and not keys & RESERVED
