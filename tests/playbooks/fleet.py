# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of mdev_info on a fleet of different hosts, built with the module's own functions."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.framework import MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.registry import host_framework
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._info.cards import bare_cards, cards_of
from ansible_collections.vfio.mdev.plugins.module_utils._info.hints import hints, problems
from ansible_collections.vfio.mdev.plugins.module_utils._info.results import card_result, parent_result, type_results
from ansible_collections.vfio.mdev.plugins.module_utils._info.summary import summary
from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import parent_nodedev
from ansible_collections.vfio.mdev.plugins.module_utils._model.device_state import states
from ansible_collections.vfio.mdev.plugins.module_utils._model.framework import Framework
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Attribute,
    BrokenDefinition,
    Card,
    Definition,
    Device,
    Hardware,
    Inventory,
    Parent,
    Type,
    Unread,
    User,
)
from ansible_collections.vfio.mdev.plugins.module_utils._planning.drift import find_drift
from ansible_collections.vfio.mdev.plugins.module_utils._runner.results import device_result

Answer = dict[str, Any]


def answer(inventory: Inventory, hardware: Hardware | None = None) -> Answer:
    """The result of mdev_info for this inventory."""
    hardware = hardware or Hardware()
    drift = {state: find_drift(state, inventory) for state in states(inventory)}
    cards = (*cards_of(inventory, hardware, inventory.parents, tuple(drift)), *bare_cards(inventory, hardware))
    on_cards = {parent.address: card for card in cards for parent in card.parents}
    return {
        "changed": False,
        "summary": summary(cards, inventory, drift, problems(inventory, hardware), users_read=True),
        "framework": host_framework(inventory),
        "hints": hints(inventory, hardware),
        "broken_definitions": [{"path": broken.path, "problem": broken.problem} for broken in inventory.broken],
        "unread": [{"path": unread.path, "error": unread.error} for unread in inventory.unread],
        "cards": [card_result(card, users_read=True) for card in cards],
        "parents": [parent_result(offering, inventory, on_cards[offering.address]) for offering in inventory.parents],
        "types": type_results(cards, inventory),
        "devices": [device_result(state, inventory, differences) for state, differences in drift.items()],
        "capacity": [],
    }


def unreachable() -> Answer:
    """The registered result of a host that ssh can't reach."""
    return {"changed": False, "unreachable": True, "msg": "Task failed: Failed to connect to the host via ssh"}


def failed() -> Answer:
    """The registered result of a host without Python."""
    return {
        "changed": False,
        "failed": False,
        "msg": "The module interpreter '/usr/bin/python9' was not found.",
        "module_stderr": "/bin/sh: 1: /usr/bin/python9: not found\n",
        "rc": 127,
    }


def guest(name: str, pid: int = 4711) -> User:
    return User(pid, "qemu-system-x86_64", name)


def parent(
    address: str, *types: Type, subsystem: str = "pci", framework: Framework = MDEV, **properties: Any
) -> Parent:
    return Parent(
        address=address,
        subsystem=subsystem,
        nodedev=parent_nodedev(subsystem, address),
        path=f"/sys/devices/{address}",
        framework=framework,
        types=types,
        **properties,
    )


def device(number: int, on_parent: Parent, type_id: str | None, *users: User, **properties: Any) -> Device:
    key, framework = number_uuid(number), on_parent.framework
    device_id = framework.device_id(key, on_parent.address)
    return Device(
        id=device_id,
        parent=on_parent.address,
        path=framework.device_path(on_parent.path, device_id),
        nodedev=framework.nodedev(device_id, on_parent.address),
        parent_nodedev=on_parent.nodedev,
        framework=framework,
        key=key,
        type_id=type_id,
        users=users,
        driver="vfio_mdev",
        **properties,
    )


