# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollback never takes a guest's devices, and restores what was there before."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.kit.isolated_host import Boot, IsolatedHost
from drivers.nvidia import t4
from drivers.test_guests import FIRST, A, B, domain

TYPE = "nvidia-231"
PARAMETERS = "nvidia/vgpu_params"


def guest(running: bool = True, **device: Any) -> dict[str, Any]:
    return {"name": "web", "uuid": FIRST, "running": running, "devices": [{"uuid": A, "type": TYPE, **device}]}


def rollback(host: IsolatedHost, **arguments: Any) -> dict[str, Any]:
    return host.migration(state="rolled_back", wait_timeout=0, **arguments)


# Where the guest is on the destination, its devices there, and whether it is prepared for live migration -> the error.
ARRIVED = {
    "it runs": ("running", A, True, "migrated", "Commit the migration"),
    "it is arriving": ("paused", A, True, "in_use", "may be arriving"),
    "it was moved while shut off": ("shut off", A, False, "migrated", "commit the migration"),
    "it was shut off after it arrived": ("shut off", A, True, "migrated", "commit the migration"),
}


@pytest.mark.parametrize(("state", "device", "live", "kind", "words"), ARRIVED.values(), ids=ARRIVED)
def test_a_guest_that_is_here_keeps_its_devices(
    boot: Boot, state: str, device: str, live: bool, kind: str, words: str
) -> None:
    host = boot(t4())
    host.migration(guests=[guest(live)], driver_match="ignore")
    host.add_guest("web", domain("web", FIRST, device), state)
    refused = rollback(host)
    assert (refused["error"]["kind"], words in refused["msg"]) == (kind, True)
    assert [device["uuid"] for device in host.info()["devices"]] == [A]
    assert list((host.etc / "migrations").iterdir()) == [host.etc / f"migrations/{FIRST}.json"]
    assert host.migration(state="committed")["changed"] is True


def test_a_configuration_from_before_is_not_a_guest_that_arrived(boot: Boot) -> None:
    host = boot(t4())
    host.add_guest("web", domain("web", FIRST, A), "shut off")
    host.migration(guests=[guest()], driver_match="ignore")
    assert host.migration(state="committed")["error"]["kind"] == "not_migrated"
    assert rollback(host)["changed"] is True
    assert host.info()["devices"] == []


def test_a_guest_with_other_devices_does_not_prevent_a_rollback(boot: Boot) -> None:
    host = boot(t4())
    host.migration(guests=[guest()], driver_match="ignore")
    host.add_guest("web", domain("web", FIRST, B))
    assert host.migration(state="committed")["error"]["kind"] == "not_migrated"
    assert rollback(host)["changed"] is True


def test_the_attributes_of_a_device_that_existed_before_are_restored(boot: Boot) -> None:
    host = boot(t4())
    host.device(uuid=A, type=TYPE, persistent=False, attributes=[{"name": PARAMETERS, "value": "frame_rate_limiter=0"}])
    path = next(host.files.sys.glob(f"devices/**/{A}/{PARAMETERS}"))
    before = path.read_text()
    source = guest(attributes=[{"name": PARAMETERS, "value": "frame_rate_limiter=1"}])
    host.migration(guests=[source], driver_match="ignore")
    assert path.read_text() != before
    assert rollback(host)["changed"] is True
    assert path.read_text() == before


def test_records_can_stay_open(boot: Boot) -> None:
    """The role closes them when the guests' XML is gone from the source."""
    host = boot(t4())
    host.migration(guests=[guest()], driver_match="ignore")
    assert rollback(host, close_records=False)["changed"] is True
    assert host.info()["devices"] == []
    assert rollback(host, close_records=False)["changed"] is False
    closed = rollback(host, guest_names=[FIRST])
    assert (closed["changed"], closed["actions"], closed["guests"][0]["uuid"]) == (True, [], FIRST)
    assert list((host.etc / "migrations").iterdir()) == []


def test_records_that_cannot_be_read_are_not_passed_over(boot: Boot) -> None:
    host = boot(t4())
    host.migration(guests=[guest()], driver_match="ignore")
    broken = host.etc / f"migrations/{B}.json"
    broken.write_text("{")
    for arguments in (
        {"state": "rolled_back"},
        {"state": "committed"},
        {"state": "rolled_back", "guest_names": ["db"]},
    ):
        refused = host.migration(wait_timeout=0, **arguments)
        assert (refused["error"]["kind"], broken.name in refused["msg"]) == ("file_error", True)
    refused = host.migration(guests=[guest()], driver_match="ignore")
    assert [check["check"] for check in refused["checks"] if check["severity"] == "error"] == ["record"]
    assert [device["uuid"] for device in host.info()["devices"]] == [A]
    assert rollback(host, guest_names=["web"])["changed"] is True
