# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definition files: their format, and reading and writing them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from builders import OTHER, UUID, define
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.framework import MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.registry import sweep
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._host import atomic_files
from ansible_collections.vfio.mdev.plugins.module_utils._host.definitions import DefinitionFiles
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._host.reader import Reader
from ansible_collections.vfio.mdev.plugins.module_utils._model.definition_text import (
    BrokenDefinitionError,
    definition_text,
    parse_definition,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import FileError
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Attribute, Definition
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import is_attribute_name

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


@pytest.mark.parametrize("attrs", ['"attrs": [], ', '"attrs": null, ', ""])
def test_attributes_may_be_missing(attrs: str) -> None:
    assert parse_definition("{" + attrs + '"mdev_type": "a", "start": "auto"}', "mtty", UUID, MDEV).attributes == ()


def test_unknown_fields_survive() -> None:
    text = '{\n  "mdev_type": "a",\n  "start": "auto",\n  "attrs": [],\n  "x": {\n    "b": [\n      1\n    ]\n  }\n}'
    assert definition_text(parse_definition(text, "mtty", UUID, MDEV)) == text


@pytest.mark.parametrize("start", ['"manual"', '"yes"', '"later"', "true", "[]"])
def test_all_but_auto_is_manual(start: str) -> None:
    assert not parse_definition(f'{{"mdev_type": "a", "start": {start}}}', "mtty", UUID, MDEV).autostart


NAMES = st.text(min_size=1).filter(is_attribute_name)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
ATTRIBUTES = st.lists(st.builds(Attribute, NAMES, VALUES), max_size=4).map(tuple)


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
        ("[" * 60_000, "nested too deeply"),
        ('{"mdev_type": "a", "start": "auto", "x": ' + "[" * 127 + "]" * 127 + "}", "nested too deeply"),
        ('{"mdev_type": "a", "start": "auto", "x": NaN}', "NaN is not a number"),
        ('{"mdev_type": "a", "start": "auto", "x": -Infinity}', "-Infinity is not a number"),
        ('{"mdev_type": "a", "start": "auto", "x": 1e999}', "1e999 is out of range"),
        ('{"mdev_type": "a", "start": "auto", "x": ' + "1" * 5000 + "}", "5000 digits is out of range"),
        ('{"mdev_type": "a\\ud800", "start": "auto"}', "half of a character"),
        ("{}", "mdev_type is missing"),
        ('{"mdev_type": 7}', "mdev_type is missing or not a string"),
        ('{"mdev_type": "a"}', "start is missing"),
        ('{"mdev_type": "a", "start": null}', "start is missing"),
        ('{"mdev_type": "a", "start": "auto", "attrs": ""}', "attrs is not a list"),
        ('{"mdev_type": "a", "start": "auto", "attrs": {}}', "attrs is not a list"),
        ('{"mdev_type": "a", "start": "auto", "attrs": {"x": "1"}}', "attrs is not a list"),
        ('{"mdev_type": "a", "start": "auto", "attrs": ["x"]}', 'attrs contains "x"'),
        ('{"mdev_type": "a", "start": "auto", "attrs": [{"x": "1", "y": "2"}]}', "one name and a string value"),
        ('{"mdev_type": "a", "start": "auto", "attrs": [{"x": 1}]}', "one name and a string value"),
    ],
)
def test_broken_definitions_block_mdevctl(text: str, message: str) -> None:
    with pytest.raises(BrokenDefinitionError, match=message) as caught:
        parse_definition(text, "mtty", UUID, MDEV)
    assert caught.value.blocks_mdevctl


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"mdev_type": "", "start": "auto"}', "mdev_type is empty"),
        ('{"mdev_type": "a", "start": "auto", "attrs": [{"remove": "1"}]}', "which does not configure a device"),
        ('{"mdev_type": "a", "start": "auto", "attrs": [{"../x": "1"}]}', "which does not configure a device"),
        ('{"mdev_type": "a", "start": "auto", "attrs": [{"a\\u0000": "1"}]}', "which does not configure a device"),
        ('{"mdev_type": "a", "start": "auto", "attrs": [{"a": "1\\u0000"}]}', "which does not configure a device"),
    ],
)
def test_definitions_that_only_mdevctl_accepts(text: str, message: str) -> None:
    with pytest.raises(BrokenDefinitionError, match=message) as caught:
        parse_definition(text, "mtty", UUID, MDEV)
    assert not caught.value.blocks_mdevctl


