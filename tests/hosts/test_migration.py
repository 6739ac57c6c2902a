# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration destination on a real kernel: prepared, prepared again, committed, rolled back, killed at any step."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import DEVICES, Host, Result, guest_uuid, sh
from run_module import run_module

A, B = "11111111-2222-3333-4444-555555555555", "22222222-2222-3333-4444-555555555555"
FOREIGN = "33333333-2222-3333-4444-555555555555"
RECORDS = Path("/var/lib/vfio-mdev/migrations")
LOG = Path("/var/log/libvirt/qemu/web.log")
PORT = {"type": "mtty-1", "type_name": "Single port serial", "device_api": "vfio-pci", "driver": "vfio-mtty"}

Start = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def no_records(host: Host) -> Iterator[None]:
    yield
    sh(f"rm -rf {RECORDS} {LOG}")


def guest(name: str, *uuids: str, **device: Any) -> Result:
    """A guest as reported by the source. It is not running, so that old versions of QEMU are accepted."""
    return {
        "name": name,
        "uuid": guest_uuid(name),
        "running": False,
        "devices": [{"uuid": uuid, **PORT, **device} for uuid in uuids],
    }


def migration(check: bool = False, **arguments: Any) -> Result:
    options: Result = {"source": "gpu-1", "driver_match": "ignore", "wait_timeout": 0, **arguments}
    return run_module("mdev_migration", check=check, **options)


def failed_checks(result: Result) -> set[str]:
    """The checks that are errors."""
    return {check["check"] for check in result["checks"] if not check["ok"] and check["severity"] == "error"}


def active() -> set[str]:
    return {path.name for path in DEVICES.iterdir()}


def records() -> set[str]:
    return {path.name for path in RECORDS.glob("*")}


def apply(**arguments: Any) -> Result:
    """Run in check mode without changes, for real with the same result, and again without changes."""
    before = (active(), records())
    checked = migration(check=True, **arguments)
    assert "msg" not in checked, checked["msg"]
    assert (active(), records()) == before
    applied = migration(**arguments)
    assert "msg" not in applied, applied["msg"]
    again = migration(**arguments)
    assert (checked["changed"], applied["changed"], again["changed"]) == (True, True, False)
    assert (checked["actions"], again["actions"]) == (applied["actions"], [])
    if arguments.get("state") is None:
        assert (checked["guests"], again["guests"]) == (applied["guests"], applied["guests"])
        assert checked["checks"] == applied["checks"]
    return applied


def test_guests_are_prepared_and_rolled_back(host: Host) -> None:
    host.device(uuid=FOREIGN, type="mtty-2", persistent=False)
    guests = [guest("web", A, B), guest("db", "44444444-2222-3333-4444-555555555555"), guest("none")]
    prepared = apply(guests=guests)
    assert len(active()) == 4
    assert records() == {f"{guest_uuid(name)}.json" for name in ("web", "db", "none")}
    assert prepared["guests"][0]["uuid_map"] == {A: A, B: B}
    host.assert_tools_agree()
    apply(state="rolled_back")
    assert active() == {FOREIGN}
    assert records() == set()
    host.assert_tools_agree()


def test_uuids_of_the_destination(host: Host) -> None:
    """New UUIDs do not belong to any set, and another choice removes the devices of the first one."""
    prepared = apply(guests=[guest("web", A)], uuid_policy="new")
    [new] = active()
    assert prepared["guests"][0]["uuid_map"] == {A: new}
    host.set(name="tenant-a", devices=[], purge="owned")
    assert active() == {new}
    apply(guests=[guest("web", A)], uuid_map={A: B})
    assert active() == {B}


def test_the_xml_of_a_guest_that_is_given_as_an_option(host: Host) -> None:
    hostdev = f"<hostdev type='mdev'><source><address uuid='{A}'/></source></hostdev>"
    xml = f"<domain><name>web</name><uuid>{guest_uuid('web')}</uuid><devices>{hostdev}</devices></domain>"
    web = {"xml": xml, "persistent_xml": xml, "running": False, "devices": [{"uuid": A, "type": "mtty-1"}]}
    [prepared] = apply(guests=[web], uuid_map={A: B})["guests"]
    assert prepared["xml"] == prepared["persistent_xml"] == xml.replace(A, B)
    unknown = migration(guests=[{**web, "devices": []}])
    assert unknown["error"]["unknown"] == [A]


