# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks drain and undrain on stand-in hosts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from drivers.samples import mtty
from stand_in_fleet import Fleet, Played, fleet

A, B, C, D = (f"{digit * 8}-1111-4111-8111-111111111111" for digit in "abcd")
WEB, DB, IDLE, PLAIN = (f"{digit * 8}-5555-4666-8777-888888888888" for digit in "1234")


@contextmanager
def started_fleet(folder: Path) -> Iterator[Fleet]:
    """gpu-7 has three guests with devices, one of them shut off, and one without."""
    with fleet(folder, gpu_2=mtty(), gpu_3=mtty(), gpu_7=mtty()) as started:
        source = started.hosts["gpu-7"]
        for uuid in (A, B, C, D):
            source.device(uuid=uuid, type="mtty-1")
        started.add_guest("gpu-7", "web", WEB, A)
        started.add_guest("gpu-7", "db", DB, B, C)
        started.add_guest("gpu-7", "idle", IDLE, D, state="shut off")
        started.add_guest("gpu-7", "plain", PLAIN)
        yield started


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Fleet]:
    """Hosts for one test."""
    with started_fleet(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def same_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Hosts for several tests that leave them as they were."""
    with started_fleet(tmp_path_factory.mktemp("fleet")) as started:
        yield started


def state(hosts: Fleet) -> dict[str, object]:
    """What is on the hosts."""
    return {name: (host.info(), host.guest_info()) for name, host in hosts.hosts.items()}


def test_the_plan_is_shown_and_nothing_is_changed(same_hosts: Fleet) -> None:
    before = state(same_hosts)
    played = same_hosts.play("vfio.mdev.drain", "gpu-7", "--check", drain_to="gpu_hosts")
    assert played.code == 0, played.output
    assert "db    -> gpu-2  host with the fewest devices, with 0 devices" in played.output
    assert "idle  -> gpu-3  host with the fewest devices, with 0 devices" in played.output
    assert "web   -> gpu-3  host with the fewest devices, with 1 device" in played.output
    assert "plain has no mediated devices and stays" in played.output
    assert state(same_hosts) == before


def test_guests_without_a_destination_stop_it_before_anything_is_changed(same_hosts: Fleet) -> None:
    same_hosts.hosts["gpu-2"].cordon(reason="broken fan")
    same_hosts.hosts["gpu-3"].set(devices=[{"type": "mtty-1", "count": 22}])
    before = state(same_hosts)
    for options in ([], ["--check"]):
        played = same_hosts.play("vfio.mdev.drain", "gpu-7", *options, drain_to=["gpu-2", "gpu-3"])
        assert played.code != 0
        assert "db   has no destination:" in played.output or "db  has no destination:" in played.output
        assert "gpu-2: it is cordoned since" in played.output
        assert "guests have no destination" in played.output
    assert state(same_hosts) == before
    same_hosts.hosts["gpu-2"].cordon(state="absent")
    same_hosts.hosts["gpu-3"].set(devices=[{"type": "mtty-1", "count": 22}], state="absent")


@pytest.mark.parametrize(
    ("limit", "variables", "words"),
    [
        ("gpu-7", {}, "drain_to is missing"),
        ("gpu_hosts", {"drain_to": "gpu_hosts"}, "name one host with -l: this play has"),
        ("gpu-7", {"drain_to": "gpu-7"}, "no host of the inventory except gpu-7 matches it"),
        (
            "gpu-7",
            {"drain_to": "gpu_hosts", "drain_parallell": 3},
            "did you mean drain_parallel?",
        ),
        (
            "gpu-7",
            {"drain_to": "gpu_hosts", "migrate_time": 3},
            "migrate_time is unknown: did you mean migrate_timeout?",
        ),
    ],
)
def test_bad_variables_are_refused(same_hosts: Fleet, limit: str, variables: dict[str, object], words: str) -> None:
    before = state(same_hosts)
    played = same_hosts.play("vfio.mdev.drain", limit, **variables)
    assert played.code != 0
    assert words in played.output
    assert "usage: ansible-playbook vfio.mdev.drain -l HOST -e drain_to=HOSTS" in played.output
    assert state(same_hosts) == before


def test_undrain_opens_a_cordoned_host(same_hosts: Fleet) -> None:
    host = same_hosts.hosts["gpu-7"]
    host.cordon(reason="new driver")
    checked = same_hosts.play("vfio.mdev.undrain", "gpu-7", "--check", "--diff")
    assert "new driver" in checked.output
    assert host.info()["cordon"]["reason"] == "new driver"
    assert "changed=1" in same_hosts.play("vfio.mdev.undrain", "gpu-7").output
    assert host.info()["cordon"] is None
    assert "changed=0" in same_hosts.play("vfio.mdev.undrain", "gpu-7").output


def devices(hosts: Fleet, name: str) -> set[str]:
    return {device["uuid"] for device in hosts.hosts[name].info()["devices"]}


def drain(hosts: Fleet, *options: str, **variables: object) -> Played:
    common = {"drain_to": ["gpu-2", "gpu-3"], "drain_desturi_map": hosts.desturis(), "migrate_watch_interval": 0.3}
    return hosts.play("vfio.mdev.drain", "gpu-7", *options, **{**common, **variables})


def files(hosts: Fleet) -> set[str]:
    """What the collection keeps on the hosts about migrations."""
    return {
        f"{name}/{path.name}"
        for name, host in hosts.hosts.items()
        for folder in ("migrations", "outgoing")
        for path in (host.etc / "var/lib/vfio-mdev" / folder).glob("*")
    }


def test_a_host_is_emptied(hosts: Fleet) -> None:
    played = drain(hosts, drain_reason="new driver")
    assert played.code == 0, played.output
    assert hosts.guests() == {
        "gpu-2": {("db", "running")},
        "gpu-3": {("web", "running"), ("idle", "shut off")},
        "gpu-7": {("plain", "running")},
    }
    assert (devices(hosts, "gpu-2"), devices(hosts, "gpu-3")) == ({B, C}, {A, D})
    assert "web   on gpu-3  has arrived" in played.output
    assert "plain has no mediated devices and stays" in played.output
    assert hosts.hosts["gpu-7"].info()["cordon"]["reason"] == "new driver"
    assert files(hosts) == set()
    again = drain(hosts)
    assert (again.code, "changed=0" in again.output) == (0, True), again.output
    assert hosts.hosts["gpu-7"].info()["cordon"]["reason"] == "new driver"


def test_a_failure_stops_what_has_not_started_and_is_rolled_back(hosts: Fleet) -> None:
    hosts.mark("gpu-7", IDLE, "broken")
    hosts.mark("gpu-7", DB, "slow")
    played = drain(hosts, migrate_timeout=2, drain_parallel=1)
    assert played.code != 0
    assert "db    on gpu-7  was not migrated" in played.output
    assert "idle  on gpu-7  was not started" in played.output
    assert "3 of 3 guests did not arrive" in played.output
    assert {name for name, _state in hosts.guests()["gpu-7"]} == {"db", "idle", "web", "plain"}
    assert (devices(hosts, "gpu-2"), devices(hosts, "gpu-3")) == (set(), set())
    assert files(hosts) == set()
    hosts.mark("gpu-7", DB, "slow", is_set=False)
    hosts.mark("gpu-7", IDLE, "broken", is_set=False)
    played = drain(hosts, drain_parallel=3)
    assert played.code == 0, played.output
    assert {name for name, _state in hosts.guests()["gpu-7"]} == {"plain"}


def test_it_goes_on_after_it_was_killed(hosts: Fleet) -> None:
    """One guest arrived while nobody watched, one still migrates, and one was only prepared."""
    hosts.mark("gpu-7", WEB, "slow")
    variables = {"drain_to": ["gpu-2", "gpu-3"], "drain_desturi_map": hosts.desturis(), "drain_parallel": 2}
    process = hosts.start("vfio.mdev.drain", "gpu-7", **variables, migrate_watch_interval=0.3)
    end = time.monotonic() + 120
    while ("web", "paused") not in hosts.guests()["gpu-3"] | hosts.guests()["gpu-2"]:
        assert time.monotonic() < end
        time.sleep(0.2)
    time.sleep(2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    assert "running" in dict(hosts.guests()["gpu-2"])["db"]
    hosts.mark("gpu-7", WEB, "slow", is_set=False)
    played = drain(hosts)
    assert played.code == 0, played.output
    assert {name for name, _state in hosts.guests()["gpu-7"]} == {"plain"}
    assert files(hosts) == set()


def started_drain(hosts: Fleet, text: str) -> subprocess.Popen[str]:
    """Start the playbook, and return when it has printed this."""
    variables = {"drain_to": ["gpu-2"], "drain_desturi_map": hosts.desturis(), "migrate_watch_interval": 0.3}
    process = hosts.start("vfio.mdev.drain", "gpu-7", **variables)
    assert process.stdout is not None
    assert any(text in line for line in process.stdout)
    return process


def test_guests_that_an_earlier_run_has_moved_do_not_hold_up_the_others(hosts: Fleet) -> None:
    """web is lost when the second run begins, and db arrives after it has made its plan. web can be found again."""
    process = started_drain(hosts, "TASK [Select the guests to migrate]")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    hosts.move("gpu-7", "lost", WEB, state="running")
    process = started_drain(hosts, "TASK [Show the plan]")
    hosts.move("gpu-7", "gpu-2", DB, state="running")
    output, _errors = process.communicate(timeout=240)
    assert process.returncode != 0, output
    assert "web   on an unknown host  was not migrated: web is neither on gpu-7 nor on gpu-2" in output
    assert "db    on gpu-2            has arrived" in output
    assert "idle  on gpu-2            has arrived" in output
    assert "1 of 3 guests did not arrive or were not committed: web" in output
    assert files(hosts) == {f"gpu-2/{WEB}.json", f"gpu-7/{WEB}.xml", f"gpu-7/{WEB}.persistent.xml"}
    hosts.move("lost", "gpu-2", WEB, state="running")
    played = drain(hosts)
    assert played.code == 0, played.output
    assert "web  on gpu-2  has arrived" in played.output
    assert files(hosts) == set()


def test_a_cordoned_host_gets_no_devices_and_does_not_fail(same_hosts: Fleet) -> None:
    host = same_hosts.hosts["gpu-3"]
    host.cordon(reason="new driver")
    before = host.info()
    variables = {"provision_packages": [], "provision_sets": [{"name": "desktops", "devices": [{"type": "mtty-1"}]}]}
    played = same_hosts.play("vfio.mdev.provision", "gpu-3", "--check", **variables)
    host.cordon(state="absent")
    assert played.code == 0, played.output
    assert "this host is cordoned since" in played.output
    assert "Create the devices of each set" not in played.output
    assert host.info() == {**before, "cordon": None}
