# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that starts devices at boot: one bad thing stops only itself."""

from __future__ import annotations

import argparse
import io
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._boot import start_devices
from ansible_collections.vfio.mdev.plugins.module_utils._boot.completion import Completed
from ansible_collections.vfio.mdev.plugins.module_utils._boot.journal import exit_code, say, seconds
from ansible_collections.vfio.mdev.plugins.module_utils._boot.start_devices import start_definitions
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.backends import Backends
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.framework import MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._host.lock import host_lock
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import KernelRefused
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Attribute,
    BrokenDefinition,
    Definition,
    Device,
    Inventory,
    Parent,
    Type,
    Unread,
)

LIMITER = (Attribute("limiter", "0"),)


def parent(address: str) -> Parent:
    return Parent(address, "pci", f"pci_{address}", f"/sys/{address}", MDEV, types=(Type("t-1"),))


def definition(number: int, address: str, attributes: tuple[Attribute, ...] = ()) -> Definition:
    uuid = f"00000000-0000-4000-8000-{number:012d}"
    return Definition(uuid, address, "t-1", MDEV, autostart=True, attributes=attributes)


@dataclass
class FakeHost:
    """A host and its backend in memory. on_create: called with the address and UUID of each creation."""

    host: Host
    definitions: tuple[Definition, ...] = ()
    parents: tuple[Parent, ...] = ()
    broken: tuple[BrokenDefinition, ...] = ()
    unread: tuple[Unread, ...] = ()
    on_create: Callable[[str, str], None] = lambda _address, _uuid: None
    devices: list[Device] = field(default_factory=list)
    tries: list[str] = field(default_factory=list)
    reads: int = 0

    def read(self, _host: Host, users: bool = True) -> Inventory:
        self.reads += 1
        return Inventory(self.parents, tuple(self.devices), self.definitions, self.broken, self.unread)

    def create(self, parent: Parent, type_id: str, key: str, _attributes: tuple[Attribute, ...]) -> None:
        self.tries.append(key)
        self.on_create(parent.address, key)
        self.devices.append(Device(key, parent.address, f"{parent.path}/{key}", "", "", MDEV, type_id=type_id))

    def start(self, wait_timeout: float = 0.0) -> list[str]:
        return start_definitions(self.host, Backends({"mdev": cast(Any, self)}), wait_timeout)

    @property
    def marks(self) -> list[str]:
        folder = Path(self.host.root, "run/vfio-mdev/starting")
        return sorted(os.listdir(folder)) if folder.exists() else []


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    (tmp_path / "sys").mkdir()
    host = FakeHost(Host(str(tmp_path / "sys")))
    monkeypatch.setattr(start_devices, "read_inventory", host.read)
    monkeypatch.setattr(start_devices, "_POLL_SECONDS", 0.01)
    return host


def test_any_exception_stops_only_its_device(fake: FakeHost) -> None:
    first, second = definition(1, "a"), definition(2, "a")

    def create(_address: str, uuid: str) -> None:
        if uuid == first.key:
            raise ValueError("embedded null byte")

    fake.definitions, fake.parents, fake.on_create = (first, second), (parent("a"),), create
    (message,) = fake.start()
    assert message.startswith(f"device {first.key} on a of type t-1: ")
    assert "embedded null byte" in message
    assert [device.key for device in fake.devices] == [second.key]


