# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices as results show them: flat dictionaries, null instead of missing, the same in all modules."""

from __future__ import annotations

from typing import Any, Optional

from .._model.device_state import State
from .._model.inventory import Attribute, Device, Drift, Inventory
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
