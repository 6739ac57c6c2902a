# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a result of mdev_info to the configuration of programs that give devices to guests. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]

_MDEV = "mdev"

# Source: pve_verify_node_name() in PVE::JSONSchema (pve-common).
_NODE_NAME = re.compile("[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?")


class ConsumerError(ValueError):
    """The request does not match the host."""


def nova_config(info: Result, types: Mapping[str, Sequence[str]]) -> str:
    """The sections of nova.conf for mediated devices and for vGPUs on virtual functions.

    types: for each type, by id or name, the cards or parents that should offer it

    nova refuses a parent that two types have. Source of both sections: nova/conf/devices.py and nova/conf/pci.py.
    """
    chosen = {mdev_type["id"]: mdev_type for mdev_type in (_type(info, name) for name in types)}
    places = dict(zip(chosen, (_addresses(info, type_id, names) for type_id, names in zip(chosen, types.values()))))
    _refuse_shared(places)
    lines: list[str] = []
    mdev = {type_id: places[type_id] for type_id in chosen if chosen[type_id]["framework"] == _MDEV}
    if mdev:
        lines += ["[devices]", f"enabled_mdev_types = {', '.join(mdev)}", ""]
    for type_id, addresses in mdev.items():
        lines += [f"[mdev_{type_id}]", f"device_addresses = {','.join(addresses)}", ""]
    functions = [
        {"address": address, "resource_class": _resource_class(chosen[type_id]), "managed": "no"}
        for type_id in chosen
        if type_id not in mdev
        for address in places[type_id]
    ]
    if functions:
        lines += ["[pci]", *(f"device_spec = {json.dumps(function)}" for function in functions), ""]
    return "\n".join(lines)


def kubevirt_devices(info: Result, domain: str) -> dict[str, list[dict[str, Any]]]:
    """KubeVirt's permittedHostDevices for all types of mediated devices of the host.

    KubeVirt selects a device by the name of its type, or by the id of a type without a name. Source: getMdevTypeName()
    in KubeVirt's pkg/virt-handler/device-manager/mediated_device.go.
    domain: of the names of resources, for example nvidia.com
    """
    names = sorted({str(row["name"] or row["id"]) for row in info["types"] if row["framework"] == _MDEV})
    return {
        "mediatedDevices": [
            {"mdevNameSelector": name, "resourceName": f"{domain}/{re.sub('[^A-Za-z0-9_.-]+', '_', name)}"}
            for name in names
        ]
    }


def proxmox_mapping(info: Result, node: str, parents: Sequence[str]) -> list[str]:
    """The entries of a node in a PCI mapping of Proxmox VE, one for each parent of mediated devices or vGPUs.

    Proxmox compares an entry with the device when a guest starts, and refuses one that differs or lacks a property that
    the device has. Source: $map_fmt and assert_valid() in PVE::Mapping::PCI (pve-guest-common).
    parents: addresses of cards or parents
    """
    if not _NODE_NAME.fullmatch(node):
        raise ConsumerError(f"'{node}' is not a valid name of a node")
    cards = {row["address"]: row for row in info["cards"]}
    rows = [row for name in parents for row in _parents(info, name)]
    return [_map_entry(node, row, cards) for row in {row["address"]: row for row in rows}.values()]


def _map_entry(node: str, parent: Result, cards: Mapping[str, Result]) -> str:
    function_of = parent["physical_function"]
    card = cards[function_of or parent["address"]]
    ids = str(card["function_pci_ids" if function_of else "pci_ids"] or "").split(":")
    if len(ids) not in (2, 4):
        raise ConsumerError(f"the PCI ids of {parent['address']} are unknown. Proxmox VE maps PCI devices only")
    entry = {"node": node, "path": parent["address"], "id": ":".join(ids[:2])}
    if ids[2:]:
        entry["subsystem-id"] = ":".join(ids[2:])
    if parent["iommu_group"] is not None:
        entry["iommugroup"] = parent["iommu_group"]
    return ",".join(f"{name}={value}" for name, value in entry.items())


def _parents(info: Result, name: str) -> list[Result]:
    """The parents with this address, or on the card with this address."""
    parents = [row for row in info["parents"] if name in (row["address"], row["physical_function"])]
    if not parents:
        raise ConsumerError(f"'{name}' is neither a card nor a parent of this host")
    return parents


def _type(info: Result, name: str) -> Result:
    matching = [row for row in info["types"] if name in (row["id"], row["name"])]
    if len(matching) == 1:
        return dict(matching[0])
    offered = ", ".join(f"{row['id']} ({row['name']})" for row in info["types"]) or "none"
    problem = "several types have this name" if matching else "the host offers no such type"
    raise ConsumerError(f"type '{name}': {problem}. Types of this host: {offered}")


def _addresses(info: Result, type_id: str, names: Iterable[str]) -> list[str]:
    """The parents with these addresses that can have the type, and those on cards with these addresses."""
    addresses: list[str] = []
    for name in names:
        parents = _parents(info, name)
        # A vGPU's type is set before nova gets its function; a mediated device is created by nova itself.
        addresses += [row["address"] for row in parents if row["framework"] == _MDEV or row["current_type"] == type_id]
    if not addresses:
        raise ConsumerError(f"type {type_id} is not set on any virtual function: create its vGPUs first")
    return addresses


def _refuse_shared(places: Mapping[str, Sequence[str]]) -> None:
    owner: dict[str, str] = {}
    for type_id, addresses in places.items():
        for address in addresses:
            other = owner.setdefault(address, type_id)
            if other != type_id:
                raise ConsumerError(f"parent {address} has types {other} and {type_id}, and nova accepts one type only")


def _resource_class(mdev_type: Result) -> str:
    """The name as Placement takes it: nova's documentation of resource_class."""
    return "CUSTOM_" + re.sub("[^A-Z0-9_]+", "_", str(mdev_type["name"] or mdev_type["id"]).upper())
