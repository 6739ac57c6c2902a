# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README names all that the collection has, and its links lead to files and headings of the tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

_COLLECTION = Path(__file__).parents[3]
README = (_COLLECTION / "README.md").read_text()
GALAXY: dict[str, Any] = yaml.safe_load((_COLLECTION / "galaxy.yml").read_text())

_PAGES = f"{GALAXY['repository']}/blob/main/"
_PICTURES = GALAXY["repository"].replace("https://github.com/", "https://raw.githubusercontent.com/") + "/main/"
_LINKS = sorted(set(re.findall(r"\]\(([^)\s]+)\)", README)))

# The head of each table, and the files whose names are in its first column.
TABLES = {
    "playbooks and roles": ("playbooks/*.yml", "roles/*"),
    "modules": ("plugins/modules/*.py",),
    "filters": ("plugins/filter/*.py",),
}


def _table(title: str) -> list[str]:
    """The first cells of the rows of a table."""
    rows = README.partition(f"\n| {title} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [row.split("|")[1].strip() for row in rows]


def _headings(markdown: str) -> set[str]:
    """The anchors of a page's headings, as GitHub derives them."""
    headings: list[str] = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("title", TABLES)
def test_tables_are_complete(title: str) -> None:
    names = {path.stem for pattern in TABLES[title] for path in _COLLECTION.glob(pattern)}
    cells = {re.sub(r"\[`(.+)`\]\(.+\)", r"\1", cell) for cell in _table(title)}
    assert cells == {f"vfio.mdev.{name}" for name in names}


@pytest.mark.parametrize("link", _LINKS)
def test_links_are_absolute_and_lead_to_the_tree(link: str) -> None:
    page, _hash, heading = link.partition("#")
    if not page:
        assert heading in _headings(README)
        return
    assert page.startswith("https://"), "relative links are broken on Galaxy"
    if not page.startswith((_PAGES, _PICTURES)):
        assert page == GALAXY["issues"] or not page.startswith(GALAXY["repository"]), "not a file of the tree"
        return
    target = _COLLECTION / page.removeprefix(_PAGES).removeprefix(_PICTURES)
    assert target.is_file()
    if heading:
        assert heading in _headings(target.read_text())


@pytest.mark.parametrize("path", sorted((_COLLECTION / "docs" / "docsite" / "rst").glob("guide_*.rst")), ids=str)
def test_guides_are_linked(path: Path) -> None:
    assert f"{_PAGES}{path.relative_to(_COLLECTION)}" in README


def test_versions_are_those_of_the_metadata() -> None:
    required = yaml.safe_load((_COLLECTION / "meta" / "runtime.yml").read_text())["requires_ansible"]
    oldest = re.fullmatch(r">=(\d+\.\d+)\.0", required)
    assert oldest is not None
    assert f"ansible-core {oldest[1]} or newer" in README
    workflow = yaml.safe_load((_COLLECTION / ".github" / "workflows" / "ci.yml").read_text())
    assert f"stable-{oldest[1]}" in workflow["jobs"]["sanity"]["strategy"]["matrix"]["ansible"]


def test_the_commands_of_the_first_screen() -> None:
    install = f"ansible-galaxy collection install {GALAXY['namespace']}.{GALAXY['name']}"
    for command in (install, "./dev demo", "./dev test"):
        assert re.search(rf"^{re.escape(command)}( +#.*)?$", README, re.MULTILINE), command
    assert f"git+{GALAXY['repository']}.git" in README
