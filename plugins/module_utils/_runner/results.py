# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How what a host holds looks in results: flat dictionaries, null rather than missing, the same in all modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

from .._model.addresses import address_key
from .._model.device_state import State
from .._model.errors import used_by
from .._model.inventory import MDEV, VENDOR_VFIO, Device, Drift, Inventory, Parent, Type

if TYPE_CHECKING:
    from .._info.capacity_answers import Fit


Result = dict[str, Any]


def device_result(
    state: State,
    inventory: Inventory,
    drift: tuple[Drift, ...] = (),
    xml: Optional[str] = None,
    hostdev_xml: Optional[str] = None,
) -> Result:
    """One device in both existences. xml: as a node device, hostdev_xml: as a guest gets it."""
    device, definition = state.device, state.definition
    parent = inventory.parent(state.parent)
    kind = parent.type(state.type_id) if parent is not None else None
    return {
        "uuid": shown_uuid(state.framework, state.uuid),
        "nodedev": device.nodedev if device is not None else state.nodedev,
        "framework": state.framework,
        "parent": state.parent,
        "parent_nodedev": parent.nodedev if parent is not None else None,
        "type": state.type_id or None,
        "type_name": kind.name if kind is not None else None,
        "device_api": kind.device_api if kind is not None else None,
        "active": device is not None and not device.removing,
        "defined": definition is not None,
        "autostart": definition is not None and definition.autostart,
        "removing": device is not None and device.removing,
        "attributes": [{"name": one.name, "value": one.value} for one in state.attributes],
        "iommu_group": device.iommu_group if device is not None else None,
        "numa_node": parent.numa_node if parent is not None else None,
        "in_use": _in_use(device),
        "used_by": used_by(device) if device is not None else [],
        "drift": [{"field": one.field, "wanted": one.wanted, "actual": one.actual} for one in drift],
        "xml": xml,
        "hostdev_xml": hostdev_xml,
    }


def shown_uuid(framework: str, uuid: str) -> Optional[str]:
    """A vGPU under the vendor's own framework has none: it is known by its function."""
    return uuid if framework == MDEV else None


def _in_use(device: Optional[Device]) -> Optional[bool]:
    if device is None:
        return False
    return None if device.users is None else bool(device.users)


def parent_result(parent: Parent, inventory: Inventory, xml: Optional[str] = None) -> Result:
    """One parent with its types and the UUIDs of the devices on it, active or defined."""
    devices, definitions = inventory.devices_on(parent.address), inventory.definitions_on(parent.address)
    active = Counter(one.type_id for one in devices)
    defined = Counter(one.type_id for one in definitions)
    uuids = {one.uuid for one in devices} | {one.uuid for one in definitions}
    return {
        "address": parent.address,
        "nodedev": parent.nodedev,
        "driver": parent.driver,
        "numa_node": parent.numa_node,
        "physical_function": parent.physical_function,
        "vfs": {"enabled": parent.vfs.enabled, "total": parent.vfs.total} if parent.vfs else None,
        "framework": parent.framework,
        "current_type": _current_type(parent, devices),
        "types": [_parent_type(one, active[one.id], defined[one.id]) for one in parent.types],
        "devices": sorted(uuids) if parent.framework == MDEV else [],
        "xml": xml,
    }


def _current_type(parent: Parent, devices: Sequence[Device]) -> Optional[str]:
    return next((one.type_id for one in devices), None) if parent.framework == VENDOR_VFIO else None


def _parent_type(kind: Type, active: int, defined: int) -> Result:
    return {
        "id": kind.id,
        "name": kind.name,
        "description": kind.description,
        "device_api": kind.device_api,
        "available_instances": kind.available_instances,
        "active": active,
        "defined": defined,
    }


def type_results(inventory: Inventory) -> list[Result]:
    """Types over the whole host. available_instances is an upper bound: types and parents may share what is left."""
    found: dict[str, list[tuple[Parent, Type]]] = {}
    for parent in inventory.parents:
        for kind in parent.types:
            found.setdefault(kind.id, []).append((parent, kind))
    active = Counter(one.type_id for one in inventory.devices)
    defined = Counter(one.type_id for one in inventory.definitions)
    return [_host_type(one, found[one], active[one], defined[one]) for one in sorted(found, key=address_key)]


def _host_type(type_id: str, offers: list[tuple[Parent, Type]], active: int, defined: int) -> Result:
    known = [kind.available_instances for _parent, kind in offers if kind.available_instances is not None]
    first = offers[0][1]
    return {
        "id": type_id,
        "name": first.name,
        "device_api": first.device_api,
        "parents": [parent.address for parent, _kind in offers],
        "available_instances": sum(known) if known else None,
        "active": active,
        "defined": defined,
    }


def fit_result(fit: Fit) -> Result:
    """Whether devices would fit, and why not. A reason with no parent is about all of them."""
    reasons: list[Result] = [{"parent": one.parent, "reason": one.reason} for one in fit.rejected]
    if fit.refused:
        reasons.append({"parent": None, "reason": fit.refused})
    return {
        "type": fit.ask.type,
        "count": fit.ask.count,
        "fits": fit.fitting == fit.ask.count,
        "fitting": fit.fitting,
        "placement": [{"parent": parent, "count": count} for parent, count in fit.on],
        "reasons": reasons,
    }
