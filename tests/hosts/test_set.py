# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets on a real kernel: filled, refilled, shrunk, purged, too big, beside other devices and other runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from conftest import DEFINITIONS, DEVICES, Host, Result

GIVEN = "11111111-2222-3333-4444-555555555555"
FOREIGN = "22222222-2222-3333-4444-555555555555"

PORTS = {"type": "mtty-1", "parent": "mtty"}

Start = Callable[[str, str], None]


def uuids(result: Result, entry: int = 0) -> list[str]:
    entry_uuids: list[str] = result["entries"][entry]["uuids"]
    return entry_uuids


def type_counts(host: Host) -> Counter[str]:
    """How many devices of each type mdev_info shows."""
    return Counter(device["type"] for device in host.info()["devices"])


def defined() -> set[str]:
    """The definition files. mdevctl 1.2 creates folders beside them."""
    return {file.name for file in DEFINITIONS.glob("*/*") if file.is_file()}


def test_a_host_is_filled_and_refilled(host: Host) -> None:
    devices = [
        {**PORTS, "count": 3},
        {"name": "display", "type": "mdpy-hd"},
        {"uuid": GIVEN, "type": "Dual port serial"},
        {"type": "mbochs-small", "count": 2, "placement": "pack"},
    ]
    filled = host.apply_set(devices=devices)
    assert [len(entry["uuids"]) for entry in filled["entries"]] == [3, 1, 1, 2]
    assert {placement["parent"] for placement in filled["placements"]} == {"mbochs", "mdpy", "mtty"}
    lost = [uuids(filled)[1], uuids(filled, 1)[0]]
    for uuid in lost:
        (DEVICES / uuid / "remove").write_text("1")
    refilled = host.apply_set(devices=devices)
    assert [action["uuid"] for action in refilled["actions"]] == lost
    assert refilled["entries"] == filled["entries"]


def test_definitions_of_a_set(host: Host) -> None:
    devices = [{**PORTS, "count": 2}, {"name": "spare", "type": "mbochs-small", "parent": "mbochs", "active": False}]
    states = {"persistent": True, "autostart": False}
    created = host.apply_set(devices=devices, **states)["devices"]
    assert [(device["active"], device["defined"]) for device in created] == [(True, True), (True, True), (False, True)]
    assert defined() == {device["uuid"] for device in created}
    host.apply_set(devices=[], purge="owned", **states)
    assert defined() == set()


@pytest.mark.parametrize("backend", ["sysfs", "mdevctl", "libvirt"])
def test_a_count_grows_and_shrinks_at_the_end(host: Host, backend: str) -> None:
    two = host.apply_set(devices=[{**PORTS, "count": 2}], backend=backend)
    four = host.apply_set(devices=[{**PORTS, "count": 4}], backend=backend)
    assert uuids(four)[:2] == uuids(two)
    assert uuids(host.apply_set(devices=[{**PORTS, "count": 1}], backend=backend)) == uuids(two)[:1]
    host.apply_set(devices=[{**PORTS, "count": 0}], backend=backend)
    host.apply_set(devices=[{**PORTS, "state": "absent"}], backend=backend, changed=False)


def test_unused_devices_are_removed_first(host: Host, guest: Start) -> None:
    three = host.apply_set(devices=[{**PORTS, "count": 3}])
    guest("web", uuids(three)[2])
    shrunk = host.apply_set(devices=[{**PORTS, "count": 1}])
    assert uuids(shrunk) == uuids(three)[2:]
    assert uuids(host.apply_set(devices=[{**PORTS, "count": 2}])) == [uuids(three)[0], uuids(three)[2]]


