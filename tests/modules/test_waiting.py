# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices whose parents, types and room come late, as after a driver is loaded or functions are enabled."""

from __future__ import annotations

import threading
import time

from drivers.hostile import Liar
from drivers.kit.asked import Asked, Build
from drivers.kit.host import Driver
from drivers.samples import mtty

UUID = "11111111-2222-3333-4444-555555555555"


def later(ask: Asked, *drivers: Driver) -> None:
    """Has the host get this hardware in a moment."""
    threading.Timer(0.3, lambda: ask.host.boot(*drivers)).start()


def test_late_parents_are_waited_for(on_host: Build) -> None:
    ask = on_host()
    later(ask, mtty())
    done = ask.set(devices=[{"type": "mtty-2", "count": 2}, {"type": "mtty-1", "parent": "mtty"}], wait_seconds=20)
    assert len(done["devices"]) == 3
    assert ask.set(devices=[{"type": "mtty-2", "count": 2}], wait_seconds=20)["changed"] is False


def test_late_types_and_room_are_waited_for(on_host: Build) -> None:
    other = Liar("0000:41:00.4", 1)
    ask = on_host(other)
    later(ask, other, mtty())
    assert ask.device(uuid=UUID, type="mtty-1", wait_seconds=20)["changed"] is True
    later(ask, other, Liar("0000:41:00.5", 1))
    assert len(ask.set(devices=[{"type": "nvidia-471", "count": 2}], wait_seconds=20)["devices"]) == 2


def test_what_does_not_come_is_named_with_the_reason(on_host: Build) -> None:
    refused = on_host().set(devices=[{"type": "mtty-1"}], wait_seconds=0.2)
    assert refused["error"]["kind"] == "not_found"
    assert "Waited 0.2 s for it. No driver offers mediated devices" in refused["msg"]


def test_one_thing_that_waiting_cannot_cure_is_told_at_once(on_host: Build) -> None:
    ask = on_host(mtty())
    ask.device(uuid=UUID, type="mtty-1")
    started = time.monotonic()
    refused = ask.set(devices=[{"uuid": UUID, "type": "mtty-2"}, {"type": "nvidia-471"}], wait_seconds=60)
    assert time.monotonic() - started < 20
    assert {one["kind"] for one in refused["error"]["errors"]} == {"mismatch", "not_found"}
    assert "Waited" not in refused["msg"]


def test_nobody_waits_unasked(on_host: Build) -> None:
    started = time.monotonic()
    assert on_host().device(uuid=UUID, type="mtty-1")["error"]["kind"] == "not_found"
    assert time.monotonic() - started < 10
