# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices whose parents, types and capacity appear late, as after a driver is loaded or functions are enabled."""

from __future__ import annotations

import threading
import time

from drivers.hostile import MisleadingDriver
from drivers.kit.host_files import Driver
from drivers.kit.stand_in_host import MakeHost, StandInHost
from drivers.samples import mtty

UUID = "11111111-2222-3333-4444-555555555555"


def later(host: StandInHost, *drivers: Driver) -> None:
    """Boot the host with this hardware after a moment."""
    threading.Timer(0.3, lambda: host.files.boot(*drivers)).start()


def test_waits_for_late_parents(make_host: MakeHost) -> None:
    host = make_host()
    later(host, mtty())
    done = host.set(devices=[{"type": "mtty-2", "count": 2}, {"type": "mtty-1", "parent": "mtty"}], wait_timeout=20)
    assert len(done["devices"]) == 3
    assert host.set(devices=[{"type": "mtty-2", "count": 2}], wait_timeout=20)["changed"] is False


def test_waits_for_late_types_and_capacity(make_host: MakeHost) -> None:
    other = MisleadingDriver("0000:41:00.4", 1)
    host = make_host(other)
    later(host, other, mtty())
    assert host.device(uuid=UUID, type="mtty-1", wait_timeout=20)["changed"] is True
    later(host, other, MisleadingDriver("0000:41:00.5", 1))
    assert len(host.set(devices=[{"type": "nvidia-471", "count": 2}], wait_timeout=20)["devices"]) == 2


def test_a_timeout_names_the_missing_type_and_the_reason(make_host: MakeHost) -> None:
    refused = make_host().set(devices=[{"type": "mtty-1"}], wait_timeout=0.2)
    assert refused["error"]["kind"] == "not_found"
    assert "Waited 0.2 s. No driver offers mediated devices" in refused["msg"]


def test_a_problem_that_waiting_cannot_fix_is_reported_immediately(make_host: MakeHost) -> None:
    host = make_host(mtty())
    host.device(uuid=UUID, type="mtty-1")
    started = time.monotonic()
    refused = host.set(devices=[{"uuid": UUID, "type": "mtty-2"}, {"type": "nvidia-471"}], wait_timeout=60)
    assert time.monotonic() - started < 20
    assert {problem["kind"] for problem in refused["error"]["problems"]} == {"mismatch", "not_found"}
    assert "Waited" not in refused["msg"]


def test_no_wait_by_default(make_host: MakeHost) -> None:
    started = time.monotonic()
    assert make_host().device(uuid=UUID, type="mtty-1")["error"]["kind"] == "not_found"
    assert time.monotonic() - started < 10
