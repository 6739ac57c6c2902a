# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows how long the plan of a drain takes on the controller: ./dev bench planning [--hosts N] [--guests N].

It needs no lab hosts. The possible destinations have NVIDIA cards with SR-IOV. The filters get their answers as plain
data, as in a playbook.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dev.environment import CHECKOUT

_CARDS, _FUNCTIONS = 8, 20
_SIZES = (4, 5, 8, 10, 20, 40)
_PLACEMENTS = ("first", "pack", "spread")


@dataclass(frozen=True)
class Case:
    """The hosts are emptier or fuller. taken: the share of functions with a device."""

    name: str
    taken: float


# A host says by itself when it can't take a guest even alone.
_NO_ROOM = {"check": "room", "ok": False, "severity": "error", "detail": "no room for 1 of the 1 devices"}

_CASES = (Case("empty hosts", 0.0), Case("half full hosts", 0.5), Case("full hosts", 1.0))


def main(arguments: Sequence[str]) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="./dev bench planning", description=__doc__)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--guests", type=int, default=40)
    options = parser.parse_args(arguments)
    _register_collection()
    print(f"{options.hosts} hosts with {_CARDS} cards of {_FUNCTIONS} functions, {options.guests} guests")
    print(
        "| hosts | placement | seconds to plan | guests placed | seconds to rank |\n| --- | --- | ---: | ---: | ---: |"
    )
    for case in _CASES:
        answers, guests = _fleet(options.hosts, options.guests, case)
        for placement in _PLACEMENTS:
            plan, planning = _timed(_filter("plan_moves"), answers, guests, placement)
            _ranking, ranking = _timed(_filter("rank_destinations"), answers, guests[:4], placement)
            print(f"| {case.name} | {placement} | {planning:.1f} | {len(plan['moves'])} | {ranking:.1f} |")
    return 0


def _register_collection() -> None:
    for name in ("ansible_collections", "ansible_collections.vfio", "ansible_collections.vfio.mdev"):
        if name not in sys.modules:
            package = types.ModuleType(name)
            package.__path__ = [str(CHECKOUT)]
            sys.modules[name] = package


def _filter(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(
        importlib.import_module(f"ansible_collections.vfio.mdev.plugins.filter.{name}"), name
    )
    return function


def _timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def _fleet(hosts: int, guests: int, case: Case) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The answers of the hosts, and the guests, with one or two devices each."""
    chance = random.Random(1)
    sizes = [[chance.choice(_SIZES[:4]) for _device in range(chance.choice((1, 1, 2)))] for _guest in range(guests)]
    listed = [{"uuid": f"guest-{number}", "name": f"web-{number}"} for number in range(guests)]
    answers = {f"gpu-{number}": _answer(number, sizes, case) for number in range(hosts)}
    # As Ansible has them: read from JSON, with nothing shared between hosts.
    return json.loads(json.dumps(answers)), listed


def _answer(number: int, guests: Sequence[Sequence[int]], case: Case) -> Mapping[str, Any]:
    request = importlib.import_module("ansible_collections.vfio.mdev.plugins.module_utils._model.request").DeviceRequest
    parents, devices = [], []
    for card in range(_CARDS):
        size = _SIZES[(number + card) % 4]
        used = int(40 // size * case.taken)
        offer = 2 + 4 * (2 if used >= 40 // size else 1 if used else 0) + (number + card) % 4 if used else 0
        for function in range(_FUNCTIONS):
            place = function + 4
            address = f"0000:{card + 1:02x}:{place // 8:02x}.{place % 8}"
            parents.append(
                {
                    "address": address,
                    "nodedev": address,
                    "framework": "mdev",
                    "driver": "nvidia",
                    "numa_node": card % 2,
                    "physical_function": f"0000:{card + 1:02x}:00.0",
                    "offer": 1 if function < used else offer,
                }
            )
            if function < used:
                key = f"{number:08x}-{card:04x}-{function:04x}-8000-000000000000"
                devices.append(
                    {
                        "id": key,
                        "key": key,
                        "parent": address,
                        "framework": "mdev",
                        "type_id": f"nvidia-{size}",
                        "removing": False,
                        "users": [],
                    }
                )
    return {
        "cordon": None,
        "records": [],
        "devices": len(devices),
        "inventory": {
            "parents": parents,
            "offers": _offers(),
            "devices": devices,
            "definitions": [],
            "broken": [],
        },
        "guests": [
            {
                "uuid": f"guest-{index}",
                "name": f"web-{index}",
                "prepared": False,
                "checks": [_NO_ROOM] if case.taken == 1.0 else [],
                "requests": [
                    asdict(request(f"{index:08x}-{place:04x}-4000-8000-000000000000", type=f"nvidia-{size}"))
                    for place, size in enumerate(sizes)
                ],
            }
            for index, sizes in enumerate(guests)
        ],
    }


def _offers() -> list[list[dict[str, Any]]]:
    """What a function offers: everything, nothing, and for the cards with devices only what is of their size."""
    only = [{size: 1} for size in _SIZES[:4]]
    numbers: list[Mapping[int, int]] = [dict.fromkeys(_SIZES, 1), {}, {}, {}, {}, {}, *only, {}, {}, {}, {}]
    return [[_type(size, left.get(size, 0)) for size in _SIZES] for left in numbers]


def _type(size: int, left: int) -> dict[str, Any]:
    return {
        "id": f"nvidia-{size}",
        "name": f"NVIDIA A100-{size}C",
        "description": f"framebuffer={size * 1024}M, max_instance={40 // size}",
        "device_api": "vfio-pci",
        "available_instances": left,
    }
