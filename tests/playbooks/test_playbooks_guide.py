# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide to the playbooks lists exactly the variables that each playbook accepts, with their defaults and units."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import yaml
from controller import CHECKOUT, Controller

from ansible_collections.vfio.mdev.plugins.modules import mdev_guest_migrate

GUIDE = (CHECKOUT / "docs" / "docsite" / "rst" / "guide_playbooks.rst").read_text()
PLAYBOOKS = CHECKOUT / "playbooks"

# The prefix of each playbook's variables. undrain has none.
PREFIXES = {
    "provision": "provision_",
    "report": "report_",
    "migrate": "migrate_",
    "find_destination": "find_",
    "drain": "drain_",
}
# The files in which a playbook reads variables of a role or of another playbook.
OTHERS = {"find_destination": ["find_destination.yml"], "drain": ["drain.yml", *PLAYBOOKS.glob("tasks/drain_*.yml")]}
# What role prepare_migration returns.
FACTS = {"prepare_migration_plan"}


@dataclass(frozen=True)
class Row:
    """A line of a table in the guide."""

    name: str
    default: str
    unit: str


def section(playbook: str) -> str:
    """The part of the guide about a playbook."""
    sections = re.split(r"^(vfio\.mdev\.\w+)\n-+\n", GUIDE, flags=re.MULTILINE)
    return dict(zip(sections[1::2], sections[2::2]))[f"vfio.mdev.{playbook}"]


def names(playbook: str) -> set[str]:
    """The variables and facts in the tables of a playbook."""
    return set(re.findall(r"^   \* - ``(\w+)``$", section(playbook), re.MULTILINE))


def rows(playbook: str) -> dict[str, Row]:
    """The variables in the table of a playbook."""
    lines = re.findall(r"^   \* - ``(\w+)``\n     -(.*)\n     -(.*)\n     - ", section(playbook), re.MULTILINE)
    return {name: Row(name, default.strip(), unit.strip()) for name, default, unit in lines}


@cache
def accepted(controller: Controller, playbook: str) -> frozenset[str]:
    """The variables that a playbook knows, from its own error about one that it does not know."""
    extra = json.dumps({f"{PREFIXES[playbook]}qqqqqqqq": 1})
    done = controller.run(["ansible-playbook", "-i", "gpu-1,", f"vfio.mdev.{playbook}", "-e", extra])
    known = re.search(r"qqqqqqqq is unknown\. Known are: ([\w, ]+)", done.stdout + done.stderr)
    assert done.returncode != 0 and known is not None, done.stdout + done.stderr
    return frozenset(known.group(1).strip().split(", "))


def defaults() -> Iterator[tuple[str, str, Any]]:
    """Playbook, variable and default, where a role or a module defines it."""
    path = CHECKOUT / "roles" / "provision" / "meta" / "argument_specs.yml"
    options = yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    yield from (("provision", name, option["default"]) for name, option in options.items())
    options = yaml.safe_load(mdev_guest_migrate.DOCUMENTATION)["options"]
    for name, row in rows("migrate").items():
        option = options.get(name.removeprefix("migrate_"), {})
        if "default" in option:
            yield "migrate", row.name, option["default"]


@pytest.mark.parametrize("playbook", PREFIXES)
def test_the_tables_have_what_the_playbook_accepts(controller: Controller, playbook: str) -> None:
    assert names(playbook) - accepted(controller, playbook) <= {"drain_result"}
    assert accepted(controller, playbook) - names(playbook) == set()


@pytest.mark.parametrize("playbook", OTHERS)
def test_variables_of_others_are_mentioned(playbook: str) -> None:
    text = "".join((PLAYBOOKS / name).read_text() for name in OTHERS[playbook])
    used = set(re.findall(r"\b(?:migrate|prepare_migration)_[a-z_]+\b(?!\.yml)", text)) - FACTS
    assert len(used) > 9
    assert [name for name in sorted(used) if f"``{name}``" not in section(playbook)] == []


@pytest.mark.parametrize(("playbook", "name", "default"), list(defaults()))
def test_defaults_are_those_of_the_role_or_module(playbook: str, name: str, default: Any) -> None:
    text = default if isinstance(default, str) else yaml.safe_dump(default, default_flow_style=True).splitlines()[0]
    assert rows(playbook)[name].default == f"``{text}``"


@pytest.mark.parametrize("playbook", PREFIXES)
def test_every_time_has_a_unit(playbook: str) -> None:
    times = [row for row in rows(playbook).values() if row.name.endswith(("_timeout", "_interval"))]
    assert {row.name: row.unit for row in times if row.unit != "seconds"} == {
        row.name: "" for row in times if row.name == "migrate_on_timeout"
    }


def test_every_playbook_has_a_section() -> None:
    assert {path.stem for path in PLAYBOOKS.glob("*.yml")} == {*PREFIXES, "undrain"}
    assert all(f"ansible-playbook -b vfio.mdev.{name}" in section(name) for name in (*PREFIXES, "undrain"))
