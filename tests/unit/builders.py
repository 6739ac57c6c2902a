# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small inventories for the tests of the pure core."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import device_nodedev, parent_nodedev
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Device, Inventory, Parent, Type, User

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
GUEST = User(4711, "qemu-system-x86_64", "web-1")


def kind(type_id: str, left: Optional[int] = 1, name: Optional[str] = None, api: Optional[str] = "vfio-pci") -> Type:
    return Type(id=type_id, name=name or f"Name of {type_id}", device_api=api, available_instances=left)


def parent(address: str, *types: Type, subsystem: str = "pci", **more: Any) -> Parent:
    return Parent(
        address=address,
        subsystem=subsystem,
        nodedev=parent_nodedev(subsystem, address),
        path=f"/sys/devices/{address}",
        types=types,
        **more,
    )


def device(uuid: str = UUID, on: str = "0000:41:00.4", type_id: Optional[str] = "t-1", **more: Any) -> Device:
    facts: dict[str, Any] = {"users": (), "driver": "nvidia"}
    facts.update(more)
    return Device(
        uuid=uuid,
        parent=on,
        path=f"/sys/devices/{on}/{uuid}",
        nodedev=device_nodedev(uuid, on),
        parent_nodedev=parent_nodedev("pci", on),
        type_id=type_id,
        **facts,
    )


def inventory(*parents: Parent, devices: tuple[Device, ...] = (), **more: Any) -> Inventory:
    return Inventory(parents=parents, devices=devices, **more)
