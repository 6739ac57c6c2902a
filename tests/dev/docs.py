# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev docs: builds the documentation as a site, and fails on a warning about our pages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from dev.environment import CHECKOUT
from dev.stage import collections_path, staged

_SITE = CHECKOUT / "docs" / "build"
_PAGE = _SITE / "build" / "html" / "collections" / "vfio" / "mdev" / "index.html"
# A theme that Sphinx includes.
_INIT = ("antsibull-docs", "sphinx-init", "--use-current", "--sphinx-theme", "alabaster", "vfio.mdev")
_SECONDS = 600.0

_PROBLEM = re.compile(r"\b(?:WARNING|ERROR|CRITICAL)\b")
# Pages of ansible-core that ours link to. Without network, Sphinx does not find them.
_ELSEWHERE = re.compile(
    r"failed to reach any of the inventories"
    r"|undefined label: '(?:action_plugins|ansible_configuration_settings|common_return_values)'"
)


def problems(output: str) -> list[str]:
    """The lines of the build's output that are warnings or errors about our pages."""
    return [line for line in output.splitlines() if _PROBLEM.search(line) and not _ELSEWHERE.search(line)]


def main() -> int:
    """Build the site in docs/build."""
    shutil.rmtree(_SITE, ignore_errors=True)
    _SITE.mkdir()
    with staged() as stage:
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections_path(stage))}
        output = _output([*_INIT, "--dest-dir", str(_SITE)], environment)
        output += _output([str(_SITE / "build.sh")], environment)
    if not _PAGE.is_file():
        print(output)
        return 1
    ours = problems(output)
    print(*ours, f"{len(ours)} warnings: {_PAGE}", sep="\n")
    return 1 if ours else 0


def _output(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """What a command prints. Sphinx also fails because of pages that it can't reach, so its exit code says nothing."""
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
