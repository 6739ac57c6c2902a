# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests migrate with their devices, and keep running if the migration fails."""

from __future__ import annotations

import os

from conftest import ENOUGH_DOWNTIME, SLOWLY, STALLED, Lab

A, B, C, D = (f"{digit * 8}-2222-3333-4444-555555555555" for digit in "1234")
_TO_B = "qemu+ssh://10.77.0.2/system"
# In MiB/s: slow enough to interrupt a migration.
_SLOWLY = ["--bandwidth", "1"]
# How often a migration is looked at that does not end. A look takes 2 s or more here; 300 of them were needed once.
_LOOKS = int(os.environ.get("LAB_LOOKS", "20"))


def assert_untouched(lab: Lab, *guests: str, devices: frozenset[str] = frozenset()) -> None:
    """The guests still run on the source, and the destination is unchanged."""
    assert lab.a.guests() == set(guests)
    assert lab.b.guests() == set()
    assert lab.b.devices() == devices
    assert lab.a.files() | lab.b.files() == set()


def test_guests_migrate_and_one_comes_back(lab: Lab) -> None:
    """Guests with two devices, with one, with none, and one that is shut off.

    The first has the id of another as its name: virsh takes the name for an id first, and would migrate web.
    """
    lab.a.guest("web", A, B)
    name = lab.a.sh("virsh domid web").strip()
    lab.a.guest(name, C)
    lab.a.guest("plain")
    lab.a.guest("idle", D)
    lab.a.sh("virsh destroy idle")
    output = lab.a.sh(f"virsh migrate --live web {_TO_B}", fails=True)
    assert "device not found: mediated device" in output
    lab.migrate(lab.a, lab.b, name)
    assert (lab.a.guests(), lab.b.guests()) == ({"web", "plain"}, {name})
    assert lab.b.devices() == {C}
    lab.migrate(lab.a, lab.b, "web", "plain", "idle", prepare_migration_uuid_policy="new")
    assert lab.a.guests() == set()
    assert lab.b.guests() == {"web", name, "plain"}
    assert len(lab.b.devices() - {A, B, C, D}) == 3
    assert "STOP_COPY" in lab.a.states("web")
    assert "RESUMING" in lab.b.states("web")
    assert "Persistent:     yes" in lab.b.sh("virsh dominfo web")
    assert lab.b.mdevs("idle", "--inactive") <= lab.b.devices()
    lab.b.sh("virsh start idle")
    assert lab.a.devices() == {A, B, C, D}
    assert lab.a.files() | lab.b.files() == set()
    migrated = sorted(lab.b.mdevs("web"))
    uuid_map = dict(zip(migrated, (A, B), strict=True))
    lab.migrate(lab.b, lab.a, "web", prepare_migration_uuid_map=uuid_map, prepare_migration_remove_source=True)
    assert lab.a.guests() == {"web"}
    assert lab.a.mdevs("web") == {A, B}
    assert lab.b.guests() == {name, "plain", "idle"}
    assert not lab.b.devices() & set(migrated)
    assert lab.a.devices() == {A, B, C, D}


def test_an_interrupted_migration_is_rolled_back_and_the_next_succeeds(lab: Lab) -> None:
    # Its migration does not end before it is interrupted.
    lab.a.guest("web", A, restless=True)
    lab.b.kill_incoming("web")
    output = lab.migrate(lab.a, lab.b, "web", fails=True, **SLOWLY)
    assert "web was not migrated" in output
    assert "Its preparation on trixie_b was rolled back. Its state on trixie_a is now: running" in output, output
    assert_untouched(lab, "web")
    # Without a rollback, the device can't load a state any more.
    lab.role("main", lab.a, lab.b, "web")
    lab.b.kill_incoming("web")
    lab.a.sh(f"virsh migrate --live {' '.join(_SLOWLY)} web {_TO_B}", fails=True)
    lab.b.sh("timeout 60 sh -c 'until [ -z \"$(virsh list --all --name)\" ]; do sleep 0.2; done'")
    errors = lab.a.sh(f"virsh migrate --live web {_TO_B}", fails=True)
    assert "Bad file descriptor" in errors, errors
    lab.migrate(lab.a, lab.b, "web", migrate_max_downtime=ENOUGH_DOWNTIME)
    assert lab.b.guests() == {"web"}


def test_a_guest_that_arrived_while_nobody_watched_is_committed_and_never_rolled_back(lab: Lab) -> None:
    """Its devices would be taken from it if only virsh's answer was lost."""
    lab.a.guest("web", A)
    lab.role("main", lab.a, lab.b, "web")
    uuid = lab.a.uuid("web")
    files = "/var/lib/vfio-mdev/outgoing"
    persistent = f"--persistent --undefinesource --persistent-xml {files}/{uuid}.persistent.xml"
    lab.a.sh(f"virsh migrate --live --xml {files}/{uuid}.xml {persistent} {uuid} {_TO_B}")
    assert "Commit the migration" in lab.role("rollback", lab.a, lab.b, "web", fails=True)
    assert (lab.b.guests(), lab.b.devices()) == ({"web"}, {A})
    lab.migrate(lab.a, lab.b, "web")
    assert lab.b.guests() == {"web"}
    assert lab.a.files() | lab.b.files() == set()