def test_a_device_in_use_is_never_removed(host: Host, guest: Start) -> None:
    three = host.apply_set(devices=[{**PORTS, "count": 3}])
    busy = uuids(three)[1]
    guest("web", busy)
    for backend in ("sysfs", "mdevctl", "libvirt"):
        host.expect_set_refusal("in_use", "guest 'web'", devices=[], purge="owned", backend=backend)
    host.expect_set_refusal("in_use", "guest 'web'", devices=[], purge="all")
    host.expect_set_refusal("in_use", r"devices\[0\].*guest 'web'", devices=[{**PORTS, "count": 0}])
    purged = host.apply_set(devices=[], purge="owned", on_in_use="skip")
    assert [(kept["uuid"], kept["used_by"][0]["guest"]) for kept in purged["kept"]] == [(busy, "web")]
    assert [device["uuid"] for device in host.info()["devices"]] == [busy]


def test_other_devices_are_not_changed(host: Host) -> None:
    host.device(uuid=FOREIGN, type="mtty-1", persistent=False)
    host.device(name="single", type="mtty-1", persistent=False)
    other = host.set(name="tenant-b", devices=[{**PORTS, "count": 2}], persistent=False)
    host.apply_set(devices=[{**PORTS, "count": 2}, {"name": "x", "type": "mtty-2"}], purge="owned")
    purged = host.apply_set(devices=[{"name": "x", "type": "mtty-2"}], purge="owned")
    assert [action["action"] for action in purged["actions"]] == ["remove", "remove"]
    host.apply_set(devices=[], purge="owned")
    remaining = {device["uuid"] for device in host.info()["devices"]}
    assert remaining >= {FOREIGN, *uuids(other)} and len(remaining) == 4
    host.apply_set(devices=[{"uuid": FOREIGN, "type": "mtty-1"}], purge="none", changed=False)
    host.apply_set(devices=[{"uuid": FOREIGN, "type": "mtty-1"}], purge="all")
    assert [device["uuid"] for device in host.info()["devices"]] == [FOREIGN]


def test_removals_make_room_for_new_devices(host: Host) -> None:
    host.apply_set(devices=[{"name": "a", "type": "mdpy-hd", "count": 4}])
    replaced = host.apply_set(devices=[{"name": "b", "type": "mdpy-vga", "count": 4}], purge="owned")
    assert [action["action"] for action in replaced["actions"]] == ["remove"] * 4 + ["create"] * 4


def test_devices_are_replaced_together(host: Host) -> None:
    host.apply_set(devices=[{"name": "a", "type": "mtty-2", "count": 12}])
    host.expect_set_refusal("mismatch", "recreate", devices=[{"name": "a", "type": "mtty-1", "count": 12}])
    host.apply_set(devices=[{"name": "a", "type": "mtty-1", "count": 12}], recreate=True)
    assert type_counts(host) == {"mtty-1": 12}


def test_a_shared_budget_large_then_small(host: Host) -> None:
    """mbochs has 256 MB for all its types: 4 large, 16 medium or 64 small."""
    large, small = {"type": "mbochs-large"}, {"type": "mbochs-small"}
    host.apply_set(devices=[{**large, "count": 2}, {**small, "count": 32}])
    assert type_counts(host) == {"mbochs-large": 2, "mbochs-small": 32}
    host.expect_set_refusal(
        "no_room", "mbochs: has 0 of mbochs-small left", devices=[{**large, "count": 2}, {**small, "count": 33}]
    )
    host.apply_set(devices=[{**large, "count": 3}, {**small, "count": 16}])
    host.apply_set(devices=[{**large, "count": 4}], purge="owned")
    # Only the kernel knows how much room the removed devices leave for each type: it refuses, and all is rolled back.
    refused = host.expect_set_refusal(
        "no_room",
        r"devices\[1\]: no room.*Rolled back by removing \d+ new devices, then creating 2 old devices again",
        only_when_applied=True,
        devices=[{**large, "count": 2}, {**small, "count": 64}],
        purge="owned",
    )
    assert refused["error"]["rolled_back"] is True


def test_a_full_host_names_each_entry_without_enough_room(host: Host) -> None:
    devices = [{"name": "ports", **PORTS, "count": 25}, {"name": "web", "type": "mdpy-hd", "count": 5}]
    refused = host.expect_set_refusal(
        "no_room", r"devices\[0\] \(ports\): 1 of.*; devices\[1\] \(web\): 1 of", devices=devices
    )
    assert [(entry["entry"], entry["missing"]) for entry in refused["error"]["short"]] == [
        ("devices[0] (ports)", 1),
        ("devices[1] (web)", 1),
    ]
    assert {parent["parent"] for parent in refused["error"]["rejected_parents"]} == {"mbochs", "mdpy", "mtty"}
    host.apply_set(devices=[{**entry, "count": entry["count"] - 1} for entry in devices])


