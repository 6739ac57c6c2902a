# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-test needs to run without the internet."""

from __future__ import annotations

import re
from pathlib import Path

from lab.errors import LabError

from dev.environment import cache

# ansible-test makes environments of its own and fetches the script get-pip for them. Python brings pip itself.
_STAND_IN = """import subprocess
import sys

words = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.run([sys.executable, "-m", "ensurepip"], check=True)
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *words]).returncode)
"""


def ansible_home() -> Path:
    """A home for Ansible's tools, with a stand-in for get-pip under the name that this ansible-test looks for."""
    home = cache() / "home"
    place = home / ".ansible" / "test" / "cache" / f"get_pip_{_pip_version().replace('.', '_')}.py"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(_STAND_IN)
    return home


def _pip_version() -> str:
    """The version of pip that ansible-test wants, from its own source."""
    import ansible_test  # type: ignore[import-untyped]

    source = Path(ansible_test.__path__[0]) / "_internal" / "python_requirements.py"
    found = re.search(r"default_packages = dict\(\s*pip='([\d.]+)'", source.read_text())
    if found is None:
        raise LabError(f"{source} no longer says which pip ansible-test wants: look there and correct dev/sanity.py")
    return found[1]
