# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Active, defined, autostart: every state from every other by every backend, as kernel, mdevctl and libvirt see it."""

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
    """What is asked of a device."""

    active: bool
    defined: bool
    autostart: bool

    def asked(self) -> dict[str, object]:
        """The arguments that ask for it."""
        if not (self.active or self.defined):
            return {"uuid": UUID, "state": "absent"}
        wanted = {"active": self.active, "persistent": self.defined, "autostart": self.autostart}
        return {"uuid": UUID, "type": "mtty-1", "parent": "mtty", **wanted}


STATES = [State(*one) for one in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 1, 1), (1, 1, 0), (1, 1, 1))]


@pytest.fixture(autouse=True)
def starter() -> Iterator[None]:
    """As if role boot had been run: a definition may be marked autostart where something starts it."""
    mark = Path("/etc/systemd/system/multi-user.target.wants/vfio-mdev.service")
    mark.symlink_to("/etc/systemd/system/vfio-mdev.service")
    yield
    mark.unlink()


def reach(host: Host, backend: str, state: State) -> None:
    """From wherever the device is to this state, and all agree on it."""
    done = host.device(**state.asked(), backend=backend)
    assert "msg" not in done, done["msg"]
    assert not host.device(**state.asked(), backend=backend)["changed"]
    seen = host.info(uuid=UUID)["devices"]
    assert [(one["active"], one["defined"], one["autostart"]) for one in seen] == ([state] if any(state) else [])
    host.assert_all_see_the_same()


def closed_walk(states: list[State]) -> list[State]:
    """From the first state through all others and back, each ordered pair once (Hierholzer)."""
    left = {one: [other for other in states if other != one] for one in states}
    stack, walk = [states[0]], []
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            walk.append(stack.pop())
    return walk


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_state_from_every_other(host: Host, backend: str) -> None:
    walk = closed_walk(STATES)
    assert {*zip(walk, walk[1:])} == {*permutations(STATES, 2)}
    for state in walk[1:]:
        reach(host, backend, state)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_definition_four_times(host: Host, backend: str) -> None:
    attributes = [{"name": "power/control", "value": "on"}, {"name": "power/control", "value": "auto"}]
    request = {"uuid": UUID, "type": "mtty-2", "parent": "mtty", "persistent": True, "backend": backend}
    host.four_times(**request, attributes=attributes)
    file = DEFINITIONS / "mtty" / UUID
    assert (file.stat().st_mode & 0o777, file.owner()) == (0o644, "root")
    host.four_times(**request, attributes=attributes[:1])
    host.four_times(**{**request, "type": "mtty-1"}, recreate=True)
    host.four_times(uuid=UUID, state="absent", backend=backend)
    assert not file.exists()


@pytest.mark.parametrize("autostart", [True, False])
@pytest.mark.parametrize("attributes", [[], [{"name": "power/control", "value": "on"}]])
def test_our_files_are_mdevctls_to_the_byte(host: Host, autostart: bool, attributes: list[dict[str, str]]) -> None:
    file = DEFINITIONS / "mtty" / UUID
    texts = {}
    for backend in BACKENDS:
        request = {"uuid": UUID, "type": "mtty-2", "parent": "mtty", "backend": backend}
        host.device(**request, autostart=autostart, attributes=attributes)
        texts[backend] = file.read_bytes()
        # libvirt must have seen the device before it goes, or lags behind from then on.
        host.assert_all_see_the_same()
        host.device(uuid=UUID, state="absent", backend="sysfs")
        host.assert_all_see_the_same()
    assert texts["sysfs"] == texts["mdevctl"]
    assert texts["sysfs"] == texts["libvirt"]


def test_the_temporary_file_of_a_power_cut_never_shows(host: Host) -> None:
    host.device(uuid=UUID, type="mtty-2", active=False)
    (DEFINITIONS / "mtty" / ".55555555-0000-3333-4444-555555555555.new").write_text('{"mdev_ty')
    assert [one["uuid"] for one in host.info()["devices"]] == [UUID]
    assert host.info()["broken_definitions"] == []
    host.assert_all_see_the_same()


def test_a_parent_that_libvirt_does_not_know(host: Host) -> None:
    words = "libvirt answered .*invalid parent device 'mdpy_mdpy'"
    host.refused("backend_failed", words, True, uuid=UUID, type="mdpy-hd", backend="libvirt")


@pytest.fixture
def callout() -> Iterator[None]:
    """A script of the operator that refuses to start any device."""
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
def test_auto_obeys_a_callout(host: Host) -> None:
    words = "mdevctl start answered.*the licence server says no"
    host.refused("backend_failed", words, True, uuid=UUID, type="mtty-1")
    host.refused("backend_failed", words, True, uuid=UUID, type="mtty-1", backend="mdevctl", persistent=True)
    host.four_times(uuid=UUID, type="mtty-1", backend="sysfs")


def test_libvirt_that_is_not_there(host: Host) -> None:
    words = "connecting to libvirt at .* failed: it answered"
    host.refused("backend_failed", words, True, uuid=UUID, type="mtty-1", backend="libvirt", uri="qemu+unix:///none")


def test_mdevctl_that_is_not_there(host: Host) -> None:
    command = Path(shutil.which("mdevctl") or "")
    command.rename("/opt/mdevctl")
    try:
        host.refused("invalid_input", "Install package mdevctl", True, uuid=UUID, type="mtty-1", backend="mdevctl")
        assert host.device(uuid=UUID, type="mtty-1", persistent=False)["changed"]
    finally:
        Path("/opt/mdevctl").rename(command)