def test_a_migration_outlives_the_controller_and_the_connection(lab: Lab) -> None:
    """It does not end, is watched, its controller killed, ssh to the source cut, and carried on."""
    lab.a.guest("web", A, restless=True)
    slowly = {**SLOWLY, "migrate_watch_interval": 0.1}
    play = lab.start_migrate(lab.a, lab.b, "web", **slowly)
    play.wait_for("downtime limit", times=_LOOKS)
    play.kill()
    assert "Outgoing migration" in lab.a.sh("virsh domjobinfo web")
    play = lab.start_migrate(lab.a, lab.b, "web", **slowly)
    play.wait_for("downtime limit", times=2)
    lab.a.cut_ssh(20)
    play.wait_for("no answer")
    play.wait_for("downtime limit", times=2)
    lab.a.let_go("web")
    play.end()
    assert (lab.a.guests(), lab.b.guests()) == (set(), {"web"})
    assert lab.b.sh("pgrep -c -f guest=web").strip() == "1"
    assert lab.a.files() | lab.b.files() == set()


def test_a_guest_that_does_not_converge_stays(lab: Lab) -> None:
    """It changes its memory faster than the memory is copied."""
    lab.a.guest("web", A, restless=True)
    output = lab.migrate(lab.a, lab.b, "web", fails=True, **STALLED)
    assert "web was not migrated: it was aborted, because the data left did not shrink" in output
    assert "Its preparation on trixie_b was rolled back. Its state on trixie_a is now: running" in output
    assert_untouched(lab, "web")


def test_nothing_is_left_if_the_guests_cannot_migrate(lab: Lab) -> None:
    """An unreachable destination, no room for the second guest, and three obstacles that are reported at once."""
    lab.a.guest("web", A)
    lab.a.guest("db", B)
    output = lab.migrate(lab.a, lab.b, "web", fails=True, migrate_to="qemu+ssh://10.77.0.9/system")
    assert "web was not migrated" in output
    assert_untouched(lab, "web", "db")
    others = [f"{number:08x}-7777-3333-4444-555555555555" for number in range(23)]
    types = "/sys/class/mdev_bus/mtty/mdev_supported_types"
    lab.b.sh(f"for uuid in {' '.join(others)}; do echo $uuid > {types}/mtty-1/create; done")
    output = lab.migrate(lab.a, lab.b, "web", "db", fails=True)
    assert "no room for 1 of the 2 devices" in output
    assert_untouched(lab, "web", "db", devices=frozenset(others))
    lab.b.sh(f"for uuid in {' '.join(others)}; do echo 1 > /sys/bus/mdev/devices/$uuid/remove; done")
    # A UUID of another type, a device in use, and a missing type.
    lab.b.sh(f"echo {A} > {types}/mtty-2/create")
    lab.b.guest("other", B)
    output = lab.migrate(lab.a, lab.b, "web", "db", fails=True)
    assert f"device {A} exists as type mtty-2" in output
    assert f"UUID {B} is in use here by other" in output
    output = lab.migrate(lab.a, lab.b, "web", "db", fails=True, prepare_migration_type_map={"mtty-1": "nvidia-471"})
    assert "no requested parent offers type 'nvidia-471'" in output
    assert (lab.a.guests(), lab.b.guests()) == ({"web", "db"}, {"other"})
    assert lab.b.devices() == {A, B}
    assert lab.a.files() | lab.b.files() == set()


_FILES = ("migrations/{}.json", "outgoing/{}.xml", "outgoing/{}.persistent.xml")


def test_prepare_and_rollback_after_a_killed_controller(lab: Lab) -> None:
    """Check mode changes nothing. Both a new run and a rollback complete the work of a killed run."""
    lab.a.guest("web", A)
    files = {f"/var/lib/vfio-mdev/{name.format(lab.a.uuid('web'))}" for name in _FILES}
    assert "changed=2" in lab.role("main", lab.a, lab.b, "web", check=True)
    assert_untouched(lab, "web")
    lab.killed_prepare("Prepare all devices", lab.a, lab.b, "web")
    lab.role("main", lab.a, lab.b, "web")
    assert lab.b.devices() == {A}
    assert lab.a.files() | lab.b.files() == files
    assert "changed=0" in lab.role("main", lab.a, lab.b, "web")
    lab.role("rollback", lab.a, lab.b, "web")
    assert_untouched(lab, "web")
    lab.killed_prepare("Write the guests' XML", lab.a, lab.b, "web")
    lab.role("rollback", lab.a, lab.b, "web")
    assert_untouched(lab, "web")


def test_the_link_drops(lab: Lab) -> None:
    """The last test: libvirt needs half a minute on both sides to give up."""
    lab.a.guest("web", A)
    link = lab.b.sh("ip -o -4 address show to 10.77.0.2").split()[1]
    lab.b.when_incoming("web", "starting up", f"ip link set {link} down")
    try:
        output = lab.migrate(lab.a, lab.b, "web", fails=True)
    finally:
        lab.b.sh(f"ip link set {link} up")
    assert "web was not migrated" in output
    assert "Its state on trixie_a is now: running" in output
    assert_untouched(lab, "web")
