# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of a host as results show it: flat dictionaries, null instead of missing, the same in all modules."""

from __future__ import annotations

from collections import Counter
from typing import Any, Optional

from .._model.addresses import address_key
from .._model.device_state import State
from .._model.inventory import Attribute, Device, Drift, Inventory, Parent, Type
from .._model.refusals import used_by

Result = dict[str, Any]


def device_result(
    state: State,
    inventory: Inventory,
    drift: tuple[Drift, ...] = (),
    xml: Optional[str] = None,
    hostdev_xml: Optional[str] = None,
) -> Result:
    """One device, active, defined or both. xml: its node device. hostdev_xml: its <hostdev> for a guest."""
    device, definition = state.device, state.definition
    parent = inventory.parent(state.parent)
    mdev_type = parent.type(state.type_id) if parent is not None else None
    return {
        "uuid": state.uuid,
        "nodedev": device.nodedev if device is not None else state.nodedev,
        "framework": state.framework.name,
        "parent": state.parent,
        "parent_nodedev": parent.nodedev if parent is not None else None,
        "type": state.type_id or None,
        "type_name": mdev_type.name if mdev_type is not None else None,
        "device_api": mdev_type.device_api if mdev_type is not None else None,
        "active": device is not None and not device.removing,
        "defined": definition is not None,
        "autostart": definition is not None and definition.autostart,
        "removing": device is not None and device.removing,
        "attributes": attribute_results(state.attributes),
        "iommu_group": device.iommu_group if device is not None else None,
        "numa_node": parent.numa_node if parent is not None else None,
        "gpu_instance_id": device.gpu_instance_id if device is not None else None,
        "placement_id": device.placement_id if device is not None else None,
        "in_use": _in_use(device),
        "used_by": used_by(device) if device is not None else [],
        "drift": [
            {"field": difference.field, "wanted": difference.wanted, "actual": difference.actual}
            for difference in drift
        ],
        "xml": xml,
        "hostdev_xml": hostdev_xml,
    }


def attribute_results(attributes: tuple[Attribute, ...]) -> list[Result]:
    """Attributes, in their order."""
    return [{"name": attribute.name, "value": attribute.value} for attribute in attributes]


def _in_use(device: Optional[Device]) -> Optional[bool]:
    if device is None:
        return False
    return None if device.users is None else bool(device.users)


def parent_result(parent: Parent, inventory: Inventory, xml: Optional[str] = None) -> Result:
    """One parent with its types and the UUIDs of the devices on it, active or defined."""
    devices, definitions = inventory.devices_on(parent.address), inventory.definitions_on(parent.address)
    active = Counter(device.type_id for device in devices)
    defined = Counter(definition.type_id for definition in definitions)
    uuids = {device.uuid for device in devices} | {definition.uuid for definition in definitions}
    current = next((device.type_id for device in devices), None) if parent.framework.parent_is_device else None
    return {
        "address": parent.address,
        "nodedev": parent.nodedev,
        "driver": parent.driver,
        "numa_node": parent.numa_node,
        "physical_function": parent.physical_function,
        "vfs": {"enabled": parent.vfs.enabled, "total": parent.vfs.total} if parent.vfs else None,
        "framework": parent.framework.name,
        "current_type": current,
        "types": [_parent_type(mdev_type, active[mdev_type.id], defined[mdev_type.id]) for mdev_type in parent.types],
        "devices": sorted(uuid for uuid in uuids if uuid is not None),
        "xml": xml,
    }


def card_results(inventory: Inventory) -> list[Result]:
    """The modes of cards, as far as they were read."""
    return [
        {
            "address": modes.address,
            "serial": modes.serial,
            "mig": modes.mig,
            "gpu_instances": list(modes.instances),
            "mixed_sizes": modes.mixed_sizes,
        }
        for modes in inventory.cards
    ]


def _parent_type(mdev_type: Type, active: int, defined: int) -> Result:
    return {
        "id": mdev_type.id,
        "name": mdev_type.name,
        "description": mdev_type.description,
        "device_api": mdev_type.device_api,
        "available_instances": mdev_type.available_instances,
        "active": active,
        "defined": defined,
    }


def type_results(inventory: Inventory) -> list[Result]:
    """Types over the whole host. available_instances is an upper bound: types and parents may share capacity."""
    offers: dict[str, list[tuple[Parent, Type]]] = {}
    for parent in inventory.parents:
        for mdev_type in parent.types:
            offers.setdefault(mdev_type.id, []).append((parent, mdev_type))
    active = Counter(device.type_id for device in inventory.devices)
    defined = Counter(definition.type_id for definition in inventory.definitions)
    return [
        _host_type(type_id, offers[type_id], active[type_id], defined[type_id])
        for type_id in sorted(offers, key=address_key)
    ]


def _host_type(type_id: str, offers: list[tuple[Parent, Type]], active: int, defined: int) -> Result:
    available = [mdev_type.available_instances for _parent, mdev_type in offers]
    known = [instances for instances in available if instances is not None]
    first = offers[0][1]
    return {
        "id": type_id,
        "name": first.name,
        "device_api": first.device_api,
        "parents": [parent.address for parent, _mdev_type in offers],
        "available_instances": sum(known) if known else None,
        "active": active,
        "defined": defined,
    }
