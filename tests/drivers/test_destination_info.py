# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Possible destinations answer which guests they could take, and the filters decide on all answers together."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from drivers.kit.isolated_host import Boot, IsolatedHost
from drivers.nvidia import t4
from drivers.samples import mtty

_FILTERS = "ansible_collections.vfio.mdev.plugins.filter"
plan_moves = importlib.import_module(f"{_FILTERS}.plan_moves").plan_moves
rank_destinations = importlib.import_module(f"{_FILTERS}.rank_destinations").rank_destinations

A, B, C = (f"{digit * 8}-1111-4111-8111-111111111111" for digit in "abc")
WEB, DB, BATCH = (f"{digit * 8}-5555-4666-8777-888888888888" for digit in "123")
CPU = {"virttype": "kvm", "arch": "x86_64", "machine": "pc-q35-8.2", "xml": "<cpu><model>qemu64</model></cpu>"}
INCOMPATIBLE = "error: the CPU is incompatible with host CPU: Host CPU does not provide required features: avx\n"


def guest(name: str, uuid: str, *devices: str, mdev_type: str = "mtty-1", **more: Any) -> dict[str, Any]:
    """A guest as mdev_guest_info reports it."""
    return {
        "name": name,
        "uuid": uuid,
        "state": "running",
        "running": True,
        "devices": [{"uuid": device, "type": mdev_type, "device_api": "vfio-pci"} for device in devices],
        **more,
    }


def checks(result: dict[str, Any], check: str, position: int = 0) -> list[dict[str, Any]]:
    return [finding for finding in result["guests"][position]["checks"] if finding["check"] == check]


@pytest.fixture
def host(boot: Boot) -> IsolatedHost:
    host = boot(mtty())
    host.reboot()
    return host


def test_a_host_answers_and_changes_nothing(host: IsolatedHost) -> None:
    host.device(uuid=C, type="mtty-1")
    before = host.info()
    guests = [guest("web", WEB, A), guest("db", DB, B, mdev_type="nvidia-471"), guest("batch", BATCH, C)]
    result = host.destination_info(guests=guests)
    assert [(answer["name"], answer["fits"], answer["prepared"]) for answer in result["guests"]] == [
        ("web", True, False),
        ("db", False, False),
        ("batch", True, False),
    ]
    assert (result["changed"], result["cordon"], result["records"], result["devices"]) == (False, None, [], 1)
    assert "no requested parent offers type 'nvidia-471'" in checks(result, "type", 1)[0]["detail"]
    assert checks(result, "stale", 2)[0]["severity"] == "warning"
    assert host.info() == before


def test_the_filters_take_the_answers(host: IsolatedHost) -> None:
    guests = [guest("web", WEB, A), guest("db", DB, B)]
    answers = {
        "gpu-10": host.destination_info(guests=guests),
        "gpu-3": {"unreachable": True, "msg": "no route"},
        "gpu-4": {"failed": True, "msg": "virsh is not installed"},
    }
    host.device(uuid=C, type="mtty-1")
    answers["gpu-2"] = host.destination_info(guests=guests)
    host.cordon(reason="broken fan")
    answers["gpu-1"] = host.destination_info(guests=guests)
    ranked = rank_destinations(answers, guests)
    assert ranked["destinations"] == ["gpu-10", "gpu-2"]
    reasons = {row["name"]: row["reasons"] for row in ranked["hosts"]}
    assert "it is cordoned since" in reasons["gpu-1"][0]
    assert "broken fan" in reasons["gpu-1"][0]
    assert reasons["gpu-3"] == ["it is unreachable: no route"]
    assert reasons["gpu-4"] == ["it could not be asked: virsh is not installed"]
    assert ranked["summary"][:2] == ["1  gpu-10  can take all guests", "2  gpu-2   can take all guests"]
    plan = plan_moves(answers, guests, "pack")
    assert {move["name"]: move["destination"] for move in plan["moves"]} == {"db": "gpu-2", "web": "gpu-2"}
    assert (plan["unplaced"], plan["summary"][0]) == ([], "db   -> gpu-2  fullest host with room, with 1 device")
    lost = plan_moves({"gpu-3": answers["gpu-3"]}, guests)
    assert [left["name"] for left in lost["unplaced"]] == ["db", "web"]
    assert lost["summary"][:2] == ["db  has no destination:", "    gpu-3: it is unreachable: no route"]


