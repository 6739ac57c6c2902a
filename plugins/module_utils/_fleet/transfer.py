# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An inventory and requests as plain data, so that another host can plan with them, and back.

Only what the planner needs is carried. The functions of a card mostly offer the same, so each offer is carried once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from .._frameworks.registry import FRAMEWORKS
from .._model.inventory import Attribute, BrokenDefinition, Definition, Device, Inventory, Parent, Type, User
from .._model.request import DeviceRequest

Data = dict[str, Any]

_FRAMEWORKS = {framework.name: framework for framework in FRAMEWORKS}


def inventory_data(inventory: Inventory) -> Data:
    """The inventory as plain data."""
    offers: dict[tuple[Type, ...], int] = {}
    parents = [_parent_data(parent, offers.setdefault(parent.types, len(offers))) for parent in inventory.parents]
    return {
        "parents": parents,
        "offers": [[asdict(mdev_type) for mdev_type in types] for types in offers],
        "devices": [_device_data(device) for device in inventory.devices],
        "definitions": [_definition_data(definition) for definition in inventory.definitions],
        "broken": [asdict(broken) for broken in inventory.broken],
    }


def inventory_of(data: Mapping[str, Any]) -> Inventory:
    """The inventory in plain data."""
    offers = [tuple(Type(**mdev_type) for mdev_type in types) for types in data["offers"]]
    return Inventory(
        parents=tuple(_parent(parent, offers) for parent in data["parents"]),
        devices=tuple(_device(device) for device in data["devices"]),
        definitions=tuple(_definition(definition) for definition in data["definitions"]),
        broken=tuple(BrokenDefinition(**broken) for broken in data["broken"]),
    )


def request_data(request: DeviceRequest) -> Data:
    """The request as plain data."""
    return asdict(request)


def request_of(data: Mapping[str, Any]) -> DeviceRequest:
    """The request in plain data."""
    attributes = data["attributes"]
    return DeviceRequest(
        **{
            **data,
            "parents": tuple(data["parents"]),
            "excluded": tuple(data["excluded"]),
            "attributes": None if attributes is None else _attributes(attributes),
        }
    )


def _parent_data(parent: Parent, offer: int) -> Data:
    return {
        "address": parent.address,
        "nodedev": parent.nodedev,
        "framework": parent.framework.name,
        "driver": parent.driver,
        "numa_node": parent.numa_node,
        "physical_function": parent.physical_function,
        "offer": offer,
    }


def _parent(data: Mapping[str, Any], offers: list[tuple[Type, ...]]) -> Parent:
    fields = {name: value for name, value in data.items() if name not in ("framework", "offer")}
    framework, types = _FRAMEWORKS[data["framework"]], offers[data["offer"]]
    return Parent(subsystem="", path="", framework=framework, types=types, **fields)


def _device_data(device: Device) -> Data:
    return {
        "id": device.id,
        "key": device.key,
        "parent": device.parent,
        "framework": device.framework.name,
        "type_id": device.type_id,
        "removing": device.removing,
        "users": None if device.users is None else [asdict(user) for user in device.users],
    }


def _device(data: Mapping[str, Any]) -> Device:
    users = data["users"]
    changed = {
        "framework": _FRAMEWORKS[data["framework"]],
        "users": None if users is None else tuple(User(**user) for user in users),
    }
    return Device(path="", nodedev="", parent_nodedev="", **{**data, **changed})


def _definition_data(definition: Definition) -> Data:
    return {
        "id": definition.id,
        "key": definition.key,
        "parent": definition.parent,
        "framework": definition.framework.name,
        "type_id": definition.type_id,
        "autostart": definition.autostart,
        "attributes": [asdict(attribute) for attribute in definition.attributes],
    }


def _definition(data: Mapping[str, Any]) -> Definition:
    changed = {"framework": _FRAMEWORKS[data["framework"]], "attributes": _attributes(data["attributes"])}
    return Definition(**{**data, **changed})


def _attributes(pairs: Iterable[Mapping[str, str]]) -> tuple[Attribute, ...]:
    return tuple(Attribute(**pair) for pair in pairs)
