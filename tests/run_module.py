# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module in this process the way Ansible runs it on a host: real arguments in, real results out."""

from __future__ import annotations

import importlib
import io
import json
from contextlib import redirect_stdout
from typing import Any

import pytest
from ansible.module_utils.common import warnings
from module_arguments import patch_module_args


def run_module(module_name: str, /, **arguments: Any) -> dict[str, Any]:
    """Returns the result that the module prints. check and diff set Ansible's modes."""
    modes = {"_ansible_check_mode": arguments.pop("check", False), "_ansible_diff": arguments.pop("diff", False)}
    module = importlib.import_module(f"ansible_collections.vfio.mdev.plugins.modules.{module_name}")
    printed = io.StringIO()
    # On a host, each run is a process of its own.
    warnings._global_warnings.clear()
    with patch_module_args({**arguments, **modes}), redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        module.main()
    result: dict[str, Any] = json.loads(printed.getvalue().splitlines()[-1])
    assert bool(ended.value.code) == bool(result.get("failed"))
    result.pop("invocation", None)
    return result
