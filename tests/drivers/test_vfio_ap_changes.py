# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on s390 crypto adapters: what a device has is compared with what it shall have, and corrected."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any

import pytest

from drivers.kit.changes import actions, device
from drivers.kit.machine import Boot, Machine
from drivers.vfio_ap import Adapters, Matrix

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"
AP = "vfio_ap-passthrough"

BEFORE = ("adapter 5", "domain 4", "control_domain 4")
HAD = Matrix({5}, {4}, {4})


def assign(*pairs: str) -> list[dict[str, str]]:
    """ "adapter 5" is attribute assign_adapter with value 5; a pair that starts with ap_config is itself."""
    words = (one.split() for one in pairs)
    return [{"name": kind if kind == "ap_config" else f"assign_{kind}", "value": value} for kind, value in words]


def want(machine: Machine, *pairs: str, uuid: str = UUID, **more: Any) -> dict[str, Any]:
    return machine.device(uuid=uuid, type=AP, attributes=assign(*pairs), diff=True, **more)


def config(adapters: str, domains: str, control_domains: str) -> str:
    return "ap_config " + ",".join(f"0x{mask:0<64}" for mask in (adapters, domains, control_domains))


@dataclass(frozen=True)
class Correction:
    """What is written to a device that has BEFORE, so that it has what is asked for."""

    asked: tuple[str, ...]
    writes: tuple[str, ...]
    has: Matrix


CORRECTIONS = {
    "another domain": Correction(
        ("adapter 5", "domain 0x47", "control_domain 4"),
        ("0x0004 to unassign_domain", "0x47 to assign_domain"),
        Matrix({5}, {0x47}, {4}),
    ),
    "one more of each, in the order asked": Correction(
        ("domain 4", "control_domain 8", "domain 0x47", "control_domain 4", "adapter 6", "adapter 5"),
        ("8 to assign_control_domain", "0x47 to assign_domain", "6 to assign_adapter"),
        Matrix({5, 6}, {4, 0x47}, {4, 8}),
    ),
    "no control domain": Correction(
        ("adapter 5", "domain 4"), ("0x0004 to unassign_control_domain",), Matrix({5}, {4})
    ),
    "all of it other": Correction(
        ("adapter 6", "domain 0x47", "control_domain 0x47"),
        (
            "0x05 to unassign_adapter",
            "0x0004 to unassign_domain",
            "0x0004 to unassign_control_domain",
            "6 to assign_adapter",
            "0x47 to assign_domain",
            "0x47 to assign_control_domain",
        ),
        Matrix({6}, {0x47}, {0x47}),
    ),
    "all at once": Correction(
        (config("06", "08", ""),), (f"{config('06', '08', '').split()[1]} to ap_config",), Matrix({5, 6}, {4})
    ),
}


@pytest.mark.parametrize("persistent", [False, True], ids=["active", "defined"])
@pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
def test_what_is_gone_is_unassigned_and_what_is_new_assigned(
    boot: Boot, correction: Correction, persistent: bool
) -> None:
    adapters = Adapters()
    machine = boot(adapters)
    want(machine, *BEFORE, persistent=persistent)
    assert not want(machine, *BEFORE, persistent=persistent)["changed"]
    so_far = len(machine.host.writes)
    checked = want(machine, *correction.asked, persistent=persistent, check=True)
    assert len(machine.host.writes) == so_far
    done = want(machine, *correction.asked, persistent=persistent)
    written = [f"{text.strip()} to {path.rpartition('/')[2]}" for path, text in machine.host.writes[so_far:]]
    assert written == list(correction.writes)
    assert adapters.matrixes == {UUID: correction.has}
    assert actions(done) == [f"write {one}" for one in correction.writes] + [f"define {AP} on matrix"] * persistent
    for same in ("changed", "actions", "diff", "device"):
        assert checked[same] == done[same]
    again = want(machine, *correction.asked, persistent=persistent)
    assert (again["changed"], again["actions"], again["device"]["drift"]) == (False, [], [])
    assert again["diff"]["before"] == again["diff"]["after"]
    shown = device(machine, UUID)
    assert shown is not None
    assert shown["drift"] == []


SAME = {
    "in hexadecimal": ("adapter 0x05", "domain 0x0004", "control_domain 0x4"),
    "in octal": ("adapter 05", "domain 04", "control_domain 04"),
    "in another order": ("control_domain 4", "domain 4", "adapter 5"),
    "twice": ("adapter 5", "adapter 0x5", "domain 4", "control_domain 4"),
    "as masks": (config("04", "08", "08"),),
}