def test_an_existing_device_stays_and_is_recreated(host: Host) -> None:
    """An existing device may be stale. The kernel assigns another inode to a recreated device."""
    host.device(uuid=A, type="mtty-1", autostart=False)
    before = (DEVICES / A).stat().st_ino
    prepared = apply(guests=[guest("web", A)])
    assert [action["action"] for action in prepared["actions"]] == ["remove", "create"]
    recreated = (DEVICES / A).stat().st_ino
    assert recreated != before
    apply(state="rolled_back")
    assert (DEVICES / A).stat().st_ino == recreated
    [device] = host.info()["devices"]
    assert (device["active"], device["defined"]) == (True, True)


def test_devices_are_recreated_after_an_attempt(host: Host, start_guest: Start) -> None:
    migration(guests=[guest("web", A)])
    before = (DEVICES / A).stat().st_ino
    start_guest("web", A)
    refused = migration(guests=[guest("web", A)])
    assert failed_checks(refused) == {"guest", "uuid"}
    sh("virsh destroy web")
    prepared = apply(guests=[guest("web", A)])
    assert [check["check"] for check in prepared["checks"] if not check["ok"] and check["check"] == "stale"] == [
        "stale"
    ]
    assert (DEVICES / A).stat().st_ino != before


@pytest.fixture
def start_guest(guest: Start) -> Start:
    """The fixture guest under another name, since this module has its own function guest()."""
    return guest


def test_a_guest_that_arrived_is_committed(host: Host, start_guest: Start) -> None:
    migration(guests=[guest("web", A)])
    missing = migration(state="committed")
    assert missing["error"]["kind"] == "not_migrated"
    start_guest("web", A)
    arrived = migration(state="rolled_back")
    assert arrived["error"]["kind"] == "migrated"
    apply(state="committed", persistent=True, autostart=False)
    assert records() == set()
    [device] = host.info()["devices"]
    assert (device["active"], device["defined"], device["in_use"]) == (True, True, True)
    assert migration(state="committed", guest_names=["web"])["changed"] is False
    assert migration(state="committed", guest_names=["db"])["error"]["kind"] == "not_migrated"


def test_a_guest_with_other_devices_is_not_committed(host: Host, start_guest: Start) -> None:
    host.device(uuid=B, type="mtty-1", persistent=False)
    migration(guests=[guest("web", A)])
    start_guest("web", B)
    refused = migration(state="committed")
    assert refused["error"]["kind"] == "not_migrated"
    assert B in refused["msg"]
    assert A in refused["msg"]


def test_the_files_for_virsh(host: Host, tmp_path: Path) -> None:
    """The files have the complete guest including its passwords, and only root can read them."""
    devices = f"<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='{A}'/></source></hostdev>"
    secret = "<graphics type='vnc' passwd='s3cret'/>"
    sh(
        "virsh define /dev/stdin",
        f"<domain type='qemu'><name>web</name><memory>65536</memory><os><type machine='q35'>hvm</type></os>"
        f"<devices>{devices}{secret}</devices></domain>",
    )
    folder = tmp_path / "outgoing"
    options: Result = {"guests": [{"name": "web", "uuid_map": {A: B}}], "xml_path": str(folder)}
    uuid = sh("virsh domuuid web").strip()
    try:
        checked = run_module("mdev_guest_xml", check=True, **options)
        assert not folder.exists()
        written, again = run_module("mdev_guest_xml", **options), run_module("mdev_guest_xml", **options)
        assert (checked["changed"], written["changed"], again["changed"]) == (True, True, False)
        assert checked["files"] == written["files"] == again["files"]
        assert written["files"][0]["xml"] == str(folder / f"{uuid}.xml")
        for path in (Path(written["files"][0][name]) for name in ("xml", "persistent_xml")):
            assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
            assert B in path.read_text()
            assert A not in path.read_text()
            assert "s3cret" in path.read_text()
        unmapped = run_module("mdev_guest_xml", **{**options, "guests": [{"name": "web"}]})
        assert unmapped["error"]["unmapped"] == [A]
        unknown = run_module("mdev_guest_xml", **{**options, "guests": [{"name": "no such"}]})
        assert unknown["error"]["kind"] == "libvirt_error"
        info = run_module("mdev_guest_info", guest_names=["web"])
        assert (info["guests"][0]["uuid"], info["guests"][0]["error"]) == (uuid, None)
        assert [device["uuid"] for device in info["guests"][0]["devices"]] == [A]
        assert run_module("mdev_guest_xml", state="absent", **options)["changed"] is True
        assert list(folder.iterdir()) == []
    finally:
        sh("virsh undefine web")


