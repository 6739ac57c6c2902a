# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that starts devices at boot, on devices that a former start left without their attributes."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from drivers.hostile import Faulty
from drivers.kit.isolated_host import Boot, IsolatedHost
from drivers.kit.namespace import Namespace
from drivers.kit.nodes import Node, refuse
from drivers.nvidia import VgpuParent, t4
from drivers.vfio_ap import Adapters, Matrix

PARENT = "0000:3b:00.0"
TYPE = "nvidia-231"
UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"
LIMITER = "frame_rate_limiter=0"
PARAMETERS = f"sys/devices/*/{UUID}/nvidia/vgpu_params"

Start = Callable[[], dict[str, Any]]


@pytest.fixture
def start(namespaces: list[Namespace]) -> Start:
    """Runs the program again without a reboot, as systemctl restart does."""
    return lambda: namespaces[-1].start_defined(0.0)


def define(host: IsolatedHost, uuid: str = UUID, **more: Any) -> None:
    attributes = [{"name": "nvidia/vgpu_params", "value": LIMITER}]
    options = {"type": TYPE, "parent": PARENT, "attributes": attributes, **more}
    assert host.device(uuid=uuid, active=False, persistent=True, autostart=True, **options)["changed"]


def parameters(card: VgpuParent, uuid: str = UUID) -> str:
    return card._parameters[uuid].text


def test_a_device_without_its_limiter_gets_it(boot: Boot, start: Start) -> None:
    """What a kill between the creation and the attribute leaves, and what an operator's create leaves."""
    card = t4()
    host = boot(card)
    define(host)
    card.add(TYPE, UUID)
    result = start()
    assert (result["code"], parameters(card)) == (0, LIMITER)
    assert (
        f"device {UUID} on {PARENT} of type {TYPE}: already active, attribute 'nvidia/vgpu_params' was set"
        in (result["output"])
    )
    host.files.writes.clear()
    assert start()["output"].endswith(": already active\n")
    assert not [path for path, _text in host.files.writes if "vgpu_params" in path]


def test_a_device_in_use_is_left_as_it_is(boot: Boot, start: Start) -> None:
    """Its definition has been changed on purpose: the driver does not allow the change before the next start."""
    card = t4()
    host = boot(card)
    define(host)
    card.add(TYPE, UUID)
    host.files.kernel.changed()
    host.give_to_guest(UUID)
    result = start()
    assert (result["code"], parameters(card)) == (0, "")
    assert (
        "left as it is: attribute 'nvidia/vgpu_params' differs from the definition, but the device is in use by"
        in (result["output"])
    )


class HalfStarted:
    """A card whose parameters can't be read. While it is broken, parameters and removals fail."""

    def __init__(self) -> None:
        self.card = t4()
        self.broken = True
        faults = {PARAMETERS: self._parameters, f"sys/devices/*/{UUID}/remove": self._failing}
        self.driver = Faulty(faults, self.card)

    def _parameters(self, node: Node) -> Node:
        return replace(self._failing(node), read=None)

    def _failing(self, node: Node) -> Node:
        def write(text: str) -> None:
            if self.broken:
                refuse(errno.EIO)
            assert node.write is not None
            node.write(text)

        return replace(node, write=write)


def half_started(boot: Boot, start: Start) -> tuple[HalfStarted, IsolatedHost]:
    """A host with a device that is active without its attribute, and no way to see that."""
    half = HalfStarted()
    host = boot(half.driver)
    define(host)
    assert start()["code"] == 1
    assert host.files.devices() == {UUID: TYPE}
    half.broken = False
    return half, host


def test_a_half_started_device_is_created_again_if_its_attribute_cannot_be_read(boot: Boot, start: Start) -> None:
    half, host = half_started(boot, start)
    result = start()
    assert (result["code"], result["errors"], parameters(half.card)) == (0, "", LIMITER)
    assert result["output"].endswith(": started\n")
    host.files.writes.clear()
    assert start()["output"].endswith(": already active\n")
    assert host.files.writes == []