def test_a_definition_as_deep_as_mdevctl_reads() -> None:
    text = '{"mdev_type": "a", "start": "auto", "x": ' + "[" * 126 + "]" * 126 + ', "y": "[[{"}'
    assert len(parse_definition(text, "mtty", UUID, MDEV).other) == 2


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
    for neighbour in ("README", f"{UUID}.bak", f"{UUID}~", f"{UUID}.dpkg-old"):
        (tmp_path / "mtty" / neighbour).write_text("hello")
    (tmp_path / "mtty" / "old").mkdir()
    os.mkfifo(tmp_path / "mtty" / "66666666-2222-3333-4444-555555555555")
    (tmp_path / "mtty" / "55555555-2222-3333-4444-555555555555").write_bytes(b"{" * (1 << 20) + b"}")
    (tmp_path / "mtty" / "44444444-2222-3333-4444-555555555555").symlink_to("/dev/zero")
    (tmp_path / "mtty" / "33333333-2222-3333-4444-555555555555").symlink_to("nowhere")
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
        "mtty/33333333-2222-3333-4444-555555555555": "ENOENT (No such file or directory)",
        "mtty/44444444-2222-3333-4444-555555555555": "not a regular file",
        "mtty/55555555-2222-3333-4444-555555555555": "larger than 1048576 bytes",
        "mtty/66666666-2222-3333-4444-555555555555": "not a regular file",
        "mtty/88888888-2222-3333-4444-555555555555": "not UTF-8",
        "mtty/99999999-0000-3333-4444-555555555555": "not a regular file",
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


def test_only_files_that_mdevctl_reads_block_it(tmp_path: Path) -> None:
    texts = {UUID: "{", OTHER: '{"mdev_type": "", "start": "auto"}'}
    for name, text in texts.items():
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_text(text)
    for framework, blocking in ((MDEV, {UUID: True, OTHER: False}), (VENDOR_VFIO, {UUID: False, OTHER: False})):
        _definitions, broken = DefinitionFiles(str(tmp_path), framework).read(Reader())
        assert {file.key: file.blocks_mdevctl for file in broken} == blocking


LETTERS = "abcdabcd-2222-3333-4444-55555555abcd"


def test_a_file_in_capital_letters_keeps_its_name(tmp_path: Path) -> None:
    files = DefinitionFiles(str(tmp_path), MDEV)
    capitals = tmp_path / "mtty" / LETTERS.upper()
    capitals.parent.mkdir()
    capitals.write_text(definition_text(STORED))
    (definition,) = files.read(Reader())[0]
    assert (definition.uuid, definition.file_name) == (LETTERS, LETTERS.upper())
    changed = define(LETTERS, "mtty", "mtty-2")
    files.write(changed)
    assert [path.name for path in capitals.parent.iterdir()] == [LETTERS.upper()]
    assert files.read(Reader())[0] == (changed,)
    files.remove(definition)
    assert read(tmp_path) == ((), {})
    files.write(definition)
    assert [path.name for path in capitals.parent.iterdir()] == [LETTERS.upper()]


def test_a_uuid_in_both_letters_is_two_files(tmp_path: Path) -> None:
    files = DefinitionFiles(str(tmp_path), MDEV)
    (tmp_path / "mtty").mkdir()
    for name in (LETTERS, LETTERS.upper()):
        (tmp_path / "mtty" / name).write_text(definition_text(STORED))
    definitions, _broken = files.read(Reader())
    assert len(definitions) == 2
    for definition in definitions:
        files.remove(definition)
    assert list((tmp_path / "mtty").iterdir()) == []


@pytest.mark.parametrize("unsafe", ["", "mtty", f"mtty/{UUID}"])
@pytest.mark.parametrize("problem", ["all", "group", "owner"])
def test_what_others_can_change_is_not_read(tmp_path: Path, unsafe: str, problem: str) -> None:
    folder = tmp_path / "mdevctl.d"
    files = DefinitionFiles(str(folder), MDEV)
    files.write(STORED)
    files.write(define(OTHER, "mbochs", "t-1"))
    path = folder / unsafe
    text = {"all": "all users can write to it", "group": "group 65534 can write", "owner": "belongs to user 65534"}
    if problem == "owner":
        os.chown(path, 65534, -1)
    else:
        os.chown(path, -1, 65534)
        os.chmod(path, path.stat().st_mode | (0o002 if problem == "all" else 0o020))
    definitions, broken = read(folder)
    assert f"mtty/{UUID}" in broken
    assert all(f"{path} is not safe" in reason and text[problem] in reason for reason in broken.values())
    assert [definition.parent for definition in definitions] == (["mbochs"] if unsafe else [])
    if unsafe in ("", "mtty"):
        for refused in (files.write, files.remove):
            with pytest.raises(FileError, match=f"{path} is not safe"):
                refused(STORED)


