# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One device on a real kernel: created, refused, changed, replaced, in use, half removed, removed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from conftest import DEVICES, Host, eventually, sh

FIRST = "11111111-2222-3333-4444-555555555555"
SECOND = "22222222-2222-3333-4444-555555555555"

# The room for devices of the sample drivers on an idle host.
ROOM = {
    "mbochs-large": 4,
    "mbochs-medium": 16,
    "mbochs-small": 64,
    "mdpy-hd": 4,
    "mdpy-vga": 4,
    "mdpy-xga": 4,
    "mtty-1": 24,
    "mtty-2": 12,
}


def test_an_idle_host_shows_its_parents_and_all_of_their_room(host: Host) -> None:
    idle = host.info(xml=True)
    assert (idle["framework"], idle["hints"], idle["unread"], idle["devices"]) == ("mdev", [], [], [])
    assert [parent["address"] for parent in idle["parents"]] == ["mbochs", "mdpy", "mtty"]
    assert {mdev_type["id"]: mdev_type["available_instances"] for mdev_type in idle["types"]} == ROOM
    assert idle["parents"][2]["nodedev"] == "mtty_mtty"
    assert idle["parents"][2]["types"] == {"mtty-1": 24, "mtty-2": 12}
    assert {mdev_type["id"]: mdev_type["room"] for mdev_type in idle["types"]} == ROOM
    assert {card["address"]: card["room"]["mtty-1"] for card in idle["cards"] if card["address"] == "mtty"} == {
        "mtty": 24
    }
    names = {mdev_type["id"]: mdev_type["name"] for mdev_type in idle["types"]}
    assert (names["mtty-1"], names["mtty-2"]) == ("Single port serial", "Dual port serial")


def test_our_xml_is_valid_for_libvirts_own_tool(host: Host) -> None:
    host.device(uuid=FIRST, type="mtty-2", persistent=False)
    info = host.info(xml=True)
    for item in (*info["parents"], *info["devices"]):
        sh("virt-xml-validate - nodedev", item["xml"])


def test_a_device_by_each_of_its_names(host: Host) -> None:
    created = host.apply(uuid=FIRST, type="mtty-2", parent="mtty")
    assert created["device"]["device_api"] == "vfio-pci"
    assert (DEVICES / FIRST).exists()
    host.apply(uuid=FIRST.upper(), type="Dual port serial", parent="mtty_mtty", changed=False)
    host.apply(uuid=FIRST, type="mtty-2", changed=False)
    host.apply(uuid=FIRST, state="absent")
    host.apply(uuid=FIRST, state="absent", changed=False)


def test_a_device_without_a_parent_is_placed_where_there_is_room(host: Host) -> None:
    assert host.apply(uuid=SECOND, type="mdpy-hd")["device"]["parent"] == "mdpy"
    host.apply(uuid=SECOND, type="mdpy-hd", parent="mdpy", state="absent")


@pytest.mark.parametrize(
    ("error_kind", "words", "arguments"),
    [
        ("mismatch", "exists as type mtty-2 .*on parent mtty, but type mtty-1 on any parent", {"type": "mtty-1"}),
        ("mismatch", "on parent mtty, but type mbochs-small on mbochs", {"type": "mbochs-small", "parent": "mbochs"}),
        ("mismatch", "Nothing was removed", {"type": "mtty-1", "state": "absent"}),
        ("not_found", r"mtty-1 \('Single port serial'\)", {"uuid": SECOND, "type": "mtty-9"}),
        ("not_found", "Parents here: mbochs, mdpy, mtty", {"uuid": SECOND, "type": "mtty-1", "parent": "0000:41:00.4"}),
        ("invalid_input", "is not a UUID", {"uuid": FIRST + "6", "type": "mtty-2"}),
        ("invalid_input", "use state=absent", {"type": "mtty-2", "active": False}),
        ("no_autostart", "role vfio.mdev.boot", {"uuid": SECOND, "type": "mtty-2", "persistent": True}),
    ],
)
def test_a_refused_request_changes_nothing(
    host: Host, error_kind: str, words: str, arguments: dict[str, object]
) -> None:
    host.device(uuid=FIRST, type="mtty-2", persistent=False)
    host.expect_refusal(error_kind, words, **{"uuid": FIRST, **arguments})


