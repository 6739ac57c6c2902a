# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mdevctl and libvirt that hang or can't be run, and definitions that they would not find."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import define, parent

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.device_files import DeviceFiles
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev import libvirt as libvirt_file
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev import mdevctl as mdevctl_file
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.framework import MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.libvirt import libvirt_backend
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.mdevctl import MdevctlBackend
from ansible_collections.vfio.mdev.plugins.module_utils._host.definitions import DefinitionFiles
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._host.reader import Reader
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import BackendFailed, FileError
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Definition

UUID = "abcdefab-2222-3333-4444-555555555555"


@pytest.fixture
def device_files(tmp_path: Path) -> DeviceFiles:
    return DeviceFiles(Host(str(tmp_path), str(tmp_path)))


def mdevctl(device_files: DeviceFiles, folder: Path, script: str | None) -> MdevctlBackend:
    tool = folder / "mdevctl"
    if script is not None:
        tool.write_text(script)
        tool.chmod(0o755)
    return MdevctlBackend(device_files, DefinitionFiles(str(folder), MDEV), str(tool))


def test_mdevctl_reads_the_definition_from_its_input(device_files: DeviceFiles, tmp_path: Path) -> None:
    """A full /tmp is no problem."""
    backend = mdevctl(
        device_files, tmp_path, f'#!/bin/sh\necho "$@" > {tmp_path}/argv\ncat /dev/stdin > {tmp_path}/input\n'
    )
    backend.define(define(UUID, "mtty", "mtty-1"), None)
    assert (tmp_path / "argv").read_text() == f"define -u {UUID} -p mtty --jsonfile /dev/stdin\n"
    assert '"mdev_type": "mtty-1"' in (tmp_path / "input").read_text()


@pytest.mark.parametrize(
    ("script", "words"), [(None, "ENOENT (No such file or directory)"), ("no program", "ENOEXEC (Exec format error)")]
)
def test_mdevctl_that_cannot_be_run(device_files: DeviceFiles, tmp_path: Path, script: str | None, words: str) -> None:
    with pytest.raises(BackendFailed, match="can't be run") as caught:
        mdevctl(device_files, tmp_path, script).undefine(define(UUID, "mtty", "mtty-1"))
    assert f"{tmp_path}/mdevctl can't be run: {words}. Nothing was changed" in caught.value.message


def test_mdevctl_that_hangs(device_files: DeviceFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mdevctl_file.MdevctlBackend._run, "__kwdefaults__", {"seconds": 0.2, "text": ""})
    backend = mdevctl(device_files, tmp_path, "#!/bin/sh\nsleep 20 & wait\n")
    with pytest.raises(BackendFailed, match="no answer in 0 s, and was killed with its children") as caught:
        backend.create(parent("mtty"), "mtty-1", UUID, ())
    assert (caught.value.exit_code, caught.value.rolled_back) == (None, False)


# As mdevctl does, it works on the name in lower case, whatever it listed.
BY_KEY = """#!/bin/sh
path=$(dirname "$0")/$5/$3
case $1 in
undefine) [ -f "$path" ] || { echo "Undefine failed"; exit 1; }; rm "$path" ;;
modify) cat /dev/stdin > "$path" ;;
esac
"""


@pytest.fixture
def in_capitals(tmp_path: Path) -> Definition:
    (tmp_path / "mtty").mkdir()
    (tmp_path / "mtty" / UUID.upper()).write_text('{"mdev_type": "mtty-1", "start": "auto", "attrs": []}')
    [stored] = DefinitionFiles(str(tmp_path), MDEV).read(Reader())[0]
    assert stored.file_name == UUID.upper()
    return stored


def test_mdevctl_finds_a_definition_in_capitals(
    device_files: DeviceFiles, tmp_path: Path, in_capitals: Definition
) -> None:
    backend = mdevctl(device_files, tmp_path, BY_KEY)
    backend.define(replace(in_capitals, type_id="mtty-2"), in_capitals)
    assert [path.name for path in (tmp_path / "mtty").iterdir()] == [UUID]
    backend.undefine(in_capitals)
    assert list((tmp_path / "mtty").iterdir()) == []


