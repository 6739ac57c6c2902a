# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""These tests run on a lab host, as root: real kernel, real devices, real mdevctl, real libvirtd.

The host must be one that can be thrown away: devices and definitions are removed after each test.
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

import libvirt
import pytest
from asking import run_module
from lxml import etree

Result = dict[str, Any]

DEVICES = Path("/sys/bus/mdev/devices")
DEFINITIONS = Path("/etc/mdevctl.d")

_ALL = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE | libvirt.VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE

# What differs between two looks at the same device though nothing changed.
_EACH_ITS_OWN = {"drift": [], "xml": None, "hostdev_xml": None, "attributes": []}


def sh(command: str, stdin: str = "", fails: bool = False) -> str:
    """What a command line prints. It must succeed unless it may fail."""
    done = subprocess.run(["sh", "-c", command], input=stdin, capture_output=True, text=True, timeout=120, check=False)
    assert fails or done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def eventually(look: Callable[[], Any], wanted: Any, seconds: float = 10.0) -> None:
    """libvirt learns of a change from events, a moment later."""
    end = time.monotonic() + seconds
    while (seen := look()) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    assert seen == wanted


class Host:
    """The host, asked by the modules and by the tools that an operator has."""

    def __init__(self, schemas: Path) -> None:
        self._nodedev = etree.RelaxNG(etree.parse(schemas / "nodedev.rng"))
        self._libvirt = libvirt.open("qemu:///system")

    def info(self, **arguments: Any) -> Result:
        return run_module("mdev_info", **arguments)

    def device(self, **arguments: Any) -> Result:
        return run_module("mdev_device", **arguments)

    def set(self, **arguments: Any) -> Result:
        return run_module("mdev_set", **arguments)

    def four_times(self, changed: bool = True, **arguments: Any) -> Result:
        """One request in check mode, for real, again, and as mdev_info, mdevctl and libvirt then see it.

        Devices are not persistent unless it is said. Returns the real run's result.
        """
        arguments = {"persistent": False, **arguments}
        before = self.info()
        checked, done, again = self._three_times(self.device, changed, arguments)
        self._assert_device(checked["device"], {**(done["device"] or {}), "iommu_group": None})
        self._assert_seen(before, done, again)
        self.assert_all_see_the_same()
        return done

    def set_four_times(self, changed: bool = True, **arguments: Any) -> Result:
        """The same for a set, tenant-a where no name is given."""
        arguments = {"name": "tenant-a", "persistent": False, **arguments}
        before = self.info()
        checked, done, again = self._three_times(self.set, changed, arguments)
        for same in ("entries", "placements", "skipped"):
            assert checked[same] == done[same]
        assert self._looks(checked["devices"]) == self._looks(done["devices"]) == self._looks(again["devices"])
        touched = {one["uuid"] for one in (*done["actions"], *done["devices"])}
        others = [one for one in before["devices"] if one["uuid"] not in touched]
        assert self._looks(self.info()["devices"]) == self._looks([*others, *done["devices"]])
        self.assert_all_see_the_same()
        return done

    def _three_times(self, module: Callable[..., Result], changed: bool, arguments: Result) -> list[Result]:
        """In check mode, which changes nothing, for real with the same result, and again, which changes nothing."""
        before = self.info()
        checked = module(check=True, diff=True, **arguments)
        assert "msg" not in checked, checked["msg"]
        self._assert_same(before, self.info())
        done = module(diff=True, **arguments)
        assert "msg" not in done, done["msg"]
        again = module(**arguments)
        assert (checked["changed"], done["changed"], again["changed"]) == (changed, changed, False)
        assert (checked["actions"], again["actions"]) == (done["actions"], [])
        assert checked["diff"] == done["diff"]
        return [checked, done, again]

    @staticmethod
    def _looks(devices: list[Result]) -> list[Result]:
        """Devices by UUID, without what differs between two looks and without the group, which the kernel gives."""
        plain = [{**one, **_EACH_ITS_OWN, "iommu_group": None} for one in devices]
        return sorted(plain, key=lambda one: str(one["uuid"]))

    @staticmethod
    def _assert_device(seen: Result | None, wanted: Result) -> None:
        """Equal but for the group, which the kernel gives."""
        assert {**(seen or {}), "iommu_group": None} == {"iommu_group": None, **wanted}

    @staticmethod
    def _assert_same(before: Result, after: Result) -> None:
        assert (after["devices"], after["types"]) == (before["devices"], before["types"])

    def _assert_seen(self, before: Result, done: Result, again: Result) -> None:
        """mdev_info shows what the module returned, and all other devices as they were."""
        uuid = done["device"]["uuid"] if done["device"] else done["actions"][0]["uuid"] if done["actions"] else None
        after = self.info()["devices"]
        wanted = [{**done["device"], **_EACH_ITS_OWN}] if done["device"] else []
        assert [{**one, **_EACH_ITS_OWN} for one in after if one["uuid"] == uuid] == wanted
        assert [{**one, **_EACH_ITS_OWN} for one in [again["device"]] if one] == wanted
        others = [one for one in before["devices"] if one["uuid"] != uuid]
        assert [one for one in after if one["uuid"] != uuid] == others

    def refused(self, kind: str, words: str, only_for_real: bool = False, **arguments: Any) -> Result:
        """One request that is refused with the same words in check mode and for real, and changes nothing.

        only_for_real: the kernel or a tool refuses, which no plan can know. What was removed by then is made again.
        """
        return self._refused(self.device, kind, words, only_for_real, {"persistent": False, **arguments})

    def set_refused(self, kind: str, words: str, only_for_real: bool = False, **arguments: Any) -> Result:
        """The same for a set, tenant-a where no name is given."""
        arguments = {"name": "tenant-a", "persistent": False, **arguments}
        return self._refused(self.set, kind, words, only_for_real, arguments)

    def _refused(
        self, module: Callable[..., Result], kind: str, words: str, only_for_real: bool, arguments: Result
    ) -> Result:
        before = self.info()
        checked = module(check=True, **arguments)
        refused = module(**arguments)
        assert refused.get("failed"), refused
        assert refused["error"]["kind"] == kind, refused
        assert re.search(words, refused["msg"]), refused["msg"]
        after = self.info()
        if only_for_real:
            assert "failed" not in checked
            assert (self._looks(after["devices"]), after["types"]) == (self._looks(before["devices"]), before["types"])
        else:
            assert checked["msg"] == refused["msg"]
            self._assert_same(before, after)
        return refused

    def assert_all_see_the_same(self) -> None:
        """mdevctl and libvirt list and describe the devices that mdev_info shows."""
        devices = self.info(xml=True)["devices"]
        assert self._mdevctl_active() == {_key(one) for one in devices if one["active"]}
        assert self._mdevctl_defined() == {(*_key(one), one["autostart"]) for one in devices if one["defined"]}
        wanted = {one["nodedev"]: (one["active"], one["defined"], one["autostart"]) for one in devices}
        self.assert_libvirt_sees(wanted)
        for one in devices:
            self._nodedev.assertValid(etree.fromstring(one["xml"]))
            # libvirt has no node device for the parents mdpy and mbochs, and says "computer" instead.
            if one["parent"] == "mtty":
                eventually(lambda name=one["nodedev"]: self._libvirt_xml(name), _plain(one["xml"]))

    @staticmethod
    def _mdevctl_active() -> set[tuple[str, str, str]]:
        lines = (line.split() for line in sh("mdevctl list").splitlines())
        # mdevctl 1.2 prints an empty line where there is nothing to list.
        return {(line[0], line[1], line[2]) for line in lines if line}

    @staticmethod
    def _mdevctl_defined() -> set[tuple[str, str, str, bool]]:
        stored = json.loads(sh("mdevctl list -d --dumpjson") or "[]")
        return {
            (uuid, parent, facts["mdev_type"], facts["start"] == "auto")
            for group in stored
            for parent, entries in group.items()
            for entry in entries
            for uuid, facts in entry.items()
        }

    def libvirt_view(self) -> dict[str, tuple[bool, bool, bool]]:
        """Node devices by name: active, persistent, autostart.

        Of a device that lived shortly libvirt 11.3 keeps a ghost that is neither active nor persistent.
        """
        found = self._libvirt.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV | _ALL)
        views = {}
        for one in found:
            # It may go between being listed and being looked at.
            with contextlib.suppress(libvirt.libvirtError):
                views[one.name()] = (bool(one.isActive()), bool(one.isPersistent()), bool(one.autostart()))
        return {name: view for name, view in views.items() if view[0] or view[1]}

    def assert_libvirt_sees(self, wanted: dict[str, tuple[bool, bool, bool]]) -> None:
        """libvirt lists these devices.

        Where changes follow each other fast, libvirt 9.0 and 11.3 may keep an old view (a device that is gone stays
        active, one that is there is not listed) until they are restarted: then that is done, and said in a warning.
        """
        try:
            eventually(self.libvirt_view, wanted)
        except AssertionError as error:
            warnings.warn(f"libvirt kept an old view and was restarted: {error}", stacklevel=2)
            self._libvirt.close()
            sh("systemctl restart libvirtd.service")
            self._libvirt = libvirt.open("qemu:///system")
            eventually(self.libvirt_view, wanted)

    def _libvirt_xml(self, name: str) -> str:
        return _plain(self._libvirt.nodeDeviceLookupByName(name).XMLDesc())