@pytest.mark.parametrize("pairs", SAME.values(), ids=SAME)
def test_the_same_in_other_words_is_no_change(boot: Boot, pairs: tuple[str, ...]) -> None:
    machine = boot(Adapters())
    want(machine, *BEFORE)
    written = len(machine.host.writes)
    again = want(machine, *pairs)
    assert (again["changed"], again["actions"]) == (False, [])
    assert len(machine.host.writes) == written


REFUSED = {
    "a queue of another device": (("adapter 6", "adapter 5", "domain 4", "domain 0x47"), errno.EADDRINUSE, "domain"),
    "a queue of the default drivers": (("adapter 5", "adapter 7", "domain 4"), errno.EADDRNOTAVAIL, "adapter"),
    "a domain that the machine does not have": (("domain 0x55", "adapter 5"), errno.ENODEV, "domain"),
}


@pytest.mark.parametrize(("pairs", "number", "kind"), REFUSED.values(), ids=REFUSED)
def test_a_correction_that_is_refused_leaves_the_matrix_as_it_was(
    boot: Boot, pairs: tuple[str, ...], number: int, kind: str
) -> None:
    adapters = Adapters({7}, {4})
    machine = boot(adapters)
    want(machine, *BEFORE)
    want(machine, "adapter 5", "domain 0x47", uuid=OTHER)
    refused = want(machine, *pairs)
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", number), refused["msg"]
    assert refused["error"]["attribute"] == f"assign_{kind}"
    assert refused["error"]["taken_back"] is True
    assert adapters.matrixes == {UUID: HAD, OTHER: Matrix({5}, {0x47})}


@pytest.mark.parametrize("pair", ["adapter five", "domain -4", "adapter 0x", "domain 08", "ap_config 1,2"])
def test_what_is_no_number_is_refused_before_anything_is_written(boot: Boot, pair: str) -> None:
    machine = boot(Adapters())
    want(machine, *BEFORE)
    written = len(machine.host.writes)
    refused = want(machine, pair)
    assert refused["error"]["kind"] == "invalid_input"
    assert pair.split()[1] in refused["msg"]
    assert len(machine.host.writes) == written


def test_what_somebody_else_unassigned_is_told_and_put_right(boot: Boot) -> None:
    adapters = Adapters()
    machine = boot(adapters)
    want(machine, *BEFORE, persistent=True)
    adapters.matrixes[UUID].control_domains.clear()
    shown = device(machine, UUID)
    assert shown is not None
    assert shown["drift"] == [{"field": "control domains", "wanted": "0x0004", "actual": "none"}]
    done = want(machine, *BEFORE, persistent=True)
    assert actions(done) == ["write 4 to assign_control_domain"]
    assert done["diff"]["before"] != done["diff"]["after"]
    assert adapters.matrixes == {UUID: HAD}


def test_a_removed_device_comes_back_with_what_it_had(boot: Boot) -> None:
    adapters = Adapters({5}, {8})
    machine = boot(adapters)
    mine = {"uuid": UUID, "type": AP}
    machine.set(devices=[{**mine, "attributes": assign(*BEFORE)}])
    so_far = len(machine.host.writes)
    not_ours = {"type": AP, "attributes": assign("adapter 5", "domain 8")}
    refused = machine.set(devices=[{**mine, "state": "absent"}, not_ours])
    assert (refused["error"]["errno"], refused["error"]["taken_back"]) == (errno.EADDRNOTAVAIL, True)
    assert adapters.matrixes == {UUID: HAD}
    written = [f"{text.strip()} to {path.rpartition('/')[2]}" for path, text in machine.host.writes[so_far:]]
    assert written[-4:] == [
        f"{UUID} to create",
        "0x05 to assign_adapter",
        "0x0004 to assign_domain",
        "0x0004 to assign_control_domain",
    ]


def test_a_running_guest_gets_another_domain_where_the_kernel_can(boot: Boot) -> None:
    adapters = Adapters()
    machine = boot(adapters)
    want(machine, *BEFORE)
    machine.give_to_guest(UUID)
    assert want(machine, "adapter 5", "domain 0x47")["changed"]
    assert adapters.matrixes == {UUID: Matrix({5}, {0x47})}


def test_before_linux_6_0_a_running_guest_keeps_what_it_has(boot: Boot) -> None:
    adapters = Adapters(hotplug=False)
    machine = boot(adapters)
    want(machine, *BEFORE, persistent=True)
    machine.give_to_guest(UUID)
    refused = want(machine, "adapter 5", "domain 0x47")
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", errno.EBUSY)
    assert adapters.matrixes == {UUID: HAD}
