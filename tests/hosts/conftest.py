# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests that run as root on a lab host, with a real kernel, real devices, mdevctl and libvirtd.

Only use a disposable host: all devices and definitions are removed after each test.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import libvirt
import pytest
from lxml import etree
from run_module import run_module

Result = dict[str, Any]

DEVICES = Path("/sys/bus/mdev/devices")
DEFINITIONS = Path("/etc/mdevctl.d")

_ALL = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE | libvirt.VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE

# Fields that differ between two results about the same device even if nothing changed.
_VARIABLE_FIELDS = {"drift": [], "xml": None, "attributes": []}


def sh(command: str, stdin: str = "", fails: bool = False) -> str:
    """The output of a command line. It must succeed unless fails is set."""
    completed = subprocess.run(
        ["sh", "-c", command], input=stdin, capture_output=True, text=True, timeout=120, check=False
    )
    assert fails or completed.returncode == 0, f"{command}: {completed.stderr}"
    return completed.stdout


def eventually(observe: Callable[[], Any], expected: Any, seconds: float = 10.0) -> None:
    """Assert a value that may need some time: libvirt is notified of a change by events, a moment later."""
    end = time.monotonic() + seconds
    while (observed := observe()) != expected and time.monotonic() < end:
        time.sleep(0.1)
    assert observed == expected