def test_a_creation_that_hangs_leaves_other_cards_and_the_lock_alone(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other devices of the card are not tried, since each would take as long. The lock is free in between."""
    monkeypatch.setattr(start_devices, "_HANG_SECONDS", 0.05)
    hanging, behind, *others = definition(1, "a"), definition(2, "a"), definition(3, "b"), definition(4, "c")

    def create(address: str, uuid: str) -> None:
        if address == "a":
            time.sleep(0.06)
            raise KernelRefused(f"creating {uuid}: the kernel did not answer in 30 s", errno=None)

    pause, free = time.sleep, []

    def sleep(duration: float) -> None:
        if duration == start_devices._POLL_SECONDS:
            with host_lock(fake.host, 0.0):
                free.append(True)
        pause(duration)

    monkeypatch.setattr(time, "sleep", sleep)
    fake.definitions = (hanging, behind, *others)
    fake.parents, fake.on_create = (parent("a"), parent("b"), parent("c")), create
    messages = fake.start()
    assert [device.key for device in fake.devices] == [other.key for other in others]
    assert fake.tries.count(hanging.key) == 1
    assert behind.key not in fake.tries
    assert "the kernel did not answer in 30 s" in messages[0]
    assert f"not tried, because the creation of {hanging.label} has not returned" in messages[1]
    assert free


def test_after_a_creation_that_was_only_slow_its_card_goes_on(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_devices, "_HANG_SECONDS", 0.02)
    slow, behind = definition(1, "a"), definition(2, "a")

    def create(_address: str, uuid: str) -> None:
        if uuid == slow.key:
            time.sleep(0.03)
            fake.devices.append(Device(uuid, "a", f"/sys/a/{uuid}", "", "", MDEV, type_id="t-1"))
            raise KernelRefused("the kernel did not answer", errno=None)

    fake.definitions, fake.parents, fake.on_create = (slow, behind), (parent("a"),), create
    assert fake.start(wait_timeout=5.0) == []
    assert {device.key for device in fake.devices} == {slow.key, behind.key}


def test_a_completion_that_hangs_is_not_repeated(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_devices, "_HANG_SECONDS", 0.02)
    completed: list[str] = []

    class Hanging:
        def __init__(self, _host: Host, _backend: object, definition: Definition, _device: Device) -> None:
            self.key = definition.key

        def complete(self, _unfinished: bool) -> Completed:
            completed.append(self.key)
            if self.key == hanging.key:
                time.sleep(0.03)
                raise KernelRefused("the kernel did not answer", errno=None)
            return Completed()

    hanging, other = definition(1, "a", LIMITER), definition(2, "a", LIMITER)
    monkeypatch.setattr(start_devices, "Completion", Hanging)
    fake.definitions, fake.parents = (hanging, other), (parent("a"),)
    for stored in fake.definitions:
        fake.devices.append(Device(stored.key, "a", f"/sys/a/{stored.key}", "", "", MDEV, type_id="t-1"))
    (message,) = fake.start(wait_timeout=0.1)
    assert message.startswith(f"{hanging.label} of type t-1: the kernel did not answer")
    assert completed == [hanging.key, other.key]


def test_a_device_with_attributes_is_marked_while_it_is_started(fake: FakeHost) -> None:
    plain, limited = definition(1, "a"), definition(2, "a", LIMITER)
    marked: list[list[str]] = []
    fake.definitions, fake.parents = (plain, limited), (parent("a"),)
    fake.on_create = lambda _address, _uuid: marked.append(fake.marks)
    assert fake.start() == []
    assert marked == [[], [limited.key]]
    assert fake.marks == []


def test_a_device_that_could_not_be_created_is_not_marked(fake: FakeHost) -> None:
    def refuse(_address: str, _uuid: str) -> None:
        raise KernelRefused("no room", errno=28)

    fake.definitions, fake.parents, fake.on_create = (definition(1, "a", LIMITER),), (parent("a"),), refuse
    assert len(fake.start()) == 1
    assert fake.marks == []


def test_a_mark_that_cannot_be_written_does_not_keep_a_device_from_starting(
    fake: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(fake.host.root, "run/vfio-mdev")
    folder.mkdir(parents=True)
    (folder / "starting").write_text("not a folder")
    fake.definitions, fake.parents = (definition(1, "a", LIMITER),), (parent("a"),)
    assert fake.start() == []
    assert "can't be written" in capsys.readouterr().out


def test_only_what_could_hide_a_definition_is_a_failure(fake: FakeHost) -> None:
    root, uuid = fake.host.root, definition(1, "a").key
    definitions = f"{root}/etc/mdevctl.d"
    fake.host = Host(fake.host.sys, definitions)
    os.makedirs(f"{definitions}/unreadable")
    paths = (f"{definitions}/a/{uuid}", f"{definitions}/a/{uuid}.bak", f"{definitions}/README")
    fake.broken = tuple(BrokenDefinition(path, "broken") for path in (*paths, f"{root}/run/vfio-mdev/vgpus/a/{uuid}"))
    unread = (f"{definitions}/unreadable", f"{definitions}/file", f"{root}/sys", f"{root}/proc/1/fd")
    fake.unread = tuple(Unread(path, "EIO") for path in unread)
    assert fake.start() == [f"{definitions}/a/{uuid}: broken", f"{definitions}/unreadable: EIO"]


def test_a_signal_ends_the_wait_and_is_reported(fake: FakeHost) -> None:
    waiting, started = definition(1, "a"), definition(2, "b")
    fake.definitions, fake.parents = (waiting, started), (parent("b"),)
    fake.on_create = lambda _address, _uuid: os.kill(os.getpid(), signal.SIGTERM)
    (message,) = fake.start(wait_timeout=20.0)
    assert message.endswith("its parent did not appear, interrupted by signal SIGTERM")
    assert [device.key for device in fake.devices] == [started.key]


def test_a_lock_that_is_taken_is_reported_for_each_device(fake: FakeHost) -> None:
    fake.definitions, fake.parents = (definition(1, "a"), definition(2, "a")), (parent("a"),)
    with host_lock(fake.host, 0.0):
        messages = fake.start()
    assert len(messages) == 2
    assert all("waited 1 s for the lock" in message for message in messages)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "-inf", "soon", ""])
def test_times_are_finite(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a number of seconds"):
        seconds(text)
    assert seconds("0.5") == 0.5


def test_any_text_is_one_line_in_any_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for encoding in ("ascii", "utf-8"))
    monkeypatch.setattr("sys.stdout", output)
    monkeypatch.setattr("sys.stderr", errors)
    say("type ä\ud800\nx")
    assert exit_code(["type ä\ud800\nx"]) == 1
    assert cast(io.BytesIO, output.buffer).getvalue() == b"type \\xe4\\ud800 x\n"
    assert cast(io.BytesIO, errors.buffer).getvalue() == "FAILED type ä\\ud800 x\n".encode()
