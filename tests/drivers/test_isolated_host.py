# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The isolated host itself: modules work at the real paths, and the tester's machine stays unchanged."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from drivers.hostile import Faulty, slow
from drivers.kit import namespace
from drivers.kit.isolated_host import Boot
from drivers.samples import mdpy, mtty

UUID = "11111111-2222-3333-4444-555555555555"


def test_the_real_paths_belong_to_the_isolated_host(boot: Boot) -> None:
    host = boot(mtty())
    created = host.device(uuid=UUID, type="mtty-1", persistent=True)
    assert created["device"]["autostart"] is True
    [shown] = host.info(xml=True)["devices"]
    assert f"<path>/sys/devices/virtual/mtty/mtty/{UUID}</path>" in shown["xml"]
    stored = json.loads(host.definition("mtty", UUID).read_text())
    assert stored == {"mdev_type": "mtty-1", "start": "auto", "attrs": []}
    # Nothing of it is visible on the tester's machine.
    assert not Path("/etc/mdevctl.d/mtty", UUID).exists()
    assert not Path("/sys/bus/mdev/devices", UUID).exists()


def nested_pids() -> set[str]:
    """The innermost ids of the processes in namespaces below this one (proc(5), NSpid)."""
    lines = []
    for status in Path("/proc").glob("[0-9]*/status"):
        # A process may end before its file is read.
        with suppress(OSError):
            lines += [line.split()[1:] for line in status.read_text().splitlines() if line.startswith("NSpid:")]
    return {ids[-1] for ids in lines if len(ids) > 1}


def test_users_of_a_device_have_their_process_id_in_the_namespace(boot: Boot) -> None:
    host = boot(mtty())
    host.device(uuid=UUID, type="mtty-1")
    pid = host.give_to_guest(UUID, "web-1")
    [shown] = host.info()["devices"]
    assert shown["used_by"] == [{"pid": pid, "command": "qemu-system-x86_64", "guest": "web-1"}]
    assert str(pid) in nested_pids()
    host.stop_guests()
    assert host.info()["devices"][0]["in_use"] is False


def test_a_derived_uuid_depends_on_the_machine_id(boot: Boot) -> None:
    host = boot(mtty())
    uuid = host.device(name="web", type="mtty-1")["device"]["uuid"]
    assert host.device(name="web", type="mtty-1")["changed"] is False
    assert host.device(name="web", type="mtty-1", name_scope="global")["device"]["uuid"] != uuid


def test_a_boot_removes_everything(boot: Boot) -> None:
    host = boot(mtty())
    host.device(uuid=UUID, type="mtty-1")
    host = boot(mdpy())
    shown = host.info()
    assert ([parent["address"] for parent in shown["parents"]], shown["devices"]) == (["mdpy"], [])
    assert host.files.writes == []


def test_a_module_that_hangs_is_stopped_and_the_next_host_works(boot: Boot) -> None:
    host = boot(Faulty({"*/name": slow(1)}, mtty()))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(namespace, "ANSWER_SECONDS", 0.2)
        with pytest.raises(namespace.Stuck):
            host.info()
    assert boot(mtty()).info()["framework"] == "mdev"
