# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A destination on a real kernel: prepared, prepared again, committed, rolled back, and killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import run_module
from conftest import DEVICES, Host, Result, sh

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
    """A guest as the source tells of it. Not running, so that old versions of QEMU do."""
    return {"name": name, "running": False, "devices": [{"uuid": uuid, **PORT, **device} for uuid in uuids]}


def migration(check: bool = False, **arguments: Any) -> Result:
    given: Result = {"source": "gpu-1", "driver_match": "ignore", "wait": 0, **arguments}
    return run_module("mdev_migration", check=check, **given)


def active() -> set[str]:
    return {path.name for path in DEVICES.iterdir()}


def records() -> set[str]:
    return {path.name for path in RECORDS.glob("*")}


def three_times(**arguments: Any) -> Result:
    """In check mode, which changes nothing, for real with the same result, and again, which changes nothing."""
    before = (active(), records())
    checked = migration(check=True, **arguments)
    assert "msg" not in checked, checked["msg"]
    assert (active(), records()) == before
    done = migration(**arguments)
    assert "msg" not in done, done["msg"]
    again = migration(**arguments)
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert (checked["actions"], again["actions"]) == (done["actions"], [])
    if arguments.get("state") is None:
        assert (checked["guests"], again["guests"]) == (done["guests"], done["guests"])
        assert checked["checks"] == done["checks"]
    return done


def test_guests_are_prepared_and_rolled_back(host: Host) -> None:
    host.device(uuid=FOREIGN, type="mtty-2", persistent=False)
    guests = [guest("web", A, B), guest("db", "44444444-2222-3333-4444-555555555555"), guest("none")]
    done = three_times(guests=guests)
    assert len(active()) == 4
    assert records() == {"web.json", "db.json", "none.json"}
    assert done["guests"][0]["uuids"] == {A: A, B: B}
    host.assert_all_see_the_same()
    three_times(state="rolled_back")
    assert active() == {FOREIGN}
    assert records() == set()
    host.assert_all_see_the_same()


def test_uuids_of_the_destination(host: Host) -> None:
    """New ones are no set's, and another choice takes the first one's devices away."""
    done = three_times(guests=[guest("web", A)], uuids="new")
    [new] = active()
    assert done["guests"][0]["uuids"] == {A: new}
    host.set(name="tenant-a", devices=[], purge="owned")
    assert active() == {new}
    three_times(guests=[guest("web", A)], uuids={A: B})
    assert active() == {B}


def test_the_xml_of_a_guest_that_nobody_asked_for(host: Host) -> None:
    hostdev = f"<hostdev type='mdev'><source><address uuid='{A}'/></source></hostdev>"
    xml = f"<domain><name>web</name><devices>{hostdev}</devices></domain>"
    given = {"xml": xml, "persistent_xml": xml, "running": False, "devices": [{"uuid": A, "type": "mtty-1"}]}
    done = three_times(guests=[given], uuids={A: B})
    assert done["guests"][0]["xml"] == done["guests"][0]["persistent_xml"] == xml.replace(A, B)
    unknown = migration(guests=[{**given, "devices": []}])
    assert unknown["error"]["unknown"] == [A]


def test_what_was_there_stays_and_is_fresh(host: Host) -> None:
    """A device that is there may be stale. The kernel gives one that is made anew another inode."""
    host.device(uuid=A, type="mtty-1", autostart=False)
    before = (DEVICES / A).stat().st_ino
    done = three_times(guests=[guest("web", A)])
    assert [one["action"] for one in done["actions"]] == ["remove", "create"]
    fresh = (DEVICES / A).stat().st_ino
    assert fresh != before
    three_times(state="rolled_back")
    assert (DEVICES / A).stat().st_ino == fresh
    [device] = host.info()["devices"]
    assert (device["active"], device["defined"]) == (True, True)


def test_after_an_attempt_devices_are_made_anew(host: Host, guest_starts: Start) -> None:
    migration(guests=[guest("web", A)])
    before = (DEVICES / A).stat().st_ino
    guest_starts("web", A)
    refused = migration(guests=[guest("web", A)])
    assert {one["check"] for one in refused["checks"] if not one["ok"] and one["severity"] == "error"} == {
        "guest",
        "uuid",
    }
    sh("virsh destroy web")
    done = three_times(guests=[guest("web", A)])
    assert [one["check"] for one in done["checks"] if not one["ok"] and one["check"] == "stale"] == ["stale"]
    assert (DEVICES / A).stat().st_ino != before


@pytest.fixture
def guest_starts(guest: Start) -> Start:
    """Under another name than this module's own guest()."""
    return guest