def test_write_permission_for_the_group_root_is_safe(tmp_path: Path) -> None:
    folder = tmp_path / "mdevctl.d"
    DefinitionFiles(str(folder), MDEV).write(STORED)
    for path, mode in ((folder, 0o775), (folder / "mtty", 0o775), (folder / "mtty" / UUID, 0o664)):
        os.chown(path, -1, 0)
        path.chmod(mode)
    assert read(folder) == ((STORED,), {})


def test_a_folder_below_one_that_others_can_change_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "open" / "mdevctl.d"
    DefinitionFiles(str(folder), MDEV).write(STORED)
    folder.parent.chmod(0o777)
    assert list(read(folder)[1]) == [f"mtty/{UUID}"]
    folder.parent.chmod(0o1777)
    assert read(folder) == ((STORED,), {})


def test_a_link_of_another_user_is_not_followed(tmp_path: Path) -> None:
    DefinitionFiles(str(tmp_path / "own"), MDEV).write(STORED)
    folder = tmp_path / "link"
    folder.symlink_to("own")
    assert read(folder) == ((STORED,), {})
    os.chown(folder, 65534, -1, follow_symlinks=False)
    assert "belongs to user 65534" in read(folder)[1][f"mtty/{UUID}"]
    with pytest.raises(FileError, match="belongs to user 65534"):
        DefinitionFiles(str(folder), MDEV).write(define(OTHER, "mtty", "mtty-2"))


def test_a_change_whose_folder_cannot_be_synced_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = DefinitionFiles(str(tmp_path), MDEV)
    files.write(STORED)
    new, changed = define(OTHER, "mtty", "mtty-2"), define(UUID, "mtty", "mtty-2")
    monkeypatch.setattr(atomic_files, "sync_folder", no_sync)
    for act, definition in ((files.write, new), (files.write, changed), (files.remove, STORED)):
        with pytest.raises(FileError, match=r"EIO .*\. This step changed nothing") as caught:
            act(definition)
        assert caught.value.rolled_back is None
        assert read(tmp_path) == ((STORED,), {})
    assert [path.name for path in (tmp_path / "mtty").iterdir()] == [UUID]


def test_a_change_that_cannot_be_undone_is_reported_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = DefinitionFiles(str(tmp_path), MDEV)
    files.write(STORED)
    monkeypatch.setattr(atomic_files, "sync_folder", no_sync)
    monkeypatch.setattr(atomic_files, "_restore", cannot_restore)
    for act, state in ((files.write, "written"), (files.remove, "removed")):
        with pytest.raises(FileError, match=f"It was {state}, but its folder could not be synced") as caught:
            act(define(UUID, "mtty", "mtty-2"))
        assert caught.value.rolled_back is False


def test_a_definition_that_cannot_be_looked_at_is_not_taken_for_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other users can change the folder of the definition. A check that can't look must not pass."""
    files = DefinitionFiles(str(tmp_path), MDEV)
    files.write(STORED)
    (tmp_path / "mtty").chmod(0o777)
    lstat = os.lstat

    def broken(path: str, **named: Any) -> os.stat_result:
        if str(path).endswith(UUID):
            raise OSError(errno.EIO, "Input/output error")
        return lstat(path, **named)

    monkeypatch.setattr(os, "lstat", broken)
    with pytest.raises(FileError, match="all users can write to it"):
        files.remove(STORED)
    assert (tmp_path / "mtty" / UUID).is_file()


def no_sync(_folder: str) -> None:
    raise OSError(errno.EIO, "Input/output error")


def cannot_restore(_path: str, _old: object, error: OSError) -> None:
    raise atomic_files.NotDurableError(error.errno, error.strerror)


def test_the_sweep_removes_only_temporary_files_of_definitions(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    host = Host(str(tmp_path / "sys"), str(tmp_path / "etc/mdevctl.d"))
    left = [
        tmp_path / folder / "a" / f".{UUID}.new"
        for folder in ("etc/mdevctl.d", "etc/vfio-mdev.d", "run/vfio-mdev/vgpus")
    ]
    others = tmp_path / "etc/mdevctl.d/a/.vimrc.new", tmp_path / "etc/mdevctl.d/scripts.d" / f".{UUID}.new"
    for path in (*left, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    sweep(host)
    assert [path.exists() for path in (*left, *others)] == [False] * 3 + [True] * 2
