# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest
from builders import OTHER, UUID
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._host.definitions import DefinitionFiles
from ansible_collections.vfio.mdev.plugins.module_utils._host.reader import Reader
from ansible_collections.vfio.mdev.plugins.module_utils._model.definition_text import (
    BrokenDefinitionError,
    definition_text,
    parse_definition,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import FilesRefused
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Attribute, Definition

# As mdevctl 1.4 wrote them on a real host, to the byte.
BY_MDEVCTL = {
    '{\n  "mdev_type": "mtty-2",\n  "start": "auto",\n  "attrs": []\n}': Definition(UUID, "mtty", "mtty-2", True),
    '{\n  "mdev_type": "mtty-2",\n  "start": "manual",\n  "attrs": [\n    {\n      "vendor/sample": "1"\n    },\n'
    '    {\n      "foo": "bar"\n    }\n  ]\n}': Definition(
        UUID, "mtty", "mtty-2", False, (Attribute("vendor/sample", "1"), Attribute("foo", "bar"))
    ),
}


@pytest.mark.parametrize("text", BY_MDEVCTL)
def test_read_and_written_as_mdevctl_does(text: str) -> None:
    assert parse_definition(text, "mtty", UUID) == BY_MDEVCTL[text]
    assert definition_text(BY_MDEVCTL[text]) == text


@pytest.mark.parametrize("attrs", ['"attrs": [], ', '"attrs": {}, ', '"attrs": null, ', ""])
def test_attributes_may_be_missing(attrs: str) -> None:
    assert parse_definition("{" + attrs + '"mdev_type": "a", "start": "auto"}', "mtty", UUID).attributes == ()


def test_unknown_fields_survive() -> None:
    text = '{\n  "mdev_type": "a",\n  "start": "auto",\n  "attrs": [],\n  "x": {\n    "b": [\n      1\n    ]\n  }\n}'
    assert definition_text(parse_definition(text, "mtty", UUID)) == text


ATTRIBUTES = st.lists(st.builds(Attribute, st.text(), st.text()), max_size=4).map(tuple)


@given(st.builds(Definition, st.just(UUID), st.just("mtty"), st.text(min_size=1), st.booleans(), ATTRIBUTES))
def test_every_definition_comes_back(definition: Definition) -> None:
    assert parse_definition(definition_text(definition), "mtty", UUID) == definition


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("garbage", "not JSON"),
        ('{"mdev_type": "a"', "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "mdev_type is missing"),
        ('{"mdev_type": 7}', "mdev_type is missing or no text"),
        ('{"mdev_type": "a", "start": "later"}', 'start is "later"'),
        ('{"mdev_type": "a", "start": []}', "start is"),
        ('{"mdev_type": "a", "attrs": {"x": "1"}}', "attrs is not a list"),
        ('{"mdev_type": "a", "attrs": ["x"]}', 'attrs has "x"'),
        ('{"mdev_type": "a", "attrs": [{"x": "1", "y": "2"}]}', "one name and text"),
        ('{"mdev_type": "a", "attrs": [{"x": 1}]}', "one name and text"),
    ],
)
def test_broken_definitions(text: str, message: str) -> None:
    with pytest.raises(BrokenDefinitionError, match=message):
        parse_definition(text, "mtty", UUID)


MINE = Definition(UUID, "mtty", "mtty-1", True)


def read(folder: Path) -> tuple[tuple[Definition, ...], dict[str, str]]:
    reader = Reader()
    found, broken = DefinitionFiles(str(folder)).read(reader)
    assert reader.unread == []
    return found, {os.path.relpath(one.path, folder): one.problem for one in broken}


def test_a_host_without_definitions(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == ((), {})


def test_written_definitions_are_read_back_with_mdevctls_modes(tmp_path: Path) -> None:
    folder = tmp_path / "mdevctl.d"
    os.umask(0o077)
    DefinitionFiles(str(folder)).write(MINE)
    os.umask(0o022)
    assert read(folder) == ((MINE,), {})
    assert (folder / "mtty").stat().st_mode & 0o777 == 0o755
    assert (folder / "mtty" / UUID).stat().st_mode & 0o777 == 0o644
    assert [one.name for one in (folder / "mtty").iterdir()] == [UUID]


def test_odd_files_are_reported_and_the_others_read(tmp_path: Path) -> None:
    files = DefinitionFiles(str(tmp_path))
    for one in (MINE, Definition(UUID, "gone", "x-1"), Definition(OTHER, "mtty", "mtty-2")):
        files.write(one)
    (tmp_path / "mtty" / "README").write_text("hello")
    (tmp_path / "mtty" / "77777777-2222-3333-4444-555555555555").write_text("{")
    (tmp_path / "mtty" / "88888888-2222-3333-4444-555555555555").write_bytes(b"\xff\xfe")
    (tmp_path / "mtty" / "99999999-0000-3333-4444-555555555555").mkdir()
    (tmp_path / "mtty" / f".{UUID}.new").write_text('{"mdev')
    (tmp_path / "stray").write_text("")
    (tmp_path / "scripts.d" / "callouts").mkdir(parents=True)
    found, broken = read(tmp_path)
    assert [(one.parent, one.uuid) for one in found] == [("gone", UUID), ("mtty", UUID), ("mtty", OTHER)]
    assert broken.pop("mtty/77777777-2222-3333-4444-555555555555").startswith("not JSON")
    assert broken == {
        "mtty/README": "not named by a UUID",
        "mtty/88888888-2222-3333-4444-555555555555": "not UTF-8",
        "mtty/99999999-0000-3333-4444-555555555555": "EISDIR (Is a directory)",
        "stray": "not a folder of a parent",
    }


@pytest.mark.parametrize("dies_in", ["fsync", "rename"])
def test_a_power_cut_leaves_the_old_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str) -> None:
    files = DefinitionFiles(str(tmp_path))
    files.write(MINE)

    def power_cut(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, dies_in, power_cut)
    with pytest.raises(KeyboardInterrupt):
        files.write(Definition(UUID, "mtty", "mtty-2"))
    monkeypatch.undo()
    assert read(tmp_path) == ((MINE,), {})


def test_a_refused_write_leaves_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = DefinitionFiles(str(tmp_path))
    files.write(MINE)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FilesRefused, match=r"writing definition .* failed: ENOSPC"):
        files.write(Definition(UUID, "mtty", "mtty-2"))
    monkeypatch.undo()
    assert read(tmp_path) == ((MINE,), {})
    assert [one.name for one in (tmp_path / "mtty").iterdir()] == [UUID]


def test_removing_twice_is_no_error(tmp_path: Path) -> None:
    files = DefinitionFiles(str(tmp_path))
    files.write(MINE)
    files.remove(MINE)
    files.remove(MINE)
    assert read(tmp_path) == ((), {})
