# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cards, parents and types as mdev_info shows them: flat dictionaries, null instead of missing. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Optional

from .._model.addresses import address_key
from .._model.inventory import Inventory, Parent, Type, Vfs
from .cards import SlicedCard, offer_of
from .room import add_room

Result = dict[str, Any]


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
        "iommu_group": parent.iommu_group,
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
        "pci_ids": card.ids,
        "function_pci_ids": card.function_ids,
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
