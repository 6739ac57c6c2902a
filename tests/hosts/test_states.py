# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Active, defined, autostart: every change of state with every backend, as the kernel, mdevctl and libvirt see it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import DEFINITIONS, Host

UUID = "5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10"
BACKENDS = ("sysfs", "mdevctl", "libvirt")


class State(NamedTuple):
    """The requested state of a device."""

    active: bool
    defined: bool
    autostart: bool

    def arguments(self) -> dict[str, object]:
        """The arguments of mdev_device for this state."""
        if not (self.active or self.defined):
            return {"uuid": UUID, "state": "absent"}
        options = {"active": self.active, "persistent": self.defined, "autostart": self.autostart}
        return {"uuid": UUID, "type": "mtty-1", "parent": "mtty", **options}


STATES = [State(*flags) for flags in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 1, 1), (1, 1, 0), (1, 1, 1))]


@pytest.fixture(autouse=True)
def boot_unit() -> Iterator[None]:
    """The link that role boot creates: autostart is refused on a host where nothing starts devices."""
    link = Path("/etc/systemd/system/multi-user.target.wants/vfio-mdev.service")
    link.symlink_to("/etc/systemd/system/vfio-mdev.service")
    yield
    link.unlink()


def reach(host: Host, backend: str, state: State) -> None:
    """Change the device to this state, and check it with all tools."""
    result = host.device(**state.arguments(), backend=backend)
    assert "msg" not in result, result["msg"]
    assert not host.device(**state.arguments(), backend=backend)["changed"]
    states = [
        (device["active"], device["defined"], device["autostart"]) for device in host.info(uuids=[UUID])["devices"]
    ]
    assert states == ([state] if any(state) else [])
    host.assert_tools_agree()


def closed_walk(states: list[State]) -> list[State]:
    """From the first state through all others and back, each ordered pair once (Hierholzer)."""
    left = {state: [other for other in states if other != state] for state in states}
    stack, walk = [states[0]], []
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            walk.append(stack.pop())
    return walk


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_change_of_state(host: Host, backend: str) -> None:
    walk = closed_walk(STATES)
    assert {*zip(walk, walk[1:])} == {*permutations(STATES, 2)}
    for state in walk[1:]:
        reach(host, backend, state)


@pytest.mark.parametrize("backend", BACKENDS)
def test_definitions(host: Host, backend: str) -> None:
    attributes = [{"name": "power/control", "value": "on"}, {"name": "power/control", "value": "auto"}]
    request = {"uuid": UUID, "type": "mtty-2", "parent": "mtty", "persistent": True, "backend": backend}
    host.apply(**request, attributes=attributes)
    file = DEFINITIONS / "mtty" / UUID
    assert (file.stat().st_mode & 0o777, file.owner()) == (0o644, "root")
    host.apply(**request, attributes=attributes[:1])
    host.apply(**{**request, "type": "mtty-1"}, recreate=True)
    host.apply(uuid=UUID, state="absent", backend=backend)
    assert not file.exists()


@pytest.mark.parametrize("autostart", [True, False])
@pytest.mark.parametrize("attributes", [[], [{"name": "power/control", "value": "on"}]])
def test_all_backends_write_identical_files(host: Host, autostart: bool, attributes: list[dict[str, str]]) -> None:
    file = DEFINITIONS / "mtty" / UUID
    texts = {}
    for backend in BACKENDS:
        request = {"uuid": UUID, "type": "mtty-2", "parent": "mtty", "backend": backend}
        host.device(**request, autostart=autostart, attributes=attributes)
        texts[backend] = file.read_bytes()
        # libvirt must have processed the new device before it is removed, or its information stays outdated.
        host.assert_tools_agree()
        host.device(uuid=UUID, state="absent", backend="sysfs")
        host.assert_tools_agree()
    assert texts["sysfs"] == texts["mdevctl"]
    assert texts["sysfs"] == texts["libvirt"]


def test_the_temporary_file_of_a_power_cut_is_ignored(host: Host) -> None:
    host.device(uuid=UUID, type="mtty-2", active=False)
    (DEFINITIONS / "mtty" / ".55555555-0000-3333-4444-555555555555.new").write_text('{"mdev_ty')
    assert [device["uuid"] for device in host.info()["devices"]] == [UUID]
    assert host.info()["broken_definitions"] == []
    host.assert_tools_agree()


def test_a_parent_unknown_to_libvirt(host: Host) -> None:
    words = "libvirt answered .*invalid parent device 'mdpy_mdpy'"
    host.expect_refusal("backend_failed", words, True, uuid=UUID, type="mdpy-hd", backend="libvirt")


@pytest.fixture
def callout() -> Iterator[None]:
    """A callout script that refuses to start any device."""
    folder = DEFINITIONS / "scripts.d" / "callouts"
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "refuse.sh"
    script.write_text(
        '#!/bin/sh\ncase "$*" in\n*"-e pre -a start"*) echo "the licence server says no" >&2; exit 3 ;;\n'
        '*"-e get"*) exit 2 ;;\nesac\n'
    )
    script.chmod(0o755)
    yield
    script.unlink(missing_ok=True)


@pytest.mark.usefixtures("callout")
def test_auto_runs_callout_scripts(host: Host) -> None:
    words = "mdevctl start returned.*the licence server says no"
    host.expect_refusal("backend_failed", words, True, uuid=UUID, type="mtty-1")
    host.expect_refusal("backend_failed", words, True, uuid=UUID, type="mtty-1", backend="mdevctl", persistent=True)
    host.apply(uuid=UUID, type="mtty-1", backend="sysfs")


def test_libvirt_is_missing(host: Host) -> None:
    words = "connecting to libvirt at .* failed: it answered"
    host.expect_refusal("backend_failed", words, uuid=UUID, type="mtty-1", backend="libvirt", uri="qemu+unix:///none")


def test_mdevctl_is_missing(host: Host) -> None:
    command = Path(shutil.which("mdevctl") or "")
    command.rename("/opt/mdevctl")
    try:
        host.expect_refusal("invalid_input", "Install package mdevctl", uuid=UUID, type="mtty-1", backend="mdevctl")
        assert host.device(uuid=UUID, type="mtty-1", persistent=False)["changed"]
    finally:
        Path("/opt/mdevctl").rename(command)
