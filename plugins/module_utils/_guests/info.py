# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests of a host with their mediated devices, from libvirt's XML and from the inventory of the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Union

from .._host.paths import Host
from .._model.addresses import pci_address
from .._model.device_state import State
from .._model.errors import MdevError
from .._model.inventory import Inventory
from .._model.versions import Versions
from .._xml.domain import DomainFunction, DomainMdev, parse_domain
from .._xml.domain_cpu import parse_cpu
from .migratable import can_migrate, can_quiesce
from .virsh import SHUT_OFF, Virsh, matching_guests

Result = dict[str, Any]


def guest_results(virsh: Virsh, texts: Sequence[str], inventory: Inventory, host: Host) -> list[Result]:
    """The guests with these names or UUIDs, or all guests if none are given."""
    existing = virsh.guests("--all")
    uuids = matching_guests(texts, existing) if texts else sorted(existing, key=lambda uuid: (existing[uuid], uuid))
    return [_guest(virsh, uuid, existing[uuid], inventory, host) for uuid in uuids]


def _guest(virsh: Virsh, uuid: str, name: str, inventory: Inventory, host: Host) -> Result:
    """A guest. If libvirt does not answer for it, or its XML is refused, this is the guest's error."""
    guest: Result = {"name": name, "uuid": uuid, "state": None, "running": None, "devices": None}
    guest.update(migrating=None, command_line_devices=[], cpu=None, error=None)
    try:
        guest["state"] = virsh.state(uuid)
        guest["running"] = guest["state"] != SHUT_OFF
        guest["migrating"] = guest["running"] and virsh.job(uuid).is_migration
        text = virsh.xml(uuid)
        domain, cpu = parse_domain(text), parse_cpu(text)
    except MdevError as error:
        return {**guest, "error": error.message}
    vgpus = [function for function in domain.functions if inventory.gives_functions(function.function)]
    guest["devices"] = [
        *(_mdev(mdev, inventory, host) for mdev in domain.mdevs),
        *(_vgpu(function, inventory, host) for function in vgpus),
    ]
    guest["command_line_devices"] = [
        device for device in domain.command_line if pci_address(device) is None or inventory.gives_functions(device)
    ]
    guest["cpu"] = asdict(cpu) if cpu is not None else None
    return guest


def _mdev(mdev: DomainMdev, inventory: Inventory, host: Host) -> Result:
    state = State(inventory.device(mdev.uuid), next(iter(inventory.definitions_of(mdev.uuid)), None))
    return {"uuid": mdev.uuid, "function": None, "model": mdev.model, **_device(mdev, state, inventory, host)}


def _vgpu(function: DomainFunction, inventory: Inventory, host: Host) -> Result:
    device = next((device for device in inventory.devices if device.parent == function.function), None)
    definitions = (stored for stored in inventory.definitions if stored.parent == function.function)
    state = State(device, next(definitions, None))
    return {"uuid": None, "function": function.function, "model": None, **_device(function, state, inventory, host)}


def _device(hostdev: Union[DomainMdev, DomainFunction], state: State, inventory: Inventory, host: Host) -> Result:
    """The fields that both have: the device as the guest sees it, and as it is on the host."""
    parent = inventory.parent(state.parent)
    mdev_type = parent.type(state.type_id) if parent is not None else None
    return {
        "alias": hostdev.alias,
        "address": hostdev.address,
        "type": state.type_id or None,
        "type_name": mdev_type.name if mdev_type is not None else None,
        "device_api": mdev_type.device_api if mdev_type is not None else None,
        "driver": state.device.driver if state.device is not None else None,
        "can_migrate": can_migrate(host, state.device),
        "can_quiesce": can_quiesce(host, state.device),
        "attributes": [{"name": attribute.name, "value": attribute.value} for attribute in state.attributes],
    }


def versions_result(versions: Versions) -> Result:
    """The versions as results show them."""
    return {
        "kernel": versions.kernel,
        "libvirt": versions.libvirt,
        "qemu": versions.qemu,
        "drivers": dict(versions.drivers),
    }
