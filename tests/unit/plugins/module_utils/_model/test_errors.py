# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An old Python is refused in a sentence, by every module, before anything that it does not know is executed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[5] / "plugins"
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("mdev_*.py"))
# Python 3.8 has neither of the two functions.
PROGRAM = """
import functools, importlib.resources, sys
sys.path.insert(0, sys.argv[2])
import conftest
from ansible.module_utils import basic
del functools.cache, importlib.resources.files
sys.version_info = (3, 8, 18, "final", 0)
importlib.import_module("ansible_collections.vfio.mdev.plugins.modules." + sys.argv[1])
"""


@pytest.mark.parametrize("module", MODULES)
def test_an_old_python_is_refused_in_a_sentence(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, module, str(PLUGINS.parent / "tests")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["msg"].startswith("The collection vfio.mdev needs Python 3.9 or newer on the host")
