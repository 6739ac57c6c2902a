# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on s390 crypto adapters: the matrix of a device is compared with the request and corrected."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any

import pytest

from drivers.kit.changes import actions, device
from drivers.kit.isolated_host import Boot, IsolatedHost
from drivers.vfio_ap import Adapters, Matrix

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"
AP = "vfio_ap-passthrough"

BEFORE = ("adapter 5", "domain 4", "control_domain 4")
HAD = Matrix({5}, {4}, {4})


def assign(*pairs: str) -> list[dict[str, str]]:
    """ "adapter 5" is attribute assign_adapter with value 5; a pair that starts with ap_config is itself."""
    words = (pair.split() for pair in pairs)
    return [{"name": unit if unit == "ap_config" else f"assign_{unit}", "value": value} for unit, value in words]


def assign_queues(host: IsolatedHost, *pairs: str, uuid: str = UUID, **more: Any) -> dict[str, Any]:
    return host.device(uuid=uuid, type=AP, attributes=assign(*pairs), diff=True, **more)


def config(adapters: str, domains: str, control_domains: str) -> str:
    return "ap_config " + ",".join(f"0x{mask:0<64}" for mask in (adapters, domains, control_domains))


@dataclass(frozen=True)
class Correction:
    """The writes that turn a device with BEFORE into the requested one."""

    requested: tuple[str, ...]
    writes: tuple[str, ...]
    has: Matrix


