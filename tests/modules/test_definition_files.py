# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mdev_device and mdev_set on hosts whose definition files were written by others."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from drivers.kit.stand_in_host import MakeHost
from drivers.samples import mtty

from ansible_collections.vfio.mdev.plugins.module_utils._host import atomic_files

UUID = "abcdabcd-2222-3333-4444-55555555abcd"
OTHER = "22222222-2222-3333-4444-555555555555"
NIL = "00000000-0000-0000-0000-000000000000"
GOOD = '{"mdev_type": "mtty-1", "start": "auto", "attrs": []}'


def write(tmp_path: Path, name: str, text: str, parent: str = "mtty") -> Path:
    path = tmp_path / "definitions" / parent / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", [UUID, UUID.upper()])
def test_a_broken_definition_is_no_absent_device(make_host: MakeHost, tmp_path: Path, name: str) -> None:
    host = make_host(mtty())
    path = write(tmp_path, name, "{")
    for state in ("absent", "present"):
        refused = host.device(uuid=UUID, type="mtty-1", state=state)
        assert refused["failed"]
        assert refused["error"]["kind"] == "file_error"
        assert f"{path} should define device {UUID}, but is not a valid definition: not JSON" in refused["msg"]
    assert path.read_text() == "{"
    assert host.files.devices() == {}
    assert host.device(uuid=OTHER, type="mtty-1", persistent=False)["changed"]


def test_a_pipe_instead_of_a_definition_stops_nothing_else(make_host: MakeHost, tmp_path: Path) -> None:
    host = make_host(mtty())
    (tmp_path / "definitions/mtty").mkdir()
    os.mkfifo(tmp_path / "definitions/mtty" / UUID)
    assert host.device(uuid=OTHER, type="mtty-1", autostart=False)["changed"]
    assert "not a regular file" in host.device(uuid=UUID, state="absent")["msg"]


def test_a_definition_in_capital_letters_is_removed(make_host: MakeHost, tmp_path: Path) -> None:
    host = make_host(mtty())
    path = write(tmp_path, UUID.upper(), GOOD)
    assert host.device(uuid=UUID, state="absent")["changed"]
    assert not path.exists()
    assert not host.device(uuid=UUID, state="absent")["changed"]


def test_definitions_under_two_parents_are_both_removed(make_host: MakeHost, tmp_path: Path) -> None:
    host = make_host(mtty())
    paths = [write(tmp_path, UUID, GOOD, parent) for parent in ("mtty", "gone")]
    assert host.device(uuid=UUID, state="absent")["changed"]
    assert [path.exists() for path in paths] == [False, False]


def test_a_device_with_the_nil_uuid_can_be_removed(make_host: MakeHost) -> None:
    host = make_host(mtty())
    types = host.files.sys / "class/mdev_bus/mtty/mdev_supported_types"
    (types / "mtty-1/create").write_text(NIL)
    assert list(host.files.devices()) == [NIL]
    assert host.device(uuid=NIL, state="absent")["changed"]
    assert host.files.devices() == {}
    refused = host.device(uuid=NIL, type="mtty-1")
    assert "nil UUID can't identify a new device" in refused["msg"]
    assert host.files.devices() == {}


def test_a_definition_that_is_not_durable_is_rolled_back(
    make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host(mtty())
    sync = atomic_files.sync_folder

    def no_sync(folder: str) -> None:
        if folder.startswith(str(tmp_path / "definitions")):
            raise OSError(errno.EIO, "Input/output error")
        sync(folder)

    monkeypatch.setattr(atomic_files, "sync_folder", no_sync)
    refused = host.device(uuid=UUID, type="mtty-1", persistent=True, autostart=False)
    assert "EIO" in refused["msg"]
    assert refused["error"]["rolled_back"]
    assert host.files.devices() == {}
    assert list((tmp_path / "definitions").iterdir()) == []


def test_a_definition_that_cannot_be_restored_is_not_said_to_be_as_before(
    make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recreation removes the definition, and from then on no file can be written."""
    host = make_host(mtty())
    device = {"uuid": UUID, "parent": "mtty", "persistent": True, "autostart": False}
    host.device(type="mtty-1", **device)
    path = tmp_path / "definitions/mtty" / UUID
    rename = os.rename

    def no_rename(source: str, *arguments: Any, **named: Any) -> None:
        if source.startswith(str(tmp_path / "definitions")):
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        rename(source, *arguments, **named)

    monkeypatch.setattr(os, "rename", no_rename)
    refused = host.device(type="mtty-2", recreate=True, **device)
    assert not path.exists()
    assert "as it was before" not in refused["msg"]
    assert f"NOT rolled back: restoring the definition of device {UUID} on mtty failed" in refused["msg"]
    assert refused["error"]["rolled_back"] is False


def test_definitions_that_others_can_write_are_refused(make_host: MakeHost, tmp_path: Path) -> None:
    host = make_host(mtty())
    (tmp_path / "definitions").chmod(0o777)
    refused = host.device(uuid=UUID, type="mtty-1", persistent=True, autostart=False)
    assert "is not safe, because all users can write to it" in refused["msg"]
    assert host.files.devices() == {}


@pytest.mark.parametrize("purge", ["owned", "all"])
def test_a_purge_reports_an_own_definition_that_is_broken(make_host: MakeHost, tmp_path: Path, purge: str) -> None:
    host = make_host(mtty())
    made = host.set(devices=[{"type": "mtty-1", "name": "a"}], persistent=True, autostart=False)
    path = tmp_path / "definitions/mtty" / made["devices"][0]["uuid"]
    path.write_text("{")
    foreign = write(tmp_path, UUID, "{")
    refused = host.set(devices=[], purge=purge)
    assert f"{path} should define device" in refused["msg"]
    path.unlink()
    assert host.set(devices=[], purge=purge)["changed"]
    assert foreign.exists()


@pytest.mark.parametrize("hidden", ["", "gone"])
def test_a_folder_of_definitions_that_cannot_be_read_is_not_empty(
    make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    host = make_host(mtty())
    path = write(tmp_path, UUID, GOOD, "gone")
    folder, listdir = str(path.parent if hidden else path.parent.parent), os.listdir

    def broken(name: str) -> list[str]:
        if name == folder:
            raise OSError(errno.EIO, "Input/output error")
        return listdir(name)

    monkeypatch.setattr(os, "listdir", broken)
    for refused in (host.set(devices=[], purge="owned"), host.device(uuid=UUID, state="absent")):
        assert f"folder {folder} can't be read: EIO" in refused["msg"]
    assert {"path": folder, "error": "EIO (Input/output error)"} in host.info()["unread"]
    monkeypatch.undo()
    assert host.device(uuid=UUID, state="absent")["changed"]
    assert not path.exists()


@pytest.mark.parametrize("hidden", ["class/mdev_bus", "devices/virtual/mtty/mtty"])
def test_a_parent_that_cannot_be_read_is_not_without_devices(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    host = make_host(mtty())
    host.device(uuid=UUID, type="mtty-1", persistent=False)
    folder, listdir = os.path.realpath(host.files.sys / hidden), os.listdir

    def broken(name: str) -> list[str]:
        if os.path.realpath(name) == folder:
            raise OSError(errno.EIO, "Input/output error")
        return listdir(name)

    monkeypatch.setattr(os, "listdir", broken)
    for refused in (host.set(devices=[], purge="all"), host.device(uuid=UUID, state="absent")):
        assert "can't be read: EIO" in refused["msg"]
    assert host.info()["devices"] == []
    monkeypatch.undo()
    assert host.device(uuid=UUID, state="absent")["changed"]
    assert host.files.devices() == {}