def test_a_full_parent(host: Host) -> None:
    names = ["filler 1", "filler 2", "filler 3", "filler 4"]
    filled = [host.device(name=name, type="mdpy-vga", persistent=False)["device"]["uuid"] for name in names]
    assert len(set(filled)) == 4
    host.expect_refusal(
        "no_room", "mdpy: has 0 of mdpy-hd left and nothing of any other type", uuid=FIRST, type="mdpy-hd"
    )
    host.apply(name=names[0], state="absent")
    host.apply(uuid=FIRST, type="mdpy-hd")


def test_attributes(host: Host) -> None:
    def control(value: str) -> list[dict[str, str]]:
        return [{"name": "power/control", "value": value}]

    for value in ("on", "auto"):
        host.apply(uuid=FIRST, type="mtty-1", attributes=control(value))
        assert (DEVICES / FIRST / "power/control").read_text() == f"{value}\n"
    host.expect_refusal(
        "mismatch",
        "and read-only",
        uuid=FIRST,
        type="mtty-1",
        attributes=[{"name": "vendor/sample_mdev_dev", "value": "1"}],
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("power/control", "nonsense", "'nonsense' to 'power/control'.*EINVAL.*removed again"),
        ("vendor/nothing", "1", "'vendor/nothing'.*ENOENT.*the driver has no such attribute.*removed again"),
    ],
)
def test_an_attribute_that_fails_rolls_the_device_back(host: Host, name: str, value: str, words: str) -> None:
    attributes = [{"name": "power/control", "value": "on"}, {"name": name, "value": value}]
    host.expect_refusal("kernel_refused", words, True, uuid=FIRST, type="mtty-1", attributes=attributes)


def test_a_file_that_is_not_an_attribute(host: Host) -> None:
    attributes = [{"name": "remove", "value": "1"}]
    host.expect_refusal(
        "invalid_input", "is not a valid attribute name", uuid=FIRST, type="mtty-1", attributes=attributes
    )


def test_recreate(host: Host) -> None:
    host.apply(uuid=FIRST, type="mtty-2")
    host.apply(uuid=FIRST, type="mtty-1", recreate=True)
    host.apply(uuid=FIRST, type="mbochs-small", parent="mbochs", recreate=True)
    bad = [{"name": "power/control", "value": "nonsense"}]
    words = "Rolled back by creating the old device"
    host.expect_refusal("kernel_refused", words, True, uuid=FIRST, type="mtty-1", recreate=True, attributes=bad)


def test_derived_uuids(host: Host) -> None:
    request = {"type": "mbochs-large", "parent": "mbochs"}
    derived = host.apply(**request)["device"]["uuid"]
    assert derived[14] == "8"
    host.apply(**request, state="absent")
    of_host = host.apply(name="web-1", type="mbochs-small")["device"]["uuid"]
    of_all_hosts = host.apply(name="web-1", name_scope="global", type="mbochs-small")["device"]["uuid"]
    assert of_all_hosts == "f556d1d2-0255-8dc1-871f-263d1ab13031"
    assert of_host != of_all_hosts
    host.apply(name="web-1", name_scope="global", state="absent")


def test_xml_in_and_out(host: Host) -> None:
    host.device(uuid=FIRST, type="mtty-2", persistent=False)
    [described] = host.info(uuids=[FIRST], xml=True)["devices"]
    host.apply(xml=described["xml"], changed=False)
    host.apply(xml=described["xml"], state="absent")
    sh("virsh nodedev-create /dev/stdin", described["xml"])
    host.apply(uuid=FIRST, type="mtty-2", parent="mtty", changed=False)
    eventually(lambda: described["nodedev"] in sh("virsh nodedev-list --cap mdev"), True)
    libvirt_xml = sh(f"virsh nodedev-dumpxml {described['nodedev']}")
    host.apply(xml=libvirt_xml, state="absent")
    host.apply(xml=libvirt_xml)


