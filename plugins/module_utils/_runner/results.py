# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of a host as results show it: flat dictionaries, null instead of missing, the same in all modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Optional

from .._info.cards import SlicedCard, offer_of
from .._info.room import add_room
from .._model.addresses import address_key
from .._model.device_state import State
from .._model.inventory import Attribute, Device, Drift, Inventory, Parent, Type, Vfs
from .._model.refusals import used_by
from .._xml.hostdev import hostdev_xml

Result = dict[str, Any]


def device_result(
    state: State,
    inventory: Inventory,
    drift: tuple[Drift, ...] = (),
    xml: Optional[str] = None,
) -> Result:
    """One device, active, defined or both. xml: its node device."""
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
        # Without its type, nobody knows how a guest would see it.
        "hostdev_xml": hostdev_xml(state, mdev_type.device_api) if mdev_type is not None else None,
    }


def attribute_results(attributes: tuple[Attribute, ...]) -> list[Result]:
    """Attributes, in their order."""
    return [{"name": attribute.name, "value": attribute.value} for attribute in attributes]


def _in_use(device: Optional[Device]) -> Optional[bool]:
    if device is None:
        return False
    return None if device.users is None else bool(device.users)


def parent_result(parent: Parent, inventory: Inventory, card: SlicedCard, xml: Optional[str] = None) -> Result:
    """One parent with what it offers and the UUIDs of the devices on it, active or defined."""
    devices, definitions = inventory.devices_on(parent.address), inventory.definitions_on(parent.address)
    uuids = {device.uuid for device in devices} | {definition.uuid for definition in definitions}
    current = next((device.type_id for device in devices), None) if parent.framework.parent_is_device else None
    offer = offer_of(parent)
    return {
        "address": parent.address,
        "nodedev": parent.nodedev,
        "driver": parent.driver,
        "numa_node": parent.numa_node,
        "physical_function": parent.physical_function,
        "vfs": _vfs_result(parent.vfs),
        "framework": parent.framework.name,
        "current_type": current,
        "types": None if offer == card.offer else offer,
        "devices": sorted(uuid for uuid in uuids if uuid is not None),
        "xml": xml,
    }


def _vfs_result(vfs: Optional[Vfs]) -> Optional[Result]:
    return {"enabled": vfs.enabled, "total": vfs.total} if vfs is not None else None


def card_result(card: SlicedCard, users_read: bool) -> Result:
    """One card with the numbers of its devices and the room that is left. users_read: whether users were looked for."""
    return {
        "address": card.address,
        "driver": card.driver,
        "numa_node": card.numa_node,
        "framework": card.framework.name if card.framework is not None else None,
        "functions": _vfs_result(card.vfs),
        "serial": card.modes.serial if card.modes is not None else None,
        "mig": card.modes.mig if card.modes is not None else None,
        "gpu_instances": list(card.modes.instances) if card.modes is not None else [],
        "mixed_sizes": card.modes.mixed_sizes if card.modes is not None else None,
        "parents": len(card.parents),
        "types": card.offer,
        "room": {type_id: room for type_id, room in (card.room or {}).items() if room != 0},
        "devices": [
            {"type": count.type_id or None, "active": count.active, "defined": count.defined} for count in card.counts
        ],
        "in_use": card.in_use if users_read else None,
        "idle": card.idle if users_read else None,
        "use_unknown": card.use_unknown if users_read else None,
    }


def type_results(cards: Sequence[SlicedCard], inventory: Inventory) -> list[Result]:
    """The types of these cards. inventory: where devices and definitions are counted."""
    offers: dict[str, list[tuple[Parent, Type]]] = {}
    for card in cards:
        for parent in card.parents:
            for mdev_type in parent.types:
                offers.setdefault(mdev_type.id, []).append((parent, mdev_type))
    active = Counter(device.type_id for device in inventory.devices)
    defined = Counter(definition.type_id for definition in inventory.definitions)
    rooms = {type_id: add_room([(card.room or {}).get(type_id) for card in cards]) for type_id in offers}
    return [
        {
            **_type_result(offers[type_id]),
            "room": rooms[type_id],
            "active": active[type_id],
            "defined": defined[type_id],
        }
        for type_id in sorted(offers, key=address_key)
    ]


def _type_result(offers: list[tuple[Parent, Type]]) -> Result:
    available = [mdev_type.available_instances for _parent, mdev_type in offers]
    parent, first = offers[0]
    return {
        "id": first.id,
        "name": first.name,
        "description": first.description,
        "driver": parent.driver,
        "device_api": first.device_api,
        "framework": parent.framework.name,
        "parents": len(offers),
        "available_instances": add_room(available),
        "limited": parent.framework.is_limited(first),
    }