def number_uuid(number: int) -> str:
    """A UUID that is always the same for a number."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def defined(active: Device, autostart: bool = True, **changed: Any) -> Definition:
    """The definition of an active device."""
    definition = Definition(active.id, active.parent, active.type_id or "", active.framework, autostart=autostart)
    return replace(definition, **changed)


# NVIDIA A100 with SR-IOV: a function holds one device, and all functions of a card share its memory.

_A100 = {"nvidia-468": ("NVIDIA A100-4C", 4, 10), "nvidia-471": ("NVIDIA A100-8C", 8, 5)}
_A100["nvidia-474"] = ("NVIDIA A100-40C", 40, 1)


def a100(card: str, numa_node: int, room: dict[str, int], functions: int = 16) -> list[Parent]:
    """The functions of a card, which all report the same room."""
    types = [
        Type(type_id, name, f"framebuffer={size}M, max_instance={most}", "vfio-pci", room.get(type_id, 0))
        for type_id, (name, size, most) in _A100.items()
    ]
    return [
        parent(
            f"0000:{card}:{number // 8:02x}.{number % 8}",
            *types,
            driver="nvidia",
            numa_node=numa_node,
            physical_function=f"0000:{card}:00.0",
        )
        for number in range(4, 4 + functions)
    ]


def without_room(with_room: Parent) -> Parent:
    return replace(with_room, types=tuple(replace(offer, available_instances=0) for offer in with_room.types))


def gpu_1() -> Answer:
    """A card that is full with five guests, and one that is empty."""
    full = [without_room(function) for function in a100("41", 0, {})]
    empty = a100("c1", 1, dict.fromkeys(_A100, 1))
    devices = [device(n, full[n], "nvidia-471", guest(f"web-{n + 1}", 4711 + n), iommu_group=100 + n) for n in range(5)]
    return answer(Inventory((*full, *empty), tuple(devices), tuple(defined(active) for active in devices)))


def gpu_2() -> Answer:
    """Problems: a device that did not start, one half removed, one of another type, a file that is not a definition."""
    functions = a100("41", 0, {"nvidia-468": 1})
    taken = [without_room(function) for function in functions[:4]]
    parents = (*taken, *functions[4:])
    devices = [
        device(20, taken[0], "nvidia-468", guest("train-1"), iommu_group=90),
        device(21, taken[1], None, guest("train-2", 4800), removing=True, iommu_group=91),
        device(22, taken[2], "nvidia-468", iommu_group=92),
    ]
    definitions = (
        defined(devices[0]),
        defined(devices[2], type_id="nvidia-471"),
        Definition(number_uuid(23), taken[3].address, "nvidia-468", MDEV, autostart=True),
    )
    path = f"/etc/mdevctl.d/0000:41:00.4/{number_uuid(24)}"
    broken = BrokenDefinition(path, "not JSON: Expecting value: line 1 column 1 (char 0)", number_uuid(24), True)
    return answer(Inventory(parents, tuple(devices), definitions, (broken,)))


def gpu_3() -> Answer:
    """Cards without SR-IOV."""
    types = [
        Type("nvidia-222", "GRID T4-1B", None, "vfio-pci", 0),
        Type("nvidia-231", "GRID T4-2Q", None, "vfio-pci", 3),
        Type("nvidia-232", "GRID T4-4Q", None, "vfio-pci", 0),
    ]
    first, second = (parent(f"0000:{bus}:00.0", *types, driver="nvidia", numa_node=0) for bus in ("3b", "af"))
    full = without_room(second)
    params = Attribute("nvidia/vgpu_params", "frame_rate_limiter=0")
    devices = [device(30 + n, first, "nvidia-231", guest(f"desktop-{n + 1}", 900 + n)) for n in range(4)]
    devices += [device(34, first, "nvidia-231")]
    devices += [device(40 + n, full, "nvidia-232", guest(f"cad-{n + 1}", 950 + n)) for n in range(4)]
    definitions = [defined(active, attributes=(params,)) for active in devices]
    return answer(Inventory((first, full), tuple(devices), tuple(definitions)))


def gpu_5() -> Answer:
    """A card read by a user who is not root: nobody knows who uses its devices."""
    functions = a100("41", 0, {"nvidia-471": 1})
    devices = [replace(device(80 + n, functions[n], "nvidia-471"), users=None) for n in range(3)]
    parents = (*(without_room(function) for function in functions[:3]), *functions[3:])
    return answer(Inventory(parents, tuple(devices)))


def gpu_10() -> Answer:
    """No mediated devices, but a vGPU on a virtual function, which has no UUID, and a function that is free."""
    taken, free = (
        parent(
            f"0000:41:00.{number}",
            Type("1148", "NVIDIA L40S-2Q", None, "vfio-pci", left),
            driver="nvidia",
            physical_function="0000:41:00.0",
            framework=VENDOR_VFIO,
        )
        for number, left in ((4, 0), (5, 1))
    )
    vgpu = device(70, taken, "1148", guest("render-1"))
    return answer(Inventory((taken, free), (vgpu,)))


def lab() -> Answer:
    """The kernel's sample drivers, with a device that a test program holds, and a type without a known room."""
    mtty = parent(
        "mtty",
        Type("mtty-1", "Single port serial", None, "vfio-pci", 19),
        Type("mtty-2", "Dual port serial", None, "vfio-pci", 9),
        subsystem="mtty",
        driver=None,
    )
    odd = parent("odd", Type("odd-1", None, None, None, None), subsystem="virtual")
    devices = (
        device(50, mtty, "mtty-1", User(77, "vfio-test")),
        device(51, mtty, "mtty-2"),
        device(52, mtty, "mtty-2"),
    )
    unread = Unread(
        "/sys/class/mdev_bus/odd/mdev_supported_types/odd-1/available_instances", "EIO (Input/output error)"
    )
    return answer(Inventory((mtty, odd), devices, unread=(unread,)))


def mainframe() -> Answer:
    """Crypto adapters and a disk."""
    matrix = parent("matrix", Type("vfio_ap-passthrough", "VFIO AP Passthrough Device", None, "vfio-ap", 65534))
    disk = parent("0.0.0052", Type("vfio_ccw-io", "I/O subchannel (Non-QDIO)", None, "vfio-ccw", 0), subsystem="css")
    adapters = (Attribute("assign_adapter", "0x05"), Attribute("assign_domain", "0x00ab"))
    devices = [
        device(60, matrix, "vfio_ap-passthrough", guest("bank-1"), attributes=adapters),
        device(61, disk, "vfio_ccw-io", guest("bank-1")),
    ]
    definitions = (defined(devices[0], attributes=adapters), defined(devices[1]))
    return answer(Inventory((disk, matrix), tuple(devices), definitions))


def fleet() -> dict[str, Answer]:
    """The results by host name."""
    card = Card("0000:17:00.0", "0x10de", "nvidia", False, 0, 16)
    return {
        "gpu-1": gpu_1(),
        "gpu-2": gpu_2(),
        "gpu-3": gpu_3(),
        "gpu-4": answer(Inventory(), Hardware((card,))),
        "gpu-5": gpu_5(),
        "gpu-10": gpu_10(),
        "lab": lab(),
        "mainframe": mainframe(),
        "away": unreachable(),
        "no-python": failed(),
    }