def test_a_guest_whose_name_is_the_id_of_another(host: Host, start_guest: Start) -> None:
    """virsh takes the name for an id first. Real ids are numbers that libvirt gives, so the name is chosen last."""
    host.device(uuid=A, type="mtty-1", persistent=False)
    start_guest("web", A)
    name = sh("virsh domid web").strip()
    hostdev = f"<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='{B}'/></source></hostdev>"
    sh(
        "virsh define /dev/stdin",
        f"<domain type='qemu'><name>{name}</name><uuid>{guest_uuid(name)}</uuid><memory>65536</memory>"
        "<os><type machine='q35'>hvm</type></os>"
        f"<devices>{hostdev}</devices></domain>",
    )
    try:
        guests = run_module("mdev_guest_info")["guests"]
        uuids = {guest["name"]: [device["uuid"] for device in guest["devices"]] for guest in guests}
        assert uuids == {"web": [A], name: [B]}
    finally:
        sh(f"virsh undefine {guest_uuid(name)}")


REFUSALS: dict[str, tuple[list[Result], str]] = {
    "type": ([guest("web", A, type="nvidia-471", type_name="NVIDIA A100-8C")], "type"),
    "room": (
        [
            guest("web", *(f"{number:08x}-2222-3333-4444-555555555555" for number in range(20))),
            guest("db", *(f"{number:08x}-2222-3333-4444-666666666666" for number in range(5))),
        ],
        "room",
    ),
    "another type's UUID": ([guest("web", FOREIGN)], "uuid"),
    "another API": ([guest("web", A, device_api="vfio-ccw")], "device_api"),
    "attributes": ([guest("web", A, attributes=[{"name": "no_such", "value": "1"}])], "attributes"),
}


@pytest.mark.parametrize(("guests", "check"), REFUSALS.values(), ids=REFUSALS)
def test_nothing_is_changed_if_a_check_fails(host: Host, guests: list[Result], check: str) -> None:
    host.device(uuid=FOREIGN, type="mtty-2", persistent=False)
    host.device(uuid=B, type="mtty-1", persistent=False)
    before = host.info()
    checked, refused = migration(check=True, guests=guests), migration(guests=guests)
    assert checked["msg"] == refused["msg"]
    assert refused["error"]["kind"] == "not_ready"
    assert failed_checks(refused) == {check}
    assert host.info()["devices"] == before["devices"]
    assert records() == set()


CRASH = """
import json, os, signal, sys
sys.path[:0] = ["/opt/collection/tests"]
import conftest
from run_module import run_module
from ansible_collections.vfio.mdev.plugins.module_utils._host.sysfs_writer import SysfsWriter
left = int(sys.argv[1])

def counted(real):
    def call(*arguments, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*arguments, **more)
    return call

SysfsWriter.write = counted(SysfsWriter.write)
os.rename = counted(os.rename)
run_module("mdev_migration", **json.loads(sys.argv[2]))
"""


_STEPS = 7
# The hosts of two releases share the steps, since each takes half a minute: the kernel's part is the same on both.
_FIRST_STEP = platform.freedesktop_os_release()["VERSION_CODENAME"] == "bookworm"


@pytest.mark.parametrize("step", range(_FIRST_STEP, _STEPS + 1, 2))
def test_killed_at_any_step(host: Host, step: int) -> None:
    """Steps: two records, a removal, two creations, two records again. Both a new run and a rollback complete it."""
    host.device(uuid=A, type="mtty-1", persistent=False)
    arguments: Result = {"source": "gpu-1", "driver_match": "ignore", "guests": [guest("web", A), guest("db", B)]}
    for after, expected in ((arguments, {A, B}), ({"state": "rolled_back"}, {A})):
        killed = subprocess.run(
            [sys.executable, "-c", CRASH, str(step), json.dumps(arguments)],
            cwd="/opt/collection/tests",
            env={**os.environ, "PYTHONPATH": "/opt/collection:/opt/collection/tests"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert killed.returncode == (-signal.SIGKILL if step < _STEPS else 0), killed.stderr
        assert "msg" not in migration(**after)
        assert active() == expected
        assert "msg" not in migration(state="rolled_back")
        assert active() == {A}
        assert records() == set()
