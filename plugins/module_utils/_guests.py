# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests of a host with their mediated devices: what libvirt says of them, and what the host has under these UUIDs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._domain_xml import DomainMdev, parse_domain
from ._errors import GuestsUnknown
from ._migration import Versions
from ._model import Inventory
from ._states import State
from ._virsh import SHUT_OFF, Virsh

Result = dict[str, Any]


def guest_results(virsh: Virsh, names: Sequence[str], inventory: Inventory) -> list[Result]:
    """The guests with these names, all where there is none."""
    here = virsh.names("--all")
    unknown = [name for name in names if name not in here]
    if unknown:
        raise GuestsUnknown(
            f"no guest {', '.join(unknown)} is on this host. Guests here: {', '.join(sorted(here)) or 'none'}",
            guests=unknown,
        )
    return [_guest(virsh, name, inventory) for name in (names or sorted(here))]


def _guest(virsh: Virsh, name: str, inventory: Inventory) -> Result:
    state = virsh.state(name)
    mdevs = parse_domain(virsh.xml(name)).mdevs
    return {
        "name": name,
        "state": state,
        "running": state != SHUT_OFF,
        "devices": [_device(one, inventory) for one in mdevs],
    }


def _device(mdev: DomainMdev, inventory: Inventory) -> Result:
    device = inventory.device(mdev.uuid)
    definition = next(iter(inventory.definitions_of(mdev.uuid)), None)
    state = State(device, definition)
    parent = inventory.parent(state.parent)
    kind = parent.type(state.type_id) if parent is not None else None
    return {
        "uuid": mdev.uuid,
        "alias": mdev.alias,
        "model": mdev.model,
        "address": mdev.address,
        "type": state.type_id or None,
        "type_name": kind.name if kind is not None else None,
        "device_api": kind.device_api if kind is not None else None,
        "driver": device.driver if device is not None else None,
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
