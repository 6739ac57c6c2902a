# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs what tests/hosts needs on a host: the collection, the tests, and the parts of Ansible that modules import.

python -m dev.carry ARCHIVE
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

from dev.environment import CHECKOUT

_TESTS = ("conftest.py", "hosts", "lab/guest.xml", "module_arguments.py", "run_module.py")
_OURS = ("plugins", "pyproject.toml", *(f"tests/{name}" for name in _TESTS))
_ANSIBLES = ("__init__.py", "_vendor", "module_utils", "release.py")


def pack(archive: Path) -> None:
    """Write the archive. It is unpacked in a folder of its own on the host."""
    import ansible

    ansibles = Path(ansible.__path__[0])
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name in _OURS:
            tar.add(CHECKOUT / name, name, filter=_source_only)
        for name in _ANSIBLES:
            tar.add(ansibles / name, f"ansible/{name}", filter=_source_only)


def _source_only(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
