# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine itself: modules are at the real paths there, and the tester's machine is left alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from drivers.hostile import Faulty, slow
from drivers.kit import namespace
from drivers.kit.machine import Boot
from drivers.samples import mdpy, mtty

UUID = "11111111-2222-3333-4444-555555555555"


def test_the_real_paths_are_the_machine_s_own(boot: Boot) -> None:
    machine = boot(mtty())
    made = machine.device(uuid=UUID, type="mtty-1", persistent=True)
    assert made["device"]["autostart"] is True
    [shown] = machine.info(xml=True)["devices"]
    assert f"<path>/sys/devices/virtual/mtty/mtty/{UUID}</path>" in shown["xml"]
    stored = json.loads(machine.definition("mtty", UUID).read_text())
    assert stored == {"mdev_type": "mtty-1", "start": "auto", "attrs": []}
    # Nobody else sees any of it.
    assert not Path("/etc/mdevctl.d/mtty", UUID).exists()
    assert not Path("/sys/bus/mdev/devices", UUID).exists()


def test_a_device_s_user_is_seen_with_its_number_in_the_machine(boot: Boot) -> None:
    machine = boot(mtty())
    machine.device(uuid=UUID, type="mtty-1")
    pid = machine.give_to_guest(UUID, "web-1")
    [shown] = machine.info()["devices"]
    assert shown["used_by"] == [{"pid": pid, "command": "qemu-system-x86_64", "guest": "web-1"}]
    assert pid < os.getpid()
    machine.stop_guests()
    assert machine.info()["devices"][0]["in_use"] is False


def test_a_derived_uuid_comes_from_the_machine_s_id(boot: Boot) -> None:
    machine = boot(mtty())
    made = machine.device(name="web", type="mtty-1")["device"]["uuid"]
    assert machine.device(name="web", type="mtty-1")["changed"] is False
    assert machine.device(name="web", type="mtty-1", name_scope="global")["device"]["uuid"] != made


def test_a_boot_leaves_nothing(boot: Boot) -> None:
    machine = boot(mtty())
    machine.device(uuid=UUID, type="mtty-1")
    machine = boot(mdpy())
    shown = machine.info()
    assert ([one["address"] for one in shown["parents"]], shown["devices"]) == (["mdpy"], [])
    assert machine.host.writes == []


def test_what_hangs_is_given_up_and_the_next_machine_works(boot: Boot) -> None:
    machine = boot(Faulty({"*/name": slow(1)}, mtty()))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(namespace, "ANSWER_SECONDS", 0.2)
        with pytest.raises(namespace.Stuck):
            machine.info()
    assert boot(mtty()).info()["framework"] == "mdev"