def _key(device: Result) -> tuple[str, str, str]:
    return (device["uuid"], device["parent"], device["type"])


def _plain(text: str) -> str:
    """XML without regard to quotes and indentation, and without what libvirt can't know.

    It has no attributes of an active device, and for one that is only defined it says group 0.
    """
    root = etree.fromstring(text, etree.XMLParser(remove_blank_text=True))
    [capability] = root.findall("capability")
    active = root.find("path") is not None
    for unknown in capability.findall("attr" if active else "iommuGroup"):
        capability.remove(unknown)
    return etree.tostring(root).decode()


@pytest.fixture(scope="session")
def the_host(libvirt_schemas: Path) -> Host:
    return Host(libvirt_schemas)


@pytest.fixture
def host(the_host: Host) -> Iterator[Host]:
    yield the_host
    sh("for guest in $(virsh list --name); do virsh destroy $guest; done")
    for device in DEVICES.iterdir():
        (device / "remove").write_text("1")
    # Not the folders: for each that appears, libvirt 9.0 watches all once more, and gets slower and slower.
    for file in DEFINITIONS.glob("*/*"):
        if file.is_file():
            file.unlink()
    # The next test must not meet what libvirt has yet to learn of this one.
    the_host.assert_libvirt_sees({})


@pytest.fixture
def guest(host: Host) -> Callable[[str, str], None]:
    """Starts a real guest that has a device: guest(name, uuid)."""

    def start(name: str, uuid: str) -> None:
        template = (Path(__file__).parents[1] / "lab" / "guest.xml").read_text()
        sh("virsh create /dev/stdin", template.replace("@NAME@", name).replace("@UUID@", uuid))

    return start