@pytest.mark.parametrize("planned", [plan_moves, rank_destinations])
def test_the_filters_refuse_other_input(planned: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="expected a dictionary of hosts"):
        planned([], [])
    with pytest.raises(AnsibleFilterError, match="placement is 'best', and must be one of first, pack, spread"):
        planned({}, [], "best")


def test_a_cpu_that_the_hypervisor_lacks(host: IsolatedHost) -> None:
    """Equal CPUs are compared once. A guest that is shut off can be moved, but not started."""
    guests = [guest("web", WEB, cpu=CPU), guest("db", DB, cpu=CPU, running=False), guest("batch", BATCH, cpu=None)]
    assert [answer["fits"] for answer in host.destination_info(guests=guests)["guests"]] == [True, True, True]
    (host.etc / "cpu-problem").write_text(INCOMPATIBLE)
    result = host.destination_info(guests=guests)
    assert [answer["fits"] for answer in result["guests"]] == [False, True, True]
    [finding] = checks(result, "cpu")
    assert "can't provide its CPU: Host CPU does not provide required features: avx" in finding["detail"]
    assert "It could not be started here" in checks(result, "cpu", 1)[0]["detail"]
    compared = (host.etc / "cpus-compared").read_text()
    assert compared.count("<model>qemu64</model>") == 1
    assert "--virttype kvm --arch x86_64 --machine pc-q35-8.2" in compared


def test_a_cpu_that_can_not_be_compared_is_a_warning(host: IsolatedHost) -> None:
    (host.etc / "cpu-problem").write_text("error: this function is not supported by the connection driver\n")
    result = host.destination_info(guests=[guest("web", WEB, cpu=CPU)])
    [finding] = checks(result, "cpu")
    assert (result["guests"][0]["fits"], finding["severity"]) == (True, "warning")
    assert "not supported by the connection driver" in finding["detail"]


def test_a_prepared_guest_is_reported(host: IsolatedHost) -> None:
    """Its device is here, so it needs no more room. From another source, it is refused."""
    guests = [guest("web", WEB, A)]
    host.migration(guests=guests)
    [answer] = host.destination_info(guests=guests)["guests"]
    assert (answer["prepared"], answer["requests"], answer["fits"]) == (True, [], True)
    result = host.destination_info(guests=guests, source="gpu-9")
    assert result["records"] == [{"name": "web", "uuid": WEB, "source": "gpu-1", "running": True}]
    assert (result["guests"][0]["prepared"], result["guests"][0]["fits"]) == (False, False)


def test_a_full_card_takes_no_more_than_it_can(boot: Boot) -> None:
    """Each guest fits by itself, and 4 of 5 fit together. The plan is what the driver really accepts."""
    host = boot(t4())
    host.reboot()
    devices = [f"{number:08x}-1111-4111-8111-111111111111" for number in range(1, 6)]
    uuids = [f"{number:08x}-5555-4666-8777-888888888888" for number in range(1, 6)]
    guests = [guest(f"web-{n}", uuids[n], devices[n], mdev_type="nvidia-232") for n in range(5)]
    result = host.destination_info(guests=guests)
    assert all(answer["fits"] for answer in result["guests"])
    plan = plan_moves({"gpu-2": result}, guests)
    assert len(plan["moves"]) == 4
    assert "no room for 1 of the 5 devices" in plan["unplaced"][0]["refusals"][0]["reasons"][0]
    placed = {move["uuid"] for move in plan["moves"]}
    prepared = host.migration(guests=[moving for moving in guests if moving["uuid"] in placed])
    assert len(prepared["devices"]) == 4
