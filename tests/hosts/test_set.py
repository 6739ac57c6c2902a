# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets on a real kernel: filled, refilled, shrunk, purged, too big, beside devices of others and other runs."""

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
    found: list[str] = result["entries"][entry]["uuids"]
    return found


def kinds(host: Host) -> Counter[str]:
    """How many devices of each type mdev_info shows."""
    return Counter(one["type"] for one in host.info()["devices"])


def defined() -> set[str]:
    """The files of definitions. mdevctl 1.2 has folders beside them."""
    return {file.name for file in DEFINITIONS.glob("*/*") if file.is_file()}


def test_a_host_is_filled_and_refilled(host: Host) -> None:
    devices = [
        {**PORTS, "count": 3},
        {"name": "display", "type": "mdpy-hd"},
        {"uuid": GIVEN, "type": "Dual port serial"},
        {"type": "mbochs-small", "count": 2, "placement": "pack"},
    ]
    filled = host.set_four_times(devices=devices)
    assert [len(one["uuids"]) for one in filled["entries"]] == [3, 1, 1, 2]
    assert {one["parent"] for one in filled["placements"]} == {"mbochs", "mdpy", "mtty"}
    lost = [uuids(filled)[1], uuids(filled, 1)[0]]
    for uuid in lost:
        (DEVICES / uuid / "remove").write_text("1")
    refilled = host.set_four_times(devices=devices)
    assert [one["uuid"] for one in refilled["actions"]] == lost
    assert refilled["entries"] == filled["entries"]


def test_definitions_of_a_set(host: Host) -> None:
    devices = [{**PORTS, "count": 2}, {"name": "spare", "type": "mbochs-small", "parent": "mbochs", "active": False}]
    states = {"persistent": True, "autostart": False}
    done = host.set_four_times(devices=devices, **states)
    assert [(one["active"], one["defined"]) for one in done["devices"]] == [(True, True), (True, True), (False, True)]
    assert defined() == {one["uuid"] for one in done["devices"]}
    host.set_four_times(devices=[], purge="owned", **states)
    assert defined() == set()


@pytest.mark.parametrize("backend", ["sysfs", "mdevctl", "libvirt"])
def test_counts_grow_and_shrink_at_the_end(host: Host, backend: str) -> None:
    two = host.set_four_times(devices=[{**PORTS, "count": 2}], backend=backend)
    four = host.set_four_times(devices=[{**PORTS, "count": 4}], backend=backend)
    assert uuids(four)[:2] == uuids(two)
    assert uuids(host.set_four_times(devices=[{**PORTS, "count": 1}], backend=backend)) == uuids(two)[:1]
    host.set_four_times(devices=[{**PORTS, "count": 0}], backend=backend)
    host.set_four_times(devices=[{**PORTS, "state": "absent"}], backend=backend, changed=False)


def test_unused_members_go_first(host: Host, guest: Start) -> None:
    three = host.set_four_times(devices=[{**PORTS, "count": 3}])
    guest("web", uuids(three)[2])
    one = host.set_four_times(devices=[{**PORTS, "count": 1}])
    assert uuids(one) == uuids(three)[2:]
    assert uuids(host.set_four_times(devices=[{**PORTS, "count": 2}])) == [uuids(three)[0], uuids(three)[2]]


def test_a_busy_member_is_never_removed(host: Host, guest: Start) -> None:
    three = host.set_four_times(devices=[{**PORTS, "count": 3}])
    busy = uuids(three)[1]
    guest("web", busy)
    for backend in ("sysfs", "mdevctl", "libvirt"):
        host.set_refused("in_use", "guest 'web'", devices=[], purge="owned", backend=backend)
    host.set_refused("in_use", "guest 'web'", devices=[], purge="all")
    host.set_refused("in_use", r"devices\[0\].*guest 'web'", devices=[{**PORTS, "count": 0}])
    purged = host.set_four_times(devices=[], purge="owned", on_in_use="skip")
    assert [(one["uuid"], one["used_by"][0]["guest"]) for one in purged["skipped"]] == [(busy, "web")]
    assert [one["uuid"] for one in host.info()["devices"]] == [busy]


