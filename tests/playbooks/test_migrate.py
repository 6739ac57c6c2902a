# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook migrate: guests arrive, fail, get stuck and are looked for, whoever is killed in between."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from controller import Controller
from two_hosts import UUIDS, TwoHosts


@pytest.fixture
def hosts(tmp_path: Path, controller: Controller) -> TwoHosts:
    return TwoHosts(tmp_path, controller)


def test_guests_migrate_and_nothing_is_left(hosts: TwoHosts) -> None:
    hosts.add("web-1", "web-2")
    output = hosts.migrate("web-1", "web-2", migrate_parallel=2)
    assert (hosts.guests("src"), hosts.guests("dst")) == ({}, {"web-1": "running", "web-2": "running"})
    assert '"downtime": 123' in output
    assert hosts.left_behind() == []
    again = hosts.migrate("web-1", UUIDS["web-2"])
    assert "changed=0" in again
    assert hosts.calls("migrate") == 2


def test_a_failure_stops_new_ones_and_the_rest_is_where_the_result_says(hosts: TwoHosts) -> None:
    hosts.add("web-1", "web-2", "web-3")
    hosts.mark("bad", "web-1")
    output = hosts.migrate("web-1", "web-2", "web-3", fails=True, migrate_parallel=1)
    assert "web-1 was not migrated: error: device not found" in output
    assert "web-2 was not migrated: not started, because web-1 was not migrated" in output
    assert set(hosts.guests("src")) == {"web-1", "web-2", "web-3"}
    assert hosts.left_behind() == []


def test_a_failed_migration_that_the_destination_notices_later_is_rolled_back(hosts: TwoHosts) -> None:
    """On a busy host, the guest is still paused there when virsh on the source has ended."""
    hosts.add("web-1")
    hosts.mark("late", "web-1", "6")
    output = hosts.migrate("web-1", fails=True)
    assert "Its preparation on gpu-2 was rolled back. Its state on gpu-1 is now: running" in output
    assert (hosts.guests("src"), hosts.guests("dst"), hosts.left_behind()) == ({"web-1": "running"}, {}, [])


def test_a_guest_that_does_not_converge_is_reported_as_such(hosts: TwoHosts) -> None:
    hosts.add("web-1")
    hosts.mark("stuck", "web-1")
    output = hosts.migrate("web-1", fails=True, migrate_stall_timeout=0.5, migrate_max_downtime=1000)
    assert "raising the downtime limit to 1000 ms" in output
    assert "web-1 was not migrated: it was aborted, because the data left did not shrink" in output
    assert (hosts.guests("src"), hosts.left_behind()) == ({"web-1": "running"}, [])


def test_a_killed_controller_is_carried_on(hosts: TwoHosts) -> None:
    hosts.add("web-1", "web-2")
    hosts.migrations_take(15)
    hosts.killed("left, ", "web-1", "web-2")
    assert "web-1: migrated" in hosts.migrate("web-1", "web-2", migrate_parallel=2).replace(" to gpu-2", "")
    assert (hosts.calls("migrate"), hosts.left_behind()) == (2, [])


def test_a_guest_that_arrived_while_nobody_watched_is_committed(hosts: TwoHosts) -> None:
    hosts.add("web-1")
    hosts.migrations_take(5)
    hosts.killed("left, ", "web-1")
    end = time.monotonic() + 30
    while hosts.guests("src") and time.monotonic() < end:
        time.sleep(0.1)
    assert hosts.left_behind() != []
    hosts.migrate("web-1")
    assert (hosts.guests("dst"), hosts.left_behind(), hosts.calls("migrate")) == ({"web-1": "running"}, [], 1)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown variable": ({"migrate_bandwith": 1}, "did you mean migrate_bandwidth?"),
    "the source is the destination": ({"migrate_source": "gpu-2"}, "which is the destination too"),
    "an unknown source": ({"migrate_source": "gpu-9"}, "not in the inventory"),
    "a guest on neither host": ({"migrate_guest_names": ["web-1", "web-9"]}, "web-9: not on gpu-1, and not committed"),
    "no list of guests": ({"migrate_guest_names": "web-1"}, "must be a list of names or UUIDs"),
    "an option that contradicts another": ({"migrate_options": ["--bandwidth", "1"]}, "use bandwidth"),
    "a negative limit": ({"migrate_max_downtime": -1}, "must be 1 or more"),
}


@pytest.mark.parametrize(("variables", "text"), WRONG.values(), ids=WRONG)
def test_bad_input_is_refused_before_anything_is_touched(hosts: TwoHosts, variables: dict[str, Any], text: str) -> None:
    hosts.add("web-1")
    assert text in hosts.migrate("web-1", fails=True, **variables)
    assert (hosts.guests("src"), hosts.left_behind()) == ({"web-1": "running"}, [])
