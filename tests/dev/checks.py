# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of all checks: each with its command, folder and deadline."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.check import Check, by_junit, by_sanity, by_scenario
from dev.environment import CHECKOUT, cache
from dev.sanity import ansible_home
from dev.schemas import schemas
from dev.stage import collections_path

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

# Options that select the lab's hosts. Live migration needs QEMU 8.1, which bookworm does not have.
# The two selections have no host in common, so that their scenarios can run at the same time.
_ONE_OF_EACH = "--host c --suite trixie --suite bookworm"
_PAIR = "--host a --host b --suite trixie"
_SINGLE_SCENARIOS = ("device", "states", "set", "destination", "reboot", "provision")
_PAIR_SCENARIOS = ("migration",)
_SNIPPETS = "tests/playbooks/test_snippets.py"


def units(_stage: Path, logs: Path) -> list[Check]:
    """The tests of the core, of filters, roles and tools, without a host."""
    return [_pytest("units", ["tests/unit"], logs, 600)]


def modules(_stage: Path, logs: Path) -> list[Check]:
    """The modules on trees and stand-in drivers, and a short campaign of faults."""
    return [_pytest("modules", ["tests/modules", "tests/drivers", "tests/faults"], logs, 900)]


def playbooks(_stage: Path, logs: Path) -> list[Check]:
    """Whole playbooks on stand-ins."""
    return [_pytest("playbooks", ["tests/playbooks", f"--ignore={_SNIPPETS}"], logs, 1500)]


def snippets(_stage: Path, logs: Path) -> list[Check]:
    """The documentation's examples on stand-ins."""
    return [_pytest("snippets", [_SNIPPETS], logs, 900)]


def _pytest(name: str, folders: Sequence[str], logs: Path, seconds: float) -> Check:
    report = logs / f"{name}.xml"
    command = ["pytest", f"--junit-xml={report}", "-p", "no:cacheprovider", *folders]
    return Check(name, command, CHECKOUT, seconds, {"LIBVIRT_SCHEMAS": str(schemas())}, by_junit(report))


def code(stage: Path, _logs: Path) -> list[Check]:
    """Style and types of the code."""
    return [
        Check("ruff", ["ruff", "check", "--no-cache", "."], stage, 60),
        Check("ruff format", ["ruff", "format", "--no-cache", "--check", "."], stage, 60),
        Check(
            "mypy core",
            ["mypy", "-p", "ansible_collections.vfio.mdev.plugins", *_mypy_cache("core")],
            collections_path(stage),
            300,
            {"MYPYPATH": str(collections_path(stage))},
        ),
        Check(
            "mypy tools",
            ["mypy", "-p", "lab", "-p", "dev", "-p", "drivers", "-p", "benchmarks", *_mypy_cache("tools")],
            stage,
            300,
            {"MYPYPATH": str(stage / "tests")},
        ),
    ]


def _mypy_cache(name: str) -> list[str]:
    return ["--config-file", str(CHECKOUT / "pyproject.toml"), "--cache-dir", str(ansible_home() / f"mypy-{name}")]


def static(stage: Path, _logs: Path) -> list[Check]:
    """Ansible's linters, the documentation, the package."""
    environment = _ansible(stage)
    return [
        Check(
            "antsibull-docs", ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "."], stage, 300, environment
        ),
        Check("antsibull-changelog", ["antsibull-changelog", "lint"], stage, 60, environment),
        Check("package", [sys.executable, "-m", "dev.package"], stage, 300, environment),
        Check(
            "ansible-lint",
            ["ansible-lint", "--offline", "--profile", "production", "--strict"],
            stage,
            600,
            environment,
        ),
        Check(
            "ansible-test sanity",
            ["ansible-test", "sanity", "--venv", "--python", PYTHON, "--color", "no"],
            stage,
            900,
            environment,
            by_sanity,
        ),
    ]


def single_hosts(stage: Path, logs: Path) -> list[Check]:
    """The scenarios on single hosts with a real kernel, one host of each suite."""
    return _lab(stage, logs, _ONE_OF_EACH, _SINGLE_SCENARIOS)


def host_pairs(stage: Path, logs: Path) -> list[Check]:
    """The scenarios on two hosts between which guests migrate."""
    return _lab(stage, logs, _PAIR, _PAIR_SCENARIOS)


def _lab(stage: Path, logs: Path, selection: str, scenarios: Sequence[str]) -> list[Check]:
    """All hosts of a scenario start together."""
    return [
        Check(f"hosts up {selection}", [*_LAB, "up", *selection.split()], stage, 1500),
        *(_scenario(name, stage, logs / name, selection) for name in scenarios),
        Check(f"hosts down {selection}", [*_LAB, "down", *selection.split()], stage, 60),
    ]


_LAB = (sys.executable, "-m", "lab")


def _scenario(name: str, stage: Path, reports: Path, selection: str) -> Check:
    reports.mkdir()
    environment = {
        **_ansible(stage),
        "LAB_INVENTORY": str(reports / "inventory.yml"),
        "LAB_SELECTION": selection,
        "LAB_REPORTS": str(reports),
        # The lab's images stay in the user's cache although HOME changes.
        "XDG_CACHE_HOME": str(cache().parent),
    }
    command = ["molecule", "test", "--scenario-name", name, "--destroy", "never", "--no-command-borders"]
    return Check(f"scenario {name}", command, stage, 3600, environment, by_scenario(reports))


def _ansible(stage: Path) -> Mapping[str, str]:
    """The environment in which Ansible sees only the staged collection and not the user's own configuration."""
    own_pip = Path.home() / ".config" / "pip" / "pip.conf"
    configuration = ansible_home() / "ansible.cfg"
    configuration.touch()
    return {
        "HOME": str(ansible_home()),
        "ANSIBLE_CONFIG": str(configuration),
        "ANSIBLE_COLLECTIONS_PATH": str(collections_path(stage)),
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "COLUMNS": "200",
        **({"PIP_CONFIG_FILE": str(own_pip)} if own_pip.is_file() else {}),
    }
