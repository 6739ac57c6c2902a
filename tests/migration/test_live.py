# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests move with their devices, and stay whole where they can't."""

from __future__ import annotations

from conftest import Lab

A, B, C, D = (f"{digit * 8}-2222-3333-4444-555555555555" for digit in "1234")
_TO_B = "qemu+ssh://10.77.0.2/system"
# In MiB/s: long enough for a migration to be cut while it is under way.
_SLOWLY = ["--bandwidth", "1"]


def assert_untouched(lab: Lab, *guests: str, devices: frozenset[str] = frozenset()) -> None:
    """The guests run where they ran, and the destination is as it was before."""
    assert lab.a.guests() == set(guests)
    assert lab.b.guests() == set()
    assert lab.b.devices() == devices
    assert lab.a.files() | lab.b.files() == set()


def test_guests_move_and_one_comes_back(lab: Lab) -> None:
    """One with two devices, one with one, one without, and one that is shut off."""
    lab.a.guest("web", A, B)
    lab.a.guest("db", C)
    lab.a.guest("plain")
    lab.a.guest("idle", D)
    lab.a.sh("virsh destroy idle")
    said = lab.a.sh(f"virsh migrate --live web {_TO_B}", fails=True)
    assert "device not found: mediated device" in said
    lab.migrate(lab.a, lab.b, "web", "db", "plain", "idle", prepare_migration_uuids="new")
    assert lab.a.guests() == set()
    assert lab.b.guests() == {"web", "db", "plain"}
    assert len(lab.b.devices() - {A, B, C, D}) == 4
    assert "STOP_COPY" in lab.a.states("web")
    assert "RESUMING" in lab.b.states("web")
    assert "Persistent:     yes" in lab.b.sh("virsh dominfo web")
    assert lab.b.mdevs("idle", "--inactive") <= lab.b.devices()
    lab.b.sh("virsh start idle")
    assert lab.a.devices() == {A, B, C, D}
    assert lab.a.files() | lab.b.files() == set()
    [moved] = lab.b.mdevs("db")
    lab.migrate(lab.b, lab.a, "db", prepare_migration_uuids={moved: C}, prepare_migration_remove_source=True)
    assert lab.a.guests() == {"db"}
    assert lab.a.mdevs("db") == {C}
    assert lab.b.guests() == {"web", "plain", "idle"}
    assert moved not in lab.b.devices()
    assert lab.a.devices() == {A, B, C, D}


def test_a_cut_migration_is_taken_back_and_the_next_works(lab: Lab) -> None:
    lab.a.guest("web", A)
    lab.b.kill_incoming("web")
    said = lab.migrate(lab.a, lab.b, "web", fails=True, migrate_options=_SLOWLY)
    assert "web was not migrated" in said
    assert "On trixie_a it is now: running" in said
    assert_untouched(lab, "web")
    # What happens where nobody takes it back: the device can't take a state any more.
    lab.role("main", lab.a, lab.b, "web")
    lab.b.kill_incoming("web")
    lab.a.sh(f"virsh migrate --live {' '.join(_SLOWLY)} web {_TO_B}", fails=True)
    lab.b.sh("timeout 60 sh -c 'until [ -z \"$(virsh list --all --name)\" ]; do sleep 0.2; done'")
    assert "Bad file descriptor" in lab.a.sh(f"virsh migrate --live web {_TO_B}", fails=True)
    lab.migrate(lab.a, lab.b, "web")
    assert lab.b.guests() == {"web"}


def test_where_the_destination_can_not_be_reached_nothing_is_left(lab: Lab) -> None:
    lab.a.guest("web", A)
    said = lab.migrate(lab.a, lab.b, "web", fails=True, migrate_to="qemu+ssh://10.77.0.9/system")
    assert "web was not migrated" in said
    assert_untouched(lab, "web")


def test_no_room_for_the_second_guest(lab: Lab) -> None:
    lab.a.guest("web", A)
    lab.a.guest("db", B)
    others = frozenset(f"{number:08x}-7777-3333-4444-555555555555" for number in range(23))
    create = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create"
    lab.b.sh(f"for one in {' '.join(others)}; do echo $one > {create}; done")
    said = lab.migrate(lab.a, lab.b, "web", "db", fails=True)
    assert "no room for 1 of the 2 devices" in said
    assert_untouched(lab, "web", "db", devices=others)


def test_all_that_is_in_the_way_is_told_at_once(lab: Lab) -> None:
    """A UUID of another type, a device in use, and a type that is not there. The guests run on."""
    lab.a.guest("web", A)
    lab.a.guest("db", B)
    lab.b.sh(f"echo {A} > /sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/create")
    lab.b.guest("other", B)
    said = lab.migrate(lab.a, lab.b, "web", "db", fails=True)
    assert f"device {A} exists as type mtty-2" in said
    assert f"UUID {B} is in use here by other" in said
    said = lab.migrate(lab.a, lab.b, "web", "db", fails=True, prepare_migration_types={"mtty-1": "nvidia-471"})
    assert "no parent asked for offers type 'nvidia-471'" in said
    assert (lab.a.guests(), lab.b.guests()) == ({"web", "db"}, {"other"})
    assert lab.b.devices() == {A, B}
    assert lab.a.files() | lab.b.files() == set()


_STEPS = ("Ask the source", "Have all devices ready", "Leave the guests' XML", "Tell what was found")
_FILES = ("migrations/web.json", "outgoing/web.xml", "outgoing/web.persistent.xml")


def test_prepared_and_taken_back_whenever_the_controller_dies(lab: Lab) -> None:
    """A look changes nothing. A new run takes over what a killed one has left, and so does the way back."""
    lab.a.guest("web", A)
    assert "changed=2" in lab.role("main", lab.a, lab.b, "web", check=True)
    assert_untouched(lab, "web")
    for step in _STEPS:
        lab.killed_prepare(step, lab.a, lab.b, "web")
        lab.role("main", lab.a, lab.b, "web")
        assert lab.b.devices() == {A}, step
        assert lab.a.files() | lab.b.files() == {f"/var/lib/vfio-mdev/{name}" for name in _FILES}, step
        lab.role("rollback", lab.a, lab.b, "web")
        assert_untouched(lab, "web")
    for step in _STEPS[1:3]:
        lab.killed_prepare(step, lab.a, lab.b, "web")
        lab.role("rollback", lab.a, lab.b, "web")
        assert_untouched(lab, "web")
    assert "changed=2" in lab.role("main", lab.a, lab.b, "web")
    assert "changed=0" in lab.role("main", lab.a, lab.b, "web")


def test_the_link_drops(lab: Lab) -> None:
    """The last: libvirt needs half a minute on both sides to give up."""
    lab.a.guest("web", A)
    link = lab.b.sh("ip -o -4 address show to 10.77.0.2").split()[1]
    lab.b.when_incoming("web", "starting up", f"ip link set {link} down")
    try:
        said = lab.migrate(lab.a, lab.b, "web", fails=True)
    finally:
        lab.b.sh(f"ip link set {link} up")
    assert "web was not migrated" in said
    assert "On trixie_a it is now: running" in said
    assert_untouched(lab, "web")
