# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of nox: those of antsibull-nox.toml, and the tests that need no hosts. List them with: nox -l"""

# /// script
# dependencies = ["nox>=2025.02.09", "antsibull-nox>=1", "ansible-core"]
# ///

from __future__ import annotations

import antsibull_nox
import nox

antsibull_nox.load_antsibull_nox_toml()


@nox.session
def ruff(session: nox.Session) -> None:
    """Lint all Python files, and check how they are formatted."""
    session.install("ruff>=0.11,<1")
    session.run("ruff", "check", "--no-cache", ".")
    session.run("ruff", "format", "--no-cache", "--check", ".")


@nox.session(default=False)
def fast(session: nox.Session) -> None:
    """Unit tests, modules against stand-ins, ruff and mypy, with the environment of ./dev."""
    session.run("./dev", "test", "fast", external=True)


@nox.session(default=False)
def matrix(session: nox.Session) -> None:
    """The tests that need no hosts with each supported ansible-core. Arguments are versions, for example: -- 2.16"""
    session.run("./dev", "matrix", *session.posargs, external=True)


if __name__ == "__main__":
    nox.main()