class Host:
    """The host, through the modules and through the tools of an operator."""

    def __init__(self, schemas: Path) -> None:
        self._nodedev = etree.RelaxNG(etree.parse(schemas / "nodedev.rng"))
        self._libvirt = libvirt.open("qemu:///system")

    def info(self, **arguments: Any) -> Result:
        return run_module("mdev_info", **arguments)

    def device(self, **arguments: Any) -> Result:
        return run_module("mdev_device", **arguments)

    def set(self, **arguments: Any) -> Result:
        return run_module("mdev_set", **arguments)

    def apply(self, changed: bool = True, **arguments: Any) -> Result:
        """Run mdev_device in check mode, for real and again, and compare with mdev_info, mdevctl and libvirt.

        Devices are not persistent by default. Returns the result of the real run.
        """
        arguments = {"persistent": False, **arguments}
        before = self.info()
        checked, applied, again = self._apply(self.device, changed, arguments)
        self._assert_device(checked["device"], {**(applied["device"] or {}), "iommu_group": None})
        self._assert_info(before, applied, again)
        self.assert_tools_agree()
        return applied

    def apply_set(self, changed: bool = True, **arguments: Any) -> Result:
        """The same with mdev_set. The default name is tenant-a."""
        arguments = {"name": "tenant-a", "persistent": False, **arguments}
        before = self.info()
        checked, applied, again = self._apply(self.set, changed, arguments)
        for field in ("entries", "placements", "kept"):
            assert checked[field] == applied[field]
        devices = self._comparable(applied["devices"])
        assert self._comparable(checked["devices"]) == devices == self._comparable(again["devices"])
        affected = {item["uuid"] for item in (*applied["actions"], *applied["devices"])}
        others = [device for device in before["devices"] if device["uuid"] not in affected]
        assert self._comparable(self.info()["devices"]) == self._comparable([*others, *applied["devices"]])
        self.assert_tools_agree()
        return applied

    def _apply(self, module: Callable[..., Result], changed: bool, arguments: Result) -> list[Result]:
        """Run in check mode without changes, for real with the same result, and again without changes."""
        before = self.info()
        checked = module(check=True, diff=True, **arguments)
        assert "msg" not in checked, checked["msg"]
        self._assert_same(before, self.info())
        applied = module(diff=True, **arguments)
        assert "msg" not in applied, applied["msg"]
        again = module(**arguments)
        assert (checked["changed"], applied["changed"], again["changed"]) == (changed, changed, False)
        assert (checked["actions"], again["actions"]) == (applied["actions"], [])
        assert checked["diff"] == applied["diff"]
        return [checked, applied, again]

    @staticmethod
    def _comparable(devices: list[Result]) -> list[Result]:
        """Devices by UUID, without variable fields and without the IOMMU group, which the kernel assigns."""
        plain = [{**device, **_VARIABLE_FIELDS, "iommu_group": None} for device in devices]
        return sorted(plain, key=lambda device: str(device["uuid"]))

    @staticmethod
    def _assert_device(device: Result | None, expected: Result) -> None:
        """Equal except for the IOMMU group, which the kernel assigns."""
        assert {**(device or {}), "iommu_group": None} == {"iommu_group": None, **expected}

    @staticmethod
    def _assert_same(before: Result, after: Result) -> None:
        assert (after["devices"], after["types"]) == (before["devices"], before["types"])

    def _assert_info(self, before: Result, applied: Result, again: Result) -> None:
        """mdev_info returns the same device as the module, and all other devices as before."""
        device, actions = applied["device"], applied["actions"]
        uuid = device["uuid"] if device else actions[0]["uuid"] if actions else None
        after = self.info()["devices"]
        expected = [{**device, **_VARIABLE_FIELDS}] if device else []
        assert [{**shown, **_VARIABLE_FIELDS} for shown in after if shown["uuid"] == uuid] == expected
        assert [{**shown, **_VARIABLE_FIELDS} for shown in [again["device"]] if shown] == expected
        others = [other for other in before["devices"] if other["uuid"] != uuid]
        assert [other for other in after if other["uuid"] != uuid] == others

    def expect_refusal(self, error_kind: str, words: str, only_when_applied: bool = False, **arguments: Any) -> Result:
        """A request that is refused with the same message in check mode and for real, and changes nothing.

        only_when_applied: the kernel or a tool refuses, which no plan can predict. Devices that were removed before the
        refusal are recreated.
        """
        return self._refused(self.device, error_kind, words, only_when_applied, {"persistent": False, **arguments})

    def expect_set_refusal(
        self, error_kind: str, words: str, only_when_applied: bool = False, **arguments: Any
    ) -> Result:
        """The same with mdev_set. The default name is tenant-a."""
        arguments = {"name": "tenant-a", "persistent": False, **arguments}
        return self._refused(self.set, error_kind, words, only_when_applied, arguments)

    def _refused(
        self, module: Callable[..., Result], error_kind: str, words: str, only_when_applied: bool, arguments: Result
    ) -> Result:
        before = self.info()
        checked = module(check=True, **arguments)
        refused = module(**arguments)
        assert refused.get("failed"), refused
        assert refused["error"]["kind"] == error_kind, refused
        assert re.search(words, refused["msg"]), refused["msg"]
        after = self.info()
        if only_when_applied:
            assert "failed" not in checked
            assert self._comparable(after["devices"]) == self._comparable(before["devices"])
            assert after["types"] == before["types"]
        else:
            assert checked["msg"] == refused["msg"]
            self._assert_same(before, after)
        return refused

    def assert_tools_agree(self) -> None:
        """mdevctl and libvirt list and describe the same devices as mdev_info."""
        devices = self.info(xml=True)["devices"]
        assert self._mdevctl_active() == {_key(device) for device in devices if device["active"]}
        defined = {(*_key(device), device["autostart"]) for device in devices if device["defined"]}
        assert self._mdevctl_defined() == defined
        self.assert_libvirt_lists(
            {device["nodedev"]: (device["active"], device["defined"], device["autostart"]) for device in devices}
        )
        for device in devices:
            self._nodedev.assertValid(etree.fromstring(device["xml"]))
            # libvirt has no node device for the parents mdpy and mbochs, and reports "computer" instead.
            if device["parent"] == "mtty":
                eventually(lambda name=device["nodedev"]: self._libvirt_xml(name), _plain(device["xml"]))

    @staticmethod
    def _mdevctl_active() -> set[tuple[str, str, str]]:
        lines = (line.split() for line in sh("mdevctl list").splitlines())
        # mdevctl 1.2 prints an empty line if there is nothing to list.
        return {(line[0], line[1], line[2]) for line in lines if line}

    @staticmethod
    def _mdevctl_defined() -> set[tuple[str, str, str, bool]]:
        stored = json.loads(sh("mdevctl list -d --dumpjson") or "[]")
        return {
            (uuid, parent, definition["mdev_type"], definition["start"] == "auto")
            for group in stored
            for parent, entries in group.items()
            for entry in entries
            for uuid, definition in entry.items()
        }

    def libvirt_states(self) -> dict[str, tuple[bool, bool, bool]]:
        """Node devices by name: active, persistent, autostart.

        For a short-lived device, libvirt 11.3 keeps an entry that is neither active nor persistent.
        """
        states = {}
        for node_device in self._libvirt.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV | _ALL):
            # It may disappear after it was listed.
            with contextlib.suppress(libvirt.libvirtError):
                states[node_device.name()] = (
                    bool(node_device.isActive()),
                    bool(node_device.isPersistent()),
                    bool(node_device.autostart()),
                )
        return {name: state for name, state in states.items() if state[0] or state[1]}

    def assert_libvirt_lists(self, expected: dict[str, tuple[bool, bool, bool]]) -> None:
        """libvirt lists these devices.

        If changes follow each other quickly, libvirt 9.0 and 11.3 may keep outdated information until they are
        restarted: a removed device stays active, or an existing one is not listed. In this case, restart libvirt and
        warn.
        """
        try:
            eventually(self.libvirt_states, expected)
        except AssertionError as error:
            warnings.warn(f"libvirt kept outdated information and was restarted: {error}", stacklevel=2)
            self._libvirt.close()
            sh("systemctl restart libvirtd.service")
            self._libvirt = libvirt.open("qemu:///system")
            eventually(self.libvirt_states, expected)

    def _libvirt_xml(self, name: str) -> str:
        """The device's XML. Empty while libvirt does not have it: it may handle older events about the device."""
        try:
            return _plain(self._libvirt.nodeDeviceLookupByName(name).XMLDesc())
        except libvirt.libvirtError:
            return ""