def test_all_problems_are_reported_in_one_error(host: Host) -> None:
    host.device(uuid=FOREIGN, type="mtty-1", persistent=False)
    devices = [
        {"uuid": FOREIGN, "type": "mtty-2"},
        {"name": "a", "type": "no-such"},
        {"name": "b", "type": "mtty-1", "parent": "0000:41:00.0"},
        {**PORTS, "count": 2},
    ]
    refused = host.expect_set_refusal("multiple", "3 problems, nothing was changed", devices=devices)
    assert [(problem["entry"], problem["kind"]) for problem in refused["error"]["problems"]] == [
        ("devices[0]", "mismatch"),
        ("devices[1] (a)", "not_found"),
        ("devices[2] (b)", "not_found"),
    ]


def test_a_refusal_of_the_kernel_rolls_back_all_steps(host: Host) -> None:
    host.apply_set(devices=[{"name": "old", **PORTS, "count": 2}])
    bad = {"name": "bad", **PORTS, "attributes": [{"name": "nothing", "value": "1"}]}
    refused = host.expect_set_refusal(
        "kernel_refused",
        "has no such attribute.*Rolled back",
        only_when_applied=True,
        devices=[{"name": "new", **PORTS, "count": 3}, bad],
        purge="owned",
    )
    assert refused["error"]["rolled_back"] is True


@pytest.mark.parametrize(("first", "second"), [("mtty-1", "mtty-2"), ("mbochs-small", "mbochs-large")])
def test_two_runs_at_once_that_do_not_fit_together(host: Host, first: str, second: str) -> None:
    """One succeeds, the other changes nothing."""
    room = {mdev_type["id"]: mdev_type["available_instances"] for mdev_type in host.info()["types"]}
    sets = {"a": {"type": first, "count": room[first]}, "b": {"type": second, "count": room[second]}}
    runs = {name: start("mdev_set", name=name, devices=[entry], persistent=False) for name, entry in sets.items()}
    results = {name: json.loads(run.communicate(timeout=120)[0]) for name, run in runs.items()}
    [winner] = [name for name, result in results.items() if not result.get("failed")]
    [loser] = results.keys() - {winner}
    assert results[loser]["error"]["kind"] == "no_room"
    assert type_counts(host) == {sets[winner]["type"]: sets[winner]["count"]}
    host.apply_set(name=winner, devices=[sets[winner]], changed=False)


def start(module: str, **arguments: Any) -> subprocess.Popen[str]:
    """Run a module in a separate process. It prints its result."""
    # conftest makes the collection importable.
    code = f"import conftest, run_module, json; print(json.dumps(run_module.run_module({module!r}, **{arguments!r})))"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd="/opt/collection/tests"
    )


def test_capacity(host: Host) -> None:
    host.device(name="a", type="mbochs-large", persistent=False)
    capacity = [
        {"type": "mbochs-large", "count": 2},
        {"type": "mbochs-small", "count": 16},
        {"type": "Single port serial", "count": 25},
        {"type": "mdpy-hd", "parent": "mtty"},
    ]
    answers = host.info(capacity=capacity)["capacity"]
    assert [(entry["fits"], entry["fitting"]) for entry in answers] == [(True, 2), (True, 16), (False, 24), (False, 0)]
    assert answers[0]["placements"] == [{"parent": "mbochs", "count": 2}]
    assert any("has 24 of mtty-1 left" in reason["reason"] for reason in answers[2]["reasons"])
    assert "offers type 'mdpy-hd'" in answers[3]["reasons"][0]["reason"]
    fitting = [{"type": entry["type"], "count": entry["count"]} for entry in capacity[:2]]
    host.apply_set(devices=fitting)