def test_libvirt_finds_a_definition_in_capitals(
    device_files: DeviceFiles, tmp_path: Path, in_capitals: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mtty" / UUID
    nodedev = SimpleNamespace(undefine=path.unlink)
    library(monkeypatch, lambda _uri: SimpleNamespace(nodeDeviceLookupByName=lambda _name: nodedev))
    backend = libvirt_backend(device_files, DefinitionFiles(str(tmp_path), MDEV), "test:")
    backend.undefine(in_capitals)
    assert list((tmp_path / "mtty").iterdir()) == []


def test_two_files_of_one_definition_are_not_merged(
    device_files: DeviceFiles, tmp_path: Path, in_capitals: Definition
) -> None:
    (tmp_path / "mtty" / UUID).write_text("{}")
    with pytest.raises(FileError, match=r"renaming definition .* EEXIST .* This step changed nothing"):
        mdevctl(device_files, tmp_path, BY_KEY).undefine(in_capitals)
    assert len(list((tmp_path / "mtty").iterdir())) == 2


class LibvirtError(Exception):
    """libvirt.libvirtError"""

    def __init__(self, message: str = "no such daemon") -> None:
        super().__init__(message)
        self.message = message

    def get_error_message(self) -> str:
        return self.message


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Ends the calls that hang."""
    monkeypatch.setattr(libvirt_file, "_ANSWER_SECONDS", 0.1)
    event = threading.Event()
    yield event
    event.set()


def library(monkeypatch: pytest.MonkeyPatch, open_: Any) -> None:
    fake = SimpleNamespace(libvirtError=LibvirtError, registerErrorHandler=lambda _function, _context: None, open=open_)
    monkeypatch.setitem(__import__("sys").modules, "libvirt", fake)


def test_a_libvirt_that_does_not_answer(
    device_files: DeviceFiles, release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    library(monkeypatch, lambda _uri: release.wait(20))
    with pytest.raises(BackendFailed, match=r"connecting to libvirt at test: failed: no answer within 0\.1 s"):
        libvirt_backend(device_files, DefinitionFiles("", MDEV), "test:")


def test_a_libvirt_that_refuses(
    device_files: DeviceFiles, release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_uri: str) -> None:
        raise LibvirtError

    library(monkeypatch, refuse)
    with pytest.raises(BackendFailed, match="it answered 'no such daemon'"):
        libvirt_backend(device_files, DefinitionFiles("", MDEV), "test:")


def test_a_call_that_hangs_ends_all_others(
    device_files: DeviceFiles, release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = SimpleNamespace(
        nodeDeviceCreateXML=lambda _xml, _flags: release.wait(20), nodeDeviceLookupByName=lambda _name: None
    )
    library(monkeypatch, lambda _uri: connection)
    backend = libvirt_backend(device_files, DefinitionFiles("", MDEV), "test:")
    with pytest.raises(BackendFailed, match="NOT rolled back: libvirt may still do it") as caught:
        backend.create(parent("mtty"), "mtty-1", UUID, ())
    assert caught.value.rolled_back is False
    with pytest.raises(BackendFailed, match="it has not answered an earlier call"):
        backend.undefine(define(UUID, "mtty", "mtty-1"))


@pytest.mark.parametrize(
    ("answers", "fails"),
    [
        (["cannot set autostart for transient device"] * 2, False),
        (["cannot set autostart for transient device", "no space left"], True),
    ],
)
def test_libvirt_that_handles_older_events(
    device_files: DeviceFiles, monkeypatch: pytest.MonkeyPatch, answers: list[str], fails: bool
) -> None:
    """It defines a device, and then does not know the definition for a moment."""
    left, autostarts = list(answers), []

    def set_autostart(value: int) -> None:
        if left:
            raise LibvirtError(left.pop(0))
        autostarts.append(value)

    nodedev = SimpleNamespace(setAutostart=set_autostart)
    connection = SimpleNamespace(
        nodeDeviceDefineXML=lambda _xml, _flags: nodedev, nodeDeviceLookupByName=lambda _name: nodedev
    )
    library(monkeypatch, lambda _uri: connection)
    backend = libvirt_backend(device_files, DefinitionFiles("", MDEV), "test:")
    with pytest.raises(BackendFailed, match="no space left") if fails else nullcontext():
        backend.define(define(UUID, "mtty", "mtty-1"), None)
    assert (left, len(autostarts)) == ([], int(not fails))