def test_a_half_started_device_is_completed_by_the_module_too(boot: Boot, start: Start) -> None:
    half, host = half_started(boot, start)
    attributes = [{"name": "nvidia/vgpu_params", "value": LIMITER}]
    device: dict[str, Any] = {"uuid": UUID, "type": TYPE, "attributes": attributes, "persistent": True}
    device["autostart"] = True
    planned = host.device(check=True, **device)
    assert [action["action"] for action in planned["actions"]] == ["remove", "create", "write_attribute"]
    assert parameters(half.card) == ""
    assert host.device(**device)["changed"]
    assert parameters(half.card) == LIMITER
    host.files.writes.clear()
    assert not host.device(**device)["changed"]
    assert start()["output"].endswith(": already active\n")
    assert host.files.writes == []


def test_a_device_that_a_failed_module_left_is_completed(boot: Boot) -> None:
    """The mark of the creation is there, and nothing reports whether the attribute was written."""
    half = HalfStarted()
    host = boot(half.driver)
    device = {"uuid": UUID, "type": TYPE, "attributes": [{"name": "nvidia/vgpu_params", "value": LIMITER}]}
    refused = host.device(**device)
    assert refused["error"]["rolled_back"] is False
    assert host.files.devices() == {UUID: TYPE}
    half.broken = False
    assert host.device(**device)["changed"]
    assert parameters(half.card) == LIMITER
    assert not host.device(**device)["changed"]


def test_a_half_started_device_in_use_is_a_failure(boot: Boot, start: Start) -> None:
    half, host = half_started(boot, start)
    host.give_to_guest(UUID)
    result = start()
    assert (result["code"], parameters(half.card)) == (1, "")
    assert (
        "attribute 'nvidia/vgpu_params' may not be set and can't be read, and the device is in use by"
        in (result["errors"])
    )
    assert "guest 'web'" in result["errors"]
    host.stop_guests()
    assert start()["code"] == 0
    assert parameters(half.card) == LIMITER


def test_queues_that_are_missing_are_assigned(boot: Boot, start: Start) -> None:
    card = Adapters()
    host = boot(card)
    attributes = [{"name": f"assign_{name}", "value": value} for name, value in (("adapter", "5"), ("domain", "4"))]
    define(host, type="vfio_ap-passthrough", parent="matrix", attributes=attributes)
    assert start()["code"] == 0
    card.matrixes[UUID].domains.clear()
    assert start()["code"] == 0
    assert card.matrixes[UUID] == Matrix({5}, {4}, set())


BAD = {
    "a null byte in a name": '{"mdev_type": "nvidia-231", "start": "auto", "attrs": [{"a\\u0000b": "0"}]}',
    "a surrogate in a value": '{"mdev_type": "nvidia-231", "start": "auto", "attrs": [{"a": "\\ud800"}]}',
    "a surrogate in the type": '{"mdev_type": "\\ud800", "start": "auto", "attrs": []}',
    "no JSON": "[" * 60_000,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_bad_definition_stops_only_itself(boot: Boot, start: Start, text: str) -> None:
    card = t4()
    host = boot(card)
    define(host, uuid=OTHER)
    host.definition(PARENT, UUID).write_text(text)
    result = start()
    assert result["code"] == 1
    assert result["errors"].startswith("FAILED ")
    assert result["errors"].count("\n") == 1
    assert UUID in result["errors"]
    assert host.files.devices() == {OTHER: TYPE}


def test_other_files_among_definitions_are_passed_over(boot: Boot, start: Start) -> None:
    host = boot(t4())
    define(host)
    folder = host.definition(PARENT, UUID).parent
    for name in (f"{UUID}.bak", f"{UUID}~", f"{UUID}.dpkg-old", "README"):
        (folder / name).write_text("{")
    (folder / "old").mkdir()
    (folder.parent / "README").write_text("managed by ops\n")
    result = start()
    assert (result["code"], result["errors"]) == (0, "")
    assert host.files.devices() == {UUID: TYPE}