def test_nothing_of_others_is_touched(host: Host) -> None:
    host.device(uuid=FOREIGN, type="mtty-1", persistent=False)
    host.device(name="single", type="mtty-1", persistent=False)
    other = host.set(name="tenant-b", devices=[{**PORTS, "count": 2}], persistent=False)
    host.set_four_times(devices=[{**PORTS, "count": 2}, {"name": "x", "type": "mtty-2"}], purge="owned")
    gone = host.set_four_times(devices=[{"name": "x", "type": "mtty-2"}], purge="owned")
    assert [one["action"] for one in gone["actions"]] == ["remove", "remove"]
    host.set_four_times(devices=[], purge="owned")
    left = {one["uuid"] for one in host.info()["devices"]}
    assert left >= {FOREIGN, *uuids(other)} and len(left) == 4
    host.set_four_times(devices=[{"uuid": FOREIGN, "type": "mtty-1"}], purge="none", changed=False)
    host.set_four_times(devices=[{"uuid": FOREIGN, "type": "mtty-1"}], purge="all")
    assert [one["uuid"] for one in host.info()["devices"]] == [FOREIGN]


def test_what_goes_makes_room_for_what_comes(host: Host) -> None:
    host.set_four_times(devices=[{"name": "a", "type": "mdpy-hd", "count": 4}])
    done = host.set_four_times(devices=[{"name": "b", "type": "mdpy-vga", "count": 4}], purge="owned")
    assert [one["action"] for one in done["actions"]] == ["remove"] * 4 + ["create"] * 4


def test_devices_are_replaced_together(host: Host) -> None:
    host.set_four_times(devices=[{"name": "a", "type": "mtty-2", "count": 12}])
    host.set_refused("mismatch", "recreate", devices=[{"name": "a", "type": "mtty-1", "count": 12}])
    host.set_four_times(devices=[{"name": "a", "type": "mtty-1", "count": 12}], recreate=True)
    assert kinds(host) == {"mtty-1": 12}


def test_a_shared_budget_large_then_small(host: Host) -> None:
    """mbochs has 256 MB for all its types: 4 large, 16 medium or 64 small."""
    large, small = {"type": "mbochs-large"}, {"type": "mbochs-small"}
    host.set_four_times(devices=[{**large, "count": 2}, {**small, "count": 32}])
    assert kinds(host) == {"mbochs-large": 2, "mbochs-small": 32}
    host.set_refused(
        "no_room", "mbochs: has 0 of mbochs-small left", devices=[{**large, "count": 2}, {**small, "count": 33}]
    )
    host.set_four_times(devices=[{**large, "count": 3}, {**small, "count": 16}])
    host.set_four_times(devices=[{**large, "count": 4}], purge="owned")
    # How much room the old ones leave for each type only the kernel knows: it refuses, and all is as it was.
    refused = host.set_refused(
        "no_room",
        r"devices\[1\]: no room.*Taken back by removing \d+ new devices, then creating 2 old devices again",
        only_for_real=True,
        devices=[{**large, "count": 2}, {**small, "count": 64}],
        purge="owned",
    )
    assert refused["error"]["taken_back"] is True


def test_a_full_host_names_each_entry_short_of_room(host: Host) -> None:
    devices = [{"name": "ports", **PORTS, "count": 25}, {"name": "web", "type": "mdpy-hd", "count": 5}]
    refused = host.set_refused(
        "no_room", r"devices\[0\] \(ports\): 1 of.*; devices\[1\] \(web\): 1 of", devices=devices
    )
    assert [(one["entry"], one["missing"]) for one in refused["error"]["short"]] == [
        ("devices[0] (ports)", 1),
        ("devices[1] (web)", 1),
    ]
    assert {one["parent"] for one in refused["error"]["rejected_parents"]} == {"mbochs", "mdpy", "mtty"}
    host.set_four_times(devices=[{**one, "count": one["count"] - 1} for one in devices])