def test_xml_without_a_uuid(host: Host) -> None:
    xml = "<device><parent>mtty_mtty</parent><capability type='mdev'><type id='mtty-1'/></capability></device>"
    created = host.apply(xml=xml)["device"]["uuid"]
    assert host.device(type="mtty-1", parent="mtty_mtty", persistent=False)["device"]["uuid"] == created


def test_xml_that_is_not_a_request(host: Host) -> None:
    xml = '<!DOCTYPE device [<!ENTITY x "y">]><device/>'
    host.expect_refusal("invalid_input", "document type declaration", xml=xml)


def test_without_lxml_only_xml_fails(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lxml", None)
    assert host.device(uuid=FIRST, type="mtty-1", persistent=False)["changed"]
    assert len(host.info()["devices"]) == 1
    without = host.info(xml=True)
    assert without["error"]["kind"] == "missing_library"
    assert "python3-lxml" in without["msg"]


def test_the_lock(host: Host) -> None:
    # Any user can hold a lock on /sys, so nobody waits for that.
    unrelated = subprocess.Popen(["flock", "/sys", "sleep", "60"])
    os.makedirs("/run/vfio-mdev", exist_ok=True)
    other = subprocess.Popen(["flock", "/run/vfio-mdev/lock", "sleep", "60"])
    try:
        eventually(lambda: host.device(name="a", type="mtty-1", persistent=False, lock_timeout=0.5).get("failed"), True)
        locked = host.device(name="b", type="mtty-1", persistent=False, lock_timeout=0.5)
        assert locked["error"]["kind"] == "lock_timeout"
        assert f"process {other.pid}" in locked["msg"]
        assert host.device(name="b", type="mtty-1", persistent=False, lock_timeout=0.5, check=True)["changed"]
    finally:
        for process in (other, unrelated):
            process.kill()
            process.wait()


def test_a_device_in_use_is_never_changed(host: Host, guest: Callable[[str, str], None]) -> None:
    host.device(uuid=FIRST, type="mtty-2", persistent=False)
    guest("web", FIRST)
    [busy] = host.info(uuids=[FIRST])["devices"]
    assert (busy["in_use"], busy["removing"]) == (True, False)
    assert [(user["guest"], user["command"][:15]) for user in busy["used_by"]] == [("web", "qemu-system-x86")]
    for backend in ("sysfs", "mdevctl", "libvirt"):
        host.expect_refusal("in_use", "guest 'web'", uuid=FIRST, state="absent", backend=backend)
    host.expect_refusal("in_use", "guest 'web'", uuid=FIRST, type="mtty-1", recreate=True)
    stopped = {"active": False, "persistent": True, "autostart": False}
    host.expect_refusal("in_use", "guest 'web'", uuid=FIRST, type="mtty-2", **stopped)
    host.apply(uuid=FIRST, type="mtty-2", changed=False)


def test_a_half_removed_device(host: Host, guest: Callable[[str, str], None]) -> None:
    host.device(uuid=FIRST, type="mtty-2", persistent=False)
    guest("web", FIRST)
    # The process hangs in the kernel until the guest releases the device, and can't be killed.
    subprocess.Popen(["sh", "-c", f"echo 1 > {DEVICES / FIRST / 'remove'}"])
    eventually(lambda: [device["removing"] for device in host.info(uuids=[FIRST])["devices"]], [True])
    [half] = host.info(uuids=[FIRST])["devices"]
    assert (half["parent"], [user["guest"] for user in half["used_by"]]) == ("mtty", ["web"])
    host.expect_refusal("removing", "guest 'web'", uuid=FIRST, type="mtty-2")
    host.expect_refusal("removing", "guest 'web'", uuid=FIRST, state="absent")
    sh("virsh destroy web")
    eventually(lambda: host.info()["devices"], [])
    host.apply(uuid=FIRST, type="mtty-2")