def test_what_came_here_is_committed(host: Host, guest_starts: Start) -> None:
    migration(guests=[guest("web", A)])
    missing = migration(state="committed")
    assert missing["error"]["kind"] == "not_migrated"
    guest_starts("web", A)
    in_use = migration(state="rolled_back")
    assert in_use["error"]["kind"] == "in_use"
    three_times(state="committed", persistent=True, autostart=False)
    assert records() == set()
    [device] = host.info()["devices"]
    assert (device["active"], device["defined"], device["in_use"]) == (True, True, True)
    assert migration(state="committed", names=["web"])["changed"] is False
    assert migration(state="committed", names=["db"])["error"]["kind"] == "not_migrated"


def test_a_guest_with_other_devices_is_not_committed(host: Host, guest_starts: Start) -> None:
    host.device(uuid=B, type="mtty-1", persistent=False)
    migration(guests=[guest("web", A)])
    guest_starts("web", B)
    refused = migration(state="committed")
    assert refused["error"]["kind"] == "not_migrated"
    assert B in refused["msg"]
    assert A in refused["msg"]


def test_the_files_for_virsh(host: Host, tmp_path: Path) -> None:
    """They have all that the guest has, its passwords too, and only root can read them."""
    devices = f"<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='{A}'/></source></hostdev>"
    secret = "<graphics type='vnc' passwd='s3cret'/>"
    sh(
        "virsh define /dev/stdin",
        f"<domain type='qemu'><name>web</name><memory>65536</memory><os><type machine='q35'>hvm</type></os>"
        f"<devices>{devices}{secret}</devices></domain>",
    )
    folder = tmp_path / "outgoing"
    asked: Result = {"guests": [{"name": "web", "uuids": {A: B}}], "directory": str(folder)}
    try:
        checked = run_module("mdev_guest_xml", check=True, **asked)
        assert not folder.exists()
        done, again = run_module("mdev_guest_xml", **asked), run_module("mdev_guest_xml", **asked)
        assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False)
        assert checked["files"] == done["files"] == again["files"]
        for path in (Path(done["files"][0][name]) for name in ("xml", "persistent_xml")):
            assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
            assert B in path.read_text()
            assert A not in path.read_text()
            assert "s3cret" in path.read_text()
        unmapped = run_module("mdev_guest_xml", **{**asked, "guests": [{"name": "web"}]})
        assert unmapped["error"]["unmapped"] == [A]
        unknown = run_module("mdev_guest_xml", **{**asked, "guests": [{"name": "no such"}]})
        assert unknown["error"]["kind"] == "guests_unknown"
        info = run_module("mdev_guest_info", names=["web"])
        assert [one["uuid"] for one in info["guests"][0]["devices"]] == [A]
        assert run_module("mdev_guest_xml", state="absent", **asked)["changed"] is True
        assert list(folder.iterdir()) == []
    finally:
        sh("virsh undefine web")


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
def test_nothing_is_touched_where_something_is_wrong(host: Host, guests: list[Result], check: str) -> None:
    host.device(uuid=FOREIGN, type="mtty-2", persistent=False)
    host.device(uuid=B, type="mtty-1", persistent=False)
    before = host.info()
    checked, refused = migration(check=True, guests=guests), migration(guests=guests)
    assert checked["msg"] == refused["msg"]
    assert refused["error"]["kind"] == "not_ready"
    assert {one["check"] for one in refused["checks"] if not one["ok"] and one["severity"] == "error"} == {check}
    assert host.info()["devices"] == before["devices"]
    assert records() == set()


CRASH = """
import json, os, signal, sys
sys.path[:0] = ["/opt/collection/tests"]
import conftest
from asking import run_module
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev import kernel as _kernel
left = int(sys.argv[1])

def counted(real):
    def call(*arguments, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*arguments, **more)
    return call

_kernel.write = counted(_kernel.write)
_kernel.Remover.write = counted(_kernel.Remover.write)
os.rename = counted(os.rename)
run_module("mdev_migration", **json.loads(sys.argv[2]))
"""


_STEPS = 7


@pytest.mark.parametrize("step", range(_STEPS + 1))
def test_killed_at_any_step(host: Host, step: int) -> None:
    """Steps: two records, a removal, two creations, two records again. A new run, or the way back, ends clean."""
    host.device(uuid=A, type="mtty-1", persistent=False)
    arguments: Result = {"source": "gpu-1", "driver_match": "ignore", "guests": [guest("web", A), guest("db", B)]}
    for after, wanted in ((arguments, {A, B}), ({"state": "rolled_back"}, {A})):
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
        assert active() == wanted
        assert "msg" not in migration(state="rolled_back")
        assert active() == {A}
        assert records() == set()
