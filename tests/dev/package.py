# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the collection, installs it into an empty folder, and reads its documentation as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

# The only files and folders that the package may contain.
_EXPECTED = {
    "CHANGELOG.rst",
    "CODE_OF_CONDUCT.md",
    "COPYING",
    "FILES.json",
    "LICENSES",
    "MAINTAINERS.md",
    "MANIFEST.json",
    "README.md",
    "REUSE.toml",
    "SECURITY.md",
    "changelogs",
    "docs",
    "meta",
    "playbooks",
    "plugins",
    "roles",
}


def main() -> int:
    """Build and check the collection in the current folder."""
    with tempfile.TemporaryDirectory() as folder:
        _run("ansible-galaxy", "collection", "build", "--output-path", folder)
        [archive] = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            names = tar.getnames()
        print("\n".join(names))
        strays = sorted({name.split("/")[0] for name in names} - _EXPECTED)
        strays += [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
        if strays:
            print(f"unexpected files in the package: {' '.join(strays)}. Add them to build_ignore in galaxy.yml")
            return 1
        # Otherwise the tools find the collection in the current folder and install nothing.
        os.environ["ANSIBLE_COLLECTIONS_PATH"] = f"{folder}/installed"
        _run("ansible-galaxy", "collection", "install", "--offline", "-p", f"{folder}/installed", str(archive))
        for name in sorted(Path("plugins/modules").glob("*.py")):
            _documented("module", name.stem, "EXAMPLES:")
        for role in sorted(path.name for path in Path("roles").iterdir()):
            _documented("role", role, "ENTRY POINT")
    return 0


def _documented(plugin_type: str, name: str, expected: str) -> None:
    text = _run("ansible-doc", "-t", plugin_type, f"vfio.mdev.{name}")
    assert expected in text, f"ansible-doc shows no documentation of {plugin_type} {name}"


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    print("+", *command)
    print(done.stderr, end="")
    if done.returncode != 0:
        print(done.stdout)
        sys.exit(1)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
