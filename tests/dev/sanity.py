# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for get-pip, so that ansible-test runs without the internet."""

from __future__ import annotations

import re
from pathlib import Path

from lab.errors import LabError

from dev.environment import cache

# ansible-test creates its own environments and downloads the script get-pip for them. Python includes pip.
_STAND_IN = """import subprocess
import sys

words = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.run([sys.executable, "-m", "ensurepip"], check=True)
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *words]).returncode)
"""


def ansible_home() -> Path:
    """A home folder for Ansible's tools, with a stand-in for get-pip under the name that this ansible-test expects."""
    home = cache() / "home"
    place = home / ".ansible" / "test" / "cache" / f"get_pip_{_pip_version().replace('.', '_')}.py"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(_STAND_IN)
    return home


def _pip_version() -> str:
    """The version of pip that ansible-test expects, read from its source."""
    import ansible_test  # type: ignore[import-untyped]

    source = Path(ansible_test.__path__[0]) / "_internal" / "python_requirements.py"
    match = re.search(r"default_packages = dict\(\s*pip='([\d.]+)'", source.read_text())
    if match is None:
        raise LabError(f"{source} no longer names ansible-test's version of pip: look there and correct dev/sanity.py")
    return match[1]