CORRECTIONS = {
    "another domain": Correction(
        ("adapter 5", "domain 0x47", "control_domain 4"),
        ("0x0004 to unassign_domain", "0x47 to assign_domain"),
        Matrix({5}, {0x47}, {4}),
    ),
    "one more of each unit, in the requested order": Correction(
        ("domain 4", "control_domain 8", "domain 0x47", "control_domain 4", "adapter 6", "adapter 5"),
        ("8 to assign_control_domain", "0x47 to assign_domain", "6 to assign_adapter"),
        Matrix({5, 6}, {4, 0x47}, {4, 8}),
    ),
    "no control domain": Correction(
        ("adapter 5", "domain 4"), ("0x0004 to unassign_control_domain",), Matrix({5}, {4})
    ),
    "everything different": Correction(
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
def test_removed_queues_are_unassigned_and_new_ones_assigned(
    boot: Boot, correction: Correction, persistent: bool
) -> None:
    adapters = Adapters()
    host = boot(adapters)
    assign_queues(host, *BEFORE, persistent=persistent)
    assert not assign_queues(host, *BEFORE, persistent=persistent)["changed"]
    writes_before = len(host.files.writes)
    checked = assign_queues(host, *correction.requested, persistent=persistent, check=True)
    assert len(host.files.writes) == writes_before
    done = assign_queues(host, *correction.requested, persistent=persistent)
    written = [f"{text.strip()} to {path.rpartition('/')[2]}" for path, text in host.files.writes[writes_before:]]
    assert written == list(correction.writes)
    assert adapters.matrixes == {UUID: correction.has}
    assert actions(done) == [f"write {write}" for write in correction.writes] + [f"define {AP} on matrix"] * persistent
    for same in ("changed", "actions", "diff", "device"):
        assert checked[same] == done[same]
    again = assign_queues(host, *correction.requested, persistent=persistent)
    assert (again["changed"], again["actions"], again["device"]["drift"]) == (False, [], [])
    assert again["diff"]["before"] == again["diff"]["after"]
    shown = device(host, UUID)
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
def test_another_spelling_is_no_change(boot: Boot, pairs: tuple[str, ...]) -> None:
    host = boot(Adapters())
    assign_queues(host, *BEFORE)
    written = len(host.files.writes)
    again = assign_queues(host, *pairs)
    assert (again["changed"], again["actions"]) == (False, [])
    assert len(host.files.writes) == written


REFUSED = {
    "a queue of another device": (("adapter 6", "adapter 5", "domain 4", "domain 0x47"), errno.EADDRINUSE, "domain"),
    "a queue of the default drivers": (("adapter 5", "adapter 7", "domain 4"), errno.EADDRNOTAVAIL, "adapter"),
    "a domain that the host does not have": (("domain 0x55", "adapter 5"), errno.ENODEV, "domain"),
}


@pytest.mark.parametrize(("pairs", "number", "unit"), REFUSED.values(), ids=REFUSED)
def test_a_refused_correction_leaves_the_matrix_unchanged(
    boot: Boot, pairs: tuple[str, ...], number: int, unit: str
) -> None:
    adapters = Adapters({7}, {4})
    host = boot(adapters)
    assign_queues(host, *BEFORE)
    assign_queues(host, "adapter 5", "domain 0x47", uuid=OTHER)
    refused = assign_queues(host, *pairs)
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", number), refused["msg"]
    assert refused["error"]["attribute"] == f"assign_{unit}"
    assert refused["error"]["rolled_back"] is True
    assert adapters.matrixes == {UUID: HAD, OTHER: Matrix({5}, {0x47})}


@pytest.mark.parametrize("pair", ["adapter five", "domain -4", "adapter 0x", "domain 08", "ap_config 1,2"])
def test_values_that_are_not_numbers_are_refused_before_anything_is_written(boot: Boot, pair: str) -> None:
    host = boot(Adapters())
    assign_queues(host, *BEFORE)
    written = len(host.files.writes)
    refused = assign_queues(host, pair)
    assert refused["error"]["kind"] == "invalid_input"
    assert pair.split()[1] in refused["msg"]
    assert len(host.files.writes) == written


def test_a_queue_that_another_program_unassigned_is_reported_and_restored(boot: Boot) -> None:
    adapters = Adapters()
    host = boot(adapters)
    assign_queues(host, *BEFORE, persistent=True)
    adapters.matrixes[UUID].control_domains.clear()
    shown = device(host, UUID)
    assert shown is not None
    assert shown["drift"] == [{"field": "control domains", "wanted": "0x0004", "actual": "none"}]
    done = assign_queues(host, *BEFORE, persistent=True)
    assert actions(done) == ["write 4 to assign_control_domain"]
    assert done["diff"]["before"] != done["diff"]["after"]
    assert adapters.matrixes == {UUID: HAD}


def test_rollback_recreates_a_removed_device_with_its_matrix(boot: Boot) -> None:
    adapters = Adapters({5}, {8})
    host = boot(adapters)
    own = {"uuid": UUID, "type": AP}
    host.set(devices=[{**own, "attributes": assign(*BEFORE)}])
    writes_before = len(host.files.writes)
    of_default_drivers = {"type": AP, "attributes": assign("adapter 5", "domain 8")}
    refused = host.set(devices=[{**own, "state": "absent"}, of_default_drivers])
    assert (refused["error"]["errno"], refused["error"]["rolled_back"]) == (errno.EADDRNOTAVAIL, True)
    assert adapters.matrixes == {UUID: HAD}
    written = [f"{text.strip()} to {path.rpartition('/')[2]}" for path, text in host.files.writes[writes_before:]]
    assert written[-4:] == [
        f"{UUID} to create",
        "0x05 to assign_adapter",
        "0x0004 to assign_domain",
        "0x0004 to assign_control_domain",
    ]


def test_a_running_guest_gets_another_domain_if_the_kernel_supports_it(boot: Boot) -> None:
    adapters = Adapters()
    host = boot(adapters)
    assign_queues(host, *BEFORE)
    host.give_to_guest(UUID)
    assert assign_queues(host, "adapter 5", "domain 0x47")["changed"]
    assert adapters.matrixes == {UUID: Matrix({5}, {0x47})}


def test_before_linux_6_0_a_running_guest_keeps_its_matrix(boot: Boot) -> None:
    adapters = Adapters(hotplug=False)
    host = boot(adapters)
    assign_queues(host, *BEFORE, persistent=True)
    host.give_to_guest(UUID)
    refused = assign_queues(host, "adapter 5", "domain 0x47")
    assert (refused["error"]["kind"], refused["error"]["errno"]) == ("kernel_refused", errno.EBUSY)
    assert adapters.matrixes == {UUID: HAD}
