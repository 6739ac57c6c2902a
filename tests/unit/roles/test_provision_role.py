# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of sets and cards are the same in the roles and in the modules, and reach the modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vfio.mdev.plugins.module_utils._planning.device_set import NONE, PURGES
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import (
    BACKEND_ARGUMENTS,
    COMMON_ARGUMENTS,
    ENTRY_ARGUMENTS,
    HOST_ARGUMENTS,
    NAMESPACE_ARGUMENTS,
    WAIT_ARGUMENTS,
)
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.arguments import CARDS_ARGUMENT

ROLES = Path(__file__).parents[3] / "roles"
OPTIONS = yaml.safe_load((ROLES / "provision/meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
SET = {
    "name": {"type": "str", "required": True},
    "devices": {"type": "list", "elements": "dict", "required": True},
    "purge": {"type": "str", "choices": list(PURGES), "default": NONE},
    "on_in_use": {"type": "str", "choices": ["fail", "skip"], "default": "fail"},
    **COMMON_ARGUMENTS,
    **NAMESPACE_ARGUMENTS,
    **BACKEND_ARGUMENTS,
    **WAIT_ARGUMENTS,
    **HOST_ARGUMENTS,
}
# The role manages the host that it runs on, and its timeout is an option for the whole host.
DIFFERENT = {"sysfs_path", "wait_timeout"}


def specification(option: dict[str, Any]) -> dict[str, Any]:
    return {name: option[name] for name in ("type", "elements", "choices", "default", "required") if name in option}


@pytest.mark.parametrize("name", sorted(set(SET) - DIFFERENT))
def test_a_sets_options_are_those_of_the_module(name: str) -> None:
    assert specification(OPTIONS["provision_sets"]["options"][name]) == specification(SET[name])


def test_an_entrys_options_are_those_of_the_module() -> None:
    entry = OPTIONS["provision_sets"]["options"]["devices"]["options"]
    assert {name: specification(option) for name, option in entry.items()} == {
        name: specification(option) for name, option in ENTRY_ARGUMENTS.items()
    }
    for attributes in (entry["attributes"], OPTIONS["provision_sets"]["options"]["attributes"]):
        assert set(attributes["options"]) == set(ENTRY_ARGUMENTS["attributes"]["options"])


def test_all_options_of_a_set_reach_the_module() -> None:
    task = yaml.safe_load((ROLES / "provision/tasks/devices.yml").read_text())[-1]
    assert set(task["vfio.mdev.mdev_set"]) == set(OPTIONS["provision_sets"]["options"]) == set(SET) - {"sysfs_path"}


def test_cards_are_the_same_for_the_module_and_both_roles() -> None:
    boot = yaml.safe_load((ROLES / "boot/meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    for option in (OPTIONS["provision_cards"], boot["boot_vfs"]["options"]["cards"]):
        options = {name: specification(suboption) for name, suboption in option["options"].items()}
        assert options == {name: specification(suboption) for name, suboption in CARDS_ARGUMENT["options"].items()}


def test_every_variable_has_its_default() -> None:
    defaults = yaml.safe_load((ROLES / "provision/defaults/main.yml").read_text())
    assert defaults == {name: option["default"] for name, option in OPTIONS.items()}
