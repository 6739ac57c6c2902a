# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definition files: their format, and reading and writing them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from builders import OTHER, UUID, define
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.framework import MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._host.definitions import DefinitionFiles
from ansible_collections.vfio.mdev.plugins.module_utils._host.reader import Reader
from ansible_collections.vfio.mdev.plugins.module_utils._model.definition_text import (
    BrokenDefinitionError,
    definition_text,
    parse_definition,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import FileError
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Attribute, Definition

# Exact output of mdevctl 1.4 on a real host.
BY_MDEVCTL = {
    '{\n  "mdev_type": "mtty-2",\n  "start": "auto",\n  "attrs": []\n}': define(UUID, "mtty", "mtty-2", True),
    '{\n  "mdev_type": "mtty-2",\n  "start": "manual",\n  "attrs": [\n    {\n      "vendor/sample": "1"\n    },\n'
    '    {\n      "foo": "bar"\n    }\n  ]\n}': define(
        UUID, "mtty", "mtty-2", False, (Attribute("vendor/sample", "1"), Attribute("foo", "bar"))
    ),
}


@pytest.mark.parametrize("text", BY_MDEVCTL)
def test_reads_and_writes_the_format_of_mdevctl(text: str) -> None:
    assert parse_definition(text, "mtty", UUID, MDEV) == BY_MDEVCTL[text]
    assert definition_text(BY_MDEVCTL[text]) == text


@pytest.mark.parametrize("attrs", ['"attrs": [], ', '"attrs": {}, ', '"attrs": null, ', ""])
def test_attributes_may_be_missing(attrs: str) -> None:
    assert parse_definition("{" + attrs + '"mdev_type": "a", "start": "auto"}', "mtty", UUID, MDEV).attributes == ()


def test_unknown_fields_survive() -> None:
    text = '{\n  "mdev_type": "a",\n  "start": "auto",\n  "attrs": [],\n  "x": {\n    "b": [\n      1\n    ]\n  }\n}'
    assert definition_text(parse_definition(text, "mtty", UUID, MDEV)) == text


ATTRIBUTES = st.lists(st.builds(Attribute, st.text(), st.text()), max_size=4).map(tuple)


@given(st.builds(define, st.just(UUID), st.just("mtty"), st.text(min_size=1), st.booleans(), ATTRIBUTES))
def test_every_definition_survives_a_round_trip(definition: Definition) -> None:
    assert parse_definition(definition_text(definition), "mtty", UUID, MDEV) == definition


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
        ('{"mdev_type": "a", "attrs": [{"x": "1", "y": "2"}]}', "one name and a text"),
        ('{"mdev_type": "a", "attrs": [{"x": 1}]}', "one name and a text"),
    ],
)
def test_broken_definitions(text: str, message: str) -> None:
    with pytest.raises(BrokenDefinitionError, match=message):
        parse_definition(text, "mtty", UUID, MDEV)


STORED = define(UUID, "mtty", "mtty-1", True)


def read(folder: Path) -> tuple[tuple[Definition, ...], dict[str, str]]:
    reader = Reader()
    definitions, broken = DefinitionFiles(str(folder), MDEV).read(reader)
    assert reader.unread == []
    return definitions, {os.path.relpath(file.path, folder): file.problem for file in broken}


def test_a_host_without_definitions(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == ((), {})


def test_written_definitions_have_the_file_modes_of_mdevctl(tmp_path: Path) -> None:
    folder = tmp_path / "mdevctl.d"
    os.umask(0o077)
    DefinitionFiles(str(folder), MDEV).write(STORED)
    os.umask(0o022)
    assert read(folder) == ((STORED,), {})
    assert (folder / "mtty").stat().st_mode & 0o777 == 0o755
    assert (folder / "mtty" / UUID).stat().st_mode & 0o777 == 0o644
    assert [path.name for path in (folder / "mtty").iterdir()] == [UUID]


def test_invalid_files_are_reported_and_the_others_read(tmp_path: Path) -> None:
    files = DefinitionFiles(str(tmp_path), MDEV)
    for definition in (STORED, define(UUID, "gone", "x-1"), define(OTHER, "mtty", "mtty-2")):
        files.write(definition)
    (tmp_path / "mtty" / "README").write_text("hello")
    (tmp_path / "mtty" / "77777777-2222-3333-4444-555555555555").write_text("{")
    (tmp_path / "mtty" / "88888888-2222-3333-4444-555555555555").write_bytes(b"\xff\xfe")
    (tmp_path / "mtty" / "99999999-0000-3333-4444-555555555555").mkdir()
    (tmp_path / "mtty" / f".{UUID}.new").write_text('{"mdev')
    (tmp_path / "stray").write_text("")
    (tmp_path / "scripts.d" / "callouts").mkdir(parents=True)
    definitions, broken = read(tmp_path)
    assert [(definition.parent, definition.uuid) for definition in definitions] == [
        ("gone", UUID),
        ("mtty", UUID),
        ("mtty", OTHER),
    ]
    assert broken.pop("mtty/77777777-2222-3333-4444-555555555555").startswith("not JSON")
    assert broken == {
        "mtty/README": "not named by a UUID",
        "mtty/88888888-2222-3333-4444-555555555555": "not UTF-8",
        "mtty/99999999-0000-3333-4444-555555555555": "EISDIR (Is a directory)",
        "stray": "not a folder of a parent",
    }


@pytest.mark.parametrize("dies_in", ["fsync", "rename"])
def test_a_power_cut_leaves_the_old_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str) -> None:
    files = DefinitionFiles(str(tmp_path), MDEV)
    files.write(STORED)

    def power_cut(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, dies_in, power_cut)
    with pytest.raises(KeyboardInterrupt):
        files.write(define(UUID, "mtty", "mtty-2"))
    monkeypatch.undo()
    assert read(tmp_path) == ((STORED,), {})


def test_a_failed_write_leaves_nothing_behind_and_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = DefinitionFiles(str(tmp_path), MDEV)
    files.write(STORED)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"writing definition .* failed: ENOSPC"):
        files.write(define(UUID, "mtty", "mtty-2"))
    monkeypatch.undo()
    assert read(tmp_path) == ((STORED,), {})
    assert [path.name for path in (tmp_path / "mtty").iterdir()] == [UUID]


def test_removing_twice_is_no_error(tmp_path: Path) -> None:
    files = DefinitionFiles(str(tmp_path), MDEV)
    files.write(STORED)
    files.remove(STORED)
    files.remove(STORED)
    assert read(tmp_path) == ((), {})
