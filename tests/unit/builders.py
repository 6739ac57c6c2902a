# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builders of small inventories for the unit tests."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.framework import MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import parent_nodedev
from ansible_collections.vfio.mdev.plugins.module_utils._model.framework import Framework
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Attribute,
    Definition,
    Device,
    Inventory,
    Parent,
    Type,
    User,
)

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
GUEST = User(4711, "qemu-system-x86_64", "web-1")


def mdev_type(
    type_id: str, left: Optional[int] = 1, name: Optional[str] = None, api: Optional[str] = "vfio-pci"
) -> Type:
    return Type(id=type_id, name=name or f"Name of {type_id}", device_api=api, available_instances=left)


def parent(address: str, *types: Type, subsystem: str = "pci", framework: Framework = MDEV, **more: Any) -> Parent:
    return Parent(
        address=address,
        subsystem=subsystem,
        nodedev=parent_nodedev(subsystem, address),
        path=f"/sys/devices/{address}",
        framework=framework,
        types=types,
        **more,
    )


def device(
    key: str = UUID,
    on: str = "0000:41:00.4",
    type_id: Optional[str] = "t-1",
    framework: Framework = MDEV,
    **more: Any,
) -> Device:
    facts: dict[str, Any] = {"users": (), "driver": "nvidia"}
    facts.update(more)
    device_id = framework.device_id(key, on)
    return Device(
        id=device_id,
        key=key,
        parent=on,
        path=framework.device_path(f"/sys/devices/{on}", device_id),
        nodedev=framework.nodedev(device_id, on),
        parent_nodedev=parent_nodedev("pci", on),
        framework=framework,
        type_id=type_id,
        **facts,
    )


def define(
    key: str = UUID,
    on: str = "0000:41:00.4",
    type_id: str = "t-1",
    autostart: bool = False,
    attributes: tuple[Attribute, ...] = (),
    other: tuple[tuple[str, str], ...] = (),
    framework: Framework = MDEV,
) -> Definition:
    return Definition(
        id=framework.device_id(key, on),
        key=key,
        parent=on,
        type_id=type_id,
        framework=framework,
        autostart=autostart,
        attributes=attributes,
        other=other,
    )


def inventory(*parents: Parent, devices: tuple[Device, ...] = (), **more: Any) -> Inventory:
    return Inventory(parents=parents, devices=devices, **more)
