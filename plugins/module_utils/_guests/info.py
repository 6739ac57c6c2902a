# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests of a host with their mediated devices: what libvirt says of them, and what the host has under these UUIDs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

from .._model.device_state import State
from .._model.errors import LibvirtError
from .._model.inventory import Inventory
from .._model.versions import Versions
from .._xml.domain import DomainFunction, DomainMdev, parse_domain
from .virsh import SHUT_OFF, Virsh

Result = dict[str, Any]


def guest_results(virsh: Virsh, names: Sequence[str], inventory: Inventory) -> list[Result]:
    """The guests with these names, all where there is none."""
    here = virsh.names("--all")
    unknown = [name for name in names if name not in here]
    if unknown:
        raise LibvirtError(
            f"no guest {', '.join(unknown)} is on this host. Guests here: {', '.join(sorted(here)) or 'none'}",
            guests=unknown,
        )
    return [_guest(virsh, name, inventory) for name in (names or sorted(here))]


def _guest(virsh: Virsh, name: str, inventory: Inventory) -> Result:
    state = virsh.state(name)
    domain = parse_domain(virsh.xml(name))
    vgpus = [one for one in domain.functions if inventory.gives_functions(one.function)]
    return {
        "name": name,
        "state": state,
        "running": state != SHUT_OFF,
        "devices": [_mdev(one, inventory) for one in domain.mdevs] + [_vgpu(one, inventory) for one in vgpus],
    }


def _mdev(mdev: DomainMdev, inventory: Inventory) -> Result:
    state = State(inventory.device(mdev.uuid), next(iter(inventory.definitions_of(mdev.uuid)), None))
    return {"uuid": mdev.uuid, "function": None, "model": mdev.model, **_device(mdev, state, inventory)}


def _vgpu(function: DomainFunction, inventory: Inventory) -> Result:
    device = next((one for one in inventory.devices if one.parent == function.function), None)
    definition = next((one for one in inventory.definitions if one.parent == function.function), None)
    state = State(device, definition)
    return {"uuid": None, "function": function.function, "model": None, **_device(function, state, inventory)}


def _device(seen: Union[DomainMdev, DomainFunction], state: State, inventory: Inventory) -> Result:
    """What both have: how the guest sees it, and what it is on the host."""
    parent = inventory.parent(state.parent)
    kind = parent.type(state.type_id) if parent is not None else None
    return {
        "alias": seen.alias,
        "address": seen.address,
        "type": state.type_id or None,
        "type_name": kind.name if kind is not None else None,
        "device_api": kind.device_api if kind is not None else None,
        "driver": state.device.driver if state.device is not None else None,
        "attributes": [{"name": one.name, "value": one.value} for one in state.attributes],
    }


def versions_result(versions: Versions) -> Result:
    """What the host runs."""
    return {
        "kernel": versions.kernel,
        "libvirt": versions.libvirt,
        "qemu": versions.qemu,
        "drivers": dict(versions.drivers),
    }