def _key(device: Result) -> tuple[str, str, str]:
    return (device["uuid"], device["parent"], device["type"])


def _plain(text: str) -> str:
    """Normalize quotes and indentation of XML, and remove what libvirt can't know.

    libvirt reports no attributes of an active device, and group 0 for a device that is only defined.
    """
    root = etree.fromstring(text, etree.XMLParser(remove_blank_text=True))
    [capability] = root.findall("capability")
    active = root.find("path") is not None
    for element in capability.findall("attr" if active else "iommuGroup"):
        capability.remove(element)
    return etree.tostring(root).decode()


@pytest.fixture(scope="session")
def shared_host(libvirt_schemas: Path) -> Host:
    return Host(libvirt_schemas)


@pytest.fixture
def host(shared_host: Host) -> Iterator[Host]:
    yield shared_host
    sh("for guest in $(virsh list --uuid); do virsh destroy $guest; done")
    for device in DEVICES.iterdir():
        (device / "remove").write_text("1")
    # Keep the folders: for each new folder, libvirt 9.0 watches all folders once more, and gets slower and slower.
    for file in DEFINITIONS.glob("*/*"):
        if file.is_file():
            file.unlink()
    # libvirt must have processed all events of this test before the next one starts.
    shared_host.assert_libvirt_lists({})


@pytest.fixture
def guest(host: Host) -> Callable[[str, str], None]:
    """Start a real guest that uses a device: guest(name, uuid)."""

    def start(name: str, uuid: str) -> None:
        template = (Path(__file__).parents[1] / "lab" / "guest.xml").read_text()
        named = template.replace("<name>@NAME@</name>", f"<name>{name}</name><uuid>{guest_uuid(name)}</uuid>")
        sh("virsh create /dev/stdin", named.replace("@UUID@", uuid))

    return start


def guest_uuid(name: str) -> str:
    """The UUID in libvirt of a guest that a test starts."""
    return str(uuid5(NAMESPACE_DNS, name))