def test_all_problems_are_one_error(host: Host) -> None:
    host.device(uuid=FOREIGN, type="mtty-1", persistent=False)
    devices = [
        {"uuid": FOREIGN, "type": "mtty-2"},
        {"name": "a", "type": "no-such"},
        {"name": "b", "type": "mtty-1", "parent": "0000:41:00.0"},
        {**PORTS, "count": 2},
    ]
    refused = host.set_refused("several", "3 problems, nothing was changed", devices=devices)
    assert [(one["entry"], one["kind"]) for one in refused["error"]["errors"]] == [
        ("devices[0]", "mismatch"),
        ("devices[1] (a)", "not_found"),
        ("devices[2] (b)", "not_found"),
    ]


def test_what_the_kernel_refuses_half_way_is_taken_back(host: Host) -> None:
    host.set_four_times(devices=[{"name": "old", **PORTS, "count": 2}])
    bad = {"name": "bad", **PORTS, "attributes": [{"name": "nothing", "value": "1"}]}
    refused = host.set_refused(
        "kernel_refused",
        "has no such attribute.*Taken back",
        only_for_real=True,
        devices=[{"name": "new", **PORTS, "count": 3}, bad],
        purge="owned",
    )
    assert refused["error"]["taken_back"] is True


@pytest.mark.parametrize(("first", "second"), [("mtty-1", "mtty-2"), ("mbochs-small", "mbochs-large")])
def test_two_runs_at_once_that_do_not_fit_together(host: Host, first: str, second: str) -> None:
    """One wins, the other changes nothing."""
    room = {one["id"]: one["available_instances"] for one in host.info()["types"]}
    sets = {"a": {"type": first, "count": room[first]}, "b": {"type": second, "count": room[second]}}
    runs = {name: start("mdev_set", name=name, devices=[entry], persistent=False) for name, entry in sets.items()}
    ended = {name: json.loads(run.communicate(timeout=120)[0]) for name, run in runs.items()}
    [winner] = [name for name, one in ended.items() if not one.get("failed")]
    [loser] = ended.keys() - {winner}
    assert ended[loser]["error"]["kind"] == "no_room"
    assert kinds(host) == {sets[winner]["type"]: sets[winner]["count"]}
    host.set_four_times(name=winner, devices=[sets[winner]], changed=False)


def start(module: str, **arguments: Any) -> subprocess.Popen[str]:
    """A run of a module in a process of its own. It prints its result."""
    # conftest makes the collection importable.
    code = f"import conftest, asking, json; print(json.dumps(asking.run_module({module!r}, **{arguments!r})))"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd="/opt/collection/tests"
    )


def test_would_it_fit(host: Host) -> None:
    host.device(name="a", type="mbochs-large", persistent=False)
    want = [
        {"type": "mbochs-large", "count": 2},
        {"type": "mbochs-small", "count": 16},
        {"type": "Single port serial", "count": 25},
        {"type": "mdpy-hd", "parent": "mtty"},
    ]
    answers = host.info(want=want)["want"]
    assert [(one["fits"], one["fitting"]) for one in answers] == [(True, 2), (True, 16), (False, 24), (False, 0)]
    assert answers[0]["placement"] == [{"parent": "mbochs", "count": 2}]
    assert any("has 24 of mtty-1 left" in one["reason"] for one in answers[2]["reasons"])
    assert "offers type 'mdpy-hd'" in answers[3]["reasons"][0]["reason"]
    fitting = [{"type": one["type"], "count": one["count"]} for one in want[:2]]
    host.set_four_times(devices=fitting)
