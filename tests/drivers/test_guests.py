# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests with names that mislead virsh, with XML that is refused, and with devices that libvirt does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from run_module import run_module

from drivers.kit.isolated_host import Boot
from drivers.nvidia import t4

A, B, C = (f"{digit * 8}-1111-4111-8111-111111111111" for digit in "abc")
FIRST, SECOND = (f"{digit * 8}-5555-4666-8777-888888888888" for digit in "12")
QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"


def domain(name: str, uuid: str, *devices: str, more: str = "") -> str:
    hostdevs = "".join(
        f"<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='{device}'/></source></hostdev>"
        for device in devices
    )
    return f"<domain {QEMU}><name>{name}</name><uuid>{uuid}</uuid><devices>{hostdevs}</devices>{more}</domain>"


def devices(guests: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {guest["name"]: [device["uuid"] for device in guest["devices"]] for guest in guests}


@pytest.mark.parametrize("name", ["5", "--all", "-1"])
def test_a_guest_is_never_taken_for_another(boot: Boot, name: str) -> None:
    """virsh looks for an id first: "5" is guest web, which has the id 5. Other names are options of virsh."""
    host = boot(t4())
    host.add_guest("web", domain("web", FIRST, A))
    host.add_guest(name, domain(name, SECOND, B))
    host.number_guests({"web": "5", name: "9"})
    assert devices(host.guest_info()) == {"web": [A], name: [B]}
    assert devices(host.guest_info(name)) == devices(host.guest_info(SECOND)) == {name: [B]}
    host.guest_xml(guests=[{"name": name, "uuid_map": {B: C}}])
    assert f"<name>{name}</name>" in (host.etc / f"outgoing/{SECOND}.xml").read_text()


def test_files_are_named_by_uuid(boot: Boot) -> None:
    """web.persistent.xml would be a file of two guests."""
    host = boot(t4())
    host.add_guest("web", domain("web", FIRST))
    host.add_guest("web.persistent", domain("web.persistent", SECOND))
    guests = [{"name": "web"}, {"name": "web.persistent"}]
    written = host.guest_xml(guests=guests)["files"]
    assert len({path for files in written for path in (files["xml"], files["persistent_xml"])}) == 4
    host.remove_guest("web")
    host.guest_xml(guests=guests[:1], state="absent")
    assert sorted(path.name for path in (host.etc / "outgoing").iterdir()) == [
        f"{SECOND}.persistent.xml",
        f"{SECOND}.xml",
    ]


def test_only_root_can_read_the_xml_and_nothing_is_left(boot: Boot) -> None:
    host = boot(t4())
    host.add_guest("web", domain("web", FIRST))
    folder = host.etc / "outgoing"
    folder.mkdir()
    folder.chmod(0o777)
    refused = host.guest_xml(guests=[{"uuid": FIRST}])
    # It may be /tmp: its mode is not this collection's to change.
    assert refused["failed"] and "other users can write" in refused["msg"]
    assert (list(folder.iterdir()), folder.stat().st_mode & 0o777) == ([], 0o777)
    folder.rmdir()
    host.guest_xml(guests=[{"uuid": FIRST}])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    # A writer that was killed leaves a hidden file with the same passwords.
    (folder / f".{FIRST}.xml.new").write_text("s3cret")
    assert host.guest_xml(guests=[{"uuid": FIRST}], state="absent")["changed"] is True
    assert list(folder.iterdir()) == []
    assert host.guest_xml(guests=[{"uuid": FIRST}], state="absent")["changed"] is False


BROKEN = {
    "an address that is not a number": "<hostdev type='pci'><source><address bus='zz' slot='0' function='0'/></source>"
    "</hostdev>",
    "an mdev without UUID": "<hostdev type='mdev'><source><address/></source></hostdev>",
}


@pytest.mark.parametrize("hostdev", BROKEN.values(), ids=BROKEN)
def test_a_bad_guest_is_an_error_of_this_guest_only(boot: Boot, hostdev: str) -> None:
    host = boot(t4())
    host.add_guest("bad", domain("bad", FIRST).replace("<devices>", f"<devices>{hostdev}"))
    host.add_guest("good", domain("good", SECOND, A))
    bad, good = host.guest_info()
    assert (bad["name"], bad["devices"], bad["state"]) == ("bad", None, "running")
    assert "the guest's XML was refused" in bad["error"]
    assert (good["error"], good["devices"][0]["uuid"]) == (None, A)
    refused = host.migration(guests=[bad])
    assert refused.get("error", {}).get("kind") == "not_ready", refused
    assert "its devices are unknown" in refused["msg"]


def test_devices_on_qemus_command_line_are_reported_and_refused(boot: Boot) -> None:
    host = boot(t4())
    argument = f"<qemu:arg value='vfio-pci,sysfsdev=/sys/bus/mdev/devices/{B}'/>"
    xml = domain("osx", FIRST, A, more=f"<qemu:commandline>{argument}</qemu:commandline>")
    host.device(uuid=A, type="nvidia-231")
    host.add_guest("osx", xml)
    [osx] = host.guest_info()
    assert osx["command_line_devices"] == [B]
    host.device(uuid=A, state="absent")
    host.remove_guest("osx")
    for guest in (osx, {**osx, "xml": xml, "command_line_devices": []}):
        refused = host.migration(guests=[guest], uuid_policy="new")
        assert f"{B} is on QEMU's command line" in refused["msg"]
    assert host.info()["devices"] == []


@pytest.mark.parametrize("module_name", ["mdev_migration", "mdev_guest_xml"])
def test_passwords_are_not_logged_and_results_are_not_masked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module_name: str
) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _self, message, **_more: logged.append(message))
    xml = domain("web", FIRST).replace("<devices>", "<devices>\n<graphics type='vnc' passwd='s3cret'/>")
    guest = {"name": "web", "uuid": FIRST, "xml": xml}
    options = {"state": "absent", "xml_path": str(tmp_path)} if module_name == "mdev_guest_xml" else {"source": "gpu-1"}
    result = run_module(module_name, guests=[guest], **options)
    assert "********" not in str(result)
    assert "VALUE_SPECIFIED" not in str(result)
    assert len(logged) == 1
    assert "s3cret" not in logged[0]
