# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments that modules share, and their conversion from parameters to values of the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._host.paths import DEFINITIONS_PATH, Host
from .._host.reader import machine_id
from .._model.addresses import parse_uuid
from .._model.errors import InvalidInput
from .._model.identity import UuidNamespace
from .._model.request import (
    FIRST,
    PLACEMENTS,
    DeviceRequest,
    checked_attributes,
    checked_name,
    checked_parents,
)

Spec = dict[str, dict[str, Any]]

SYSFS_ARGUMENTS: Spec = {"sysfs_path": {"type": "path", "default": "/sys"}}

HOST_ARGUMENTS: Spec = {
    **SYSFS_ARGUMENTS,
    "definitions_path": {"type": "path", "default": DEFINITIONS_PATH},
}

BACKENDS = ("auto", "sysfs", "mdevctl", "libvirt")

BACKEND_ARGUMENTS: Spec = {
    "backend": {"type": "str", "choices": list(BACKENDS), "default": "auto"},
    "uri": {"type": "str", "default": "qemu:///system"},
    "lock_timeout": {"type": "float", "default": 60},
}

# For modules that can wait for parents that do not exist yet.
WAIT_ARGUMENTS: Spec = {"wait_timeout": {"type": "float", "default": 0}}

NAMESPACE_ARGUMENTS: Spec = {
    "name_scope": {"type": "str", "choices": ["host", "global"], "default": "host"},
}

# The parents on which a device can be placed.
PLACEMENT_ARGUMENTS: Spec = {
    "parent": {"type": "str"},
    "parents": {"type": "list", "elements": "str"},
    "exclude_parents": {"type": "list", "elements": "str", "default": []},
    "placement": {"type": "str", "choices": list(PLACEMENTS), "default": FIRST},
    "numa_node": {"type": "int"},
}

# Options that can be set once for all entries of a set.
COMMON_ARGUMENTS: Spec = {
    "type": {"type": "str"},
    **PLACEMENT_ARGUMENTS,
    "attributes": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "value": {"type": "str", "required": True},
        },
    },
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "active": {"type": "bool", "default": True},
    "persistent": {"type": "bool", "default": True},
    "autostart": {"type": "bool", "default": True},
    "recreate": {"type": "bool", "default": False},
}

DEVICE_ARGUMENTS: Spec = {"uuid": {"type": "str"}, "name": {"type": "str"}, **COMMON_ARGUMENTS}

# Options of an entry of a set. They override those for all entries.
ENTRY_ARGUMENTS: Spec = {
    "count": {"type": "int"},
    **{
        name: {key: value for key, value in spec.items() if key != "default"} for name, spec in DEVICE_ARGUMENTS.items()
    },
}


def device_request(params: Mapping[str, Any]) -> DeviceRequest:
    """One device as requested by options. Its key is empty if no UUID is given."""
    present = params["state"] == "present"
    if present and not (params["active"] or params["persistent"]):
        raise InvalidInput(
            "active=false and persistent=false contradict state=present. To remove the device, use state=absent",
            option="active",
        )
    persistent = present and params["persistent"]
    pairs = params["attributes"]
    return DeviceRequest(
        key=parse_uuid(params["uuid"]) if params["uuid"] is not None else "",
        name=checked_name(params["name"]),
        active=present and params["active"],
        persistent=persistent,
        autostart=persistent and params["autostart"],
        type=params["type"] or None,
        attributes=None if pairs is None else checked_attributes([(pair["name"], pair["value"]) for pair in pairs]),
        recreate=params["recreate"],
        **placement_options(params),
    )


def placement_options(params: Mapping[str, Any]) -> dict[str, Any]:
    """The placement options, as fields of a request."""
    parents = [params["parent"]] if params["parent"] is not None else params["parents"] or []
    return {
        "parents": checked_parents(parents),
        "excluded": checked_parents(params["exclude_parents"]),
        "placement": params["placement"],
        "numa_node": params["numa_node"],
    }


def uuid_namespace(params: Mapping[str, Any], host: Host, set_name: str = "") -> UuidNamespace:
    """The namespace in which UUIDs are derived."""
    return UuidNamespace(machine_id(host) if params["name_scope"] == "host" else "", set_name)
