# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action groups of meta/runtime.yml: all members have the options of the group, and document their membership."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

_COLLECTION = Path(__file__).parents[3]
_PLUGINS = "ansible_collections.vfio.mdev.plugins"

# The options that module_defaults can set for all members of a group.
OPTIONS = {
    "mdev": ("sysfs_path", "definitions_path"),
    "mdev_change": ("backend", "uri", "lock_timeout", "sysfs_path", "definitions_path"),
    "mdev_host": ("sysfs_path",),
    "mdev_provision": ("wait_timeout",),
}
GROUPS: dict[str, list[str]] = yaml.safe_load((_COLLECTION / "meta" / "runtime.yml").read_text())["action_groups"]
MODULES = sorted(path.stem for path in (_COLLECTION / "plugins" / "modules").glob("*.py"))
MEMBERS = [(group, name) for group, names in GROUPS.items() for name in names]


class _Arguments(Exception):
    """The arguments that a module hands to AnsibleModule."""

    def __init__(self, *, argument_spec: dict[str, Any], **_rest: object) -> None:
        super().__init__()
        self.argument_spec = argument_spec


def _module(name: str) -> Any:
    return importlib.import_module(f"{_PLUGINS}.modules.{name}")


def argument_spec(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options that the module accepts."""

    def stop(argument_spec: dict[str, Any], **_others: Any) -> None:
        raise _Arguments(argument_spec=argument_spec)

    module = _module(name)
    monkeypatch.setattr(module, "AnsibleModule", stop)
    with pytest.raises(_Arguments) as raised:
        module.main()
    return raised.value.argument_spec


def documentation(name: str) -> dict[str, dict[str, Any]]:
    """The options and attributes in the module's documentation, with those of its fragments."""
    own = yaml.safe_load(_module(name).DOCUMENTATION)
    parts = [yaml.safe_load(_fragment(fragment)) for fragment in own.get("extends_documentation_fragment", [])]
    merged: dict[str, dict[str, Any]] = {"options": {}, "attributes": {}}
    for part in (*parts, own):
        for section, entries in merged.items():
            for key, value in part.get(section, {}).items():
                entries[key] = {**entries.get(key, {}), **value}
    return merged


def _fragment(name: str) -> str:
    """A documentation fragment by its name: vfio.mdev.FILE or vfio.mdev.FILE.SECTION."""
    _namespace, _collection, file, *section = name.split(".")
    fragment = importlib.import_module(f"{_PLUGINS}.doc_fragments.{file}").ModuleDocFragment
    text: str = getattr(fragment, section[0].upper() if section else "DOCUMENTATION")
    return text


def test_each_group_has_its_options() -> None:
    assert set(GROUPS) == set(OPTIONS)


@pytest.mark.parametrize("group", GROUPS)
def test_members_are_sorted_modules_of_the_collection(group: str) -> None:
    assert GROUPS[group] == sorted(set(GROUPS[group]))
    assert set(GROUPS[group]) <= set(MODULES)


@pytest.mark.parametrize(("group", "name"), MEMBERS)
def test_members_accept_the_options(group: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(OPTIONS[group]) <= set(argument_spec(name, monkeypatch))


@pytest.mark.parametrize(("group", "name"), MEMBERS)
def test_members_document_the_options(group: str, name: str) -> None:
    assert set(OPTIONS[group]) <= set(documentation(name)["options"])


@pytest.mark.parametrize("name", MODULES)
def test_modules_document_their_groups(name: str) -> None:
    documented = documentation(name)["attributes"].get("action_group", {}).get("membership", [])
    assert documented == [f"vfio.mdev.{group}" for group, names in GROUPS.items() if name in names]


@pytest.mark.parametrize("name", MODULES)
def test_options_are_documented_under_the_names_that_modules_accept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(documentation(name)["options"]) == set(argument_spec(name, monkeypatch))
