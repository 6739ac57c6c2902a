# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments that modules share, and what they mean: parameters in, values of the core out."""

from __future__ import annotations

from typing import Any

from .._host.paths import HostPaths
from .._host.reader import machine_id
from .._model.addresses import parse_uuid
from .._model.errors import InvalidInput
from .._model.identity import Owner
from .._model.request import FIRST, PLACEMENTS, Wanted, checked_attributes, checked_parents

Spec = dict[str, dict[str, Any]]

SYSFS_ARGUMENTS: Spec = {"sysfs_path": {"type": "path", "default": "/sys"}}

HOST_ARGUMENTS: Spec = {
    **SYSFS_ARGUMENTS,
    "definitions_path": {"type": "path", "default": "/etc/mdevctl.d"},
}

IDENTITY_ARGUMENTS: Spec = {
    "name_scope": {"type": "str", "choices": ["host", "global"], "default": "host"},
}

# Where a device may go.
PLACE_ARGUMENTS: Spec = {
    "parent": {"type": "str"},
    "parents": {"type": "list", "elements": "str"},
    "exclude_parents": {"type": "list", "elements": "str", "default": []},
    "placement": {"type": "str", "choices": list(PLACEMENTS), "default": FIRST},
    "numa_node": {"type": "int"},
}

# What may be said once for all entries of a set.
COMMON_ARGUMENTS: Spec = {
    "type": {"type": "str"},
    **PLACE_ARGUMENTS,
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

# What an entry of a set may say, in place of what is said for all.
ENTRY_ARGUMENTS: Spec = {
    "count": {"type": "int"},
    **{
        name: {key: value for key, value in spec.items() if key != "default"} for name, spec in DEVICE_ARGUMENTS.items()
    },
}


def pattern(params: dict[str, Any]) -> Wanted:
    """One device as asked for. Its UUID is empty where none is given."""
    present = params["state"] == "present"
    if present and not (params["active"] or params["persistent"]):
        raise InvalidInput(
            "active: false with persistent: false asks for a device that is nowhere. Use state: absent to remove it",
            option="active",
        )
    persistent = present and params["persistent"]
    pairs = params["attributes"]
    return Wanted(
        uuid=parse_uuid(params["uuid"]) if params["uuid"] is not None else "",
        active=present and params["active"],
        persistent=persistent,
        autostart=persistent and params["autostart"],
        type=params["type"] or None,
        attributes=None if pairs is None else checked_attributes([(one["name"], one["value"]) for one in pairs]),
        recreate=params["recreate"],
        **place(params),
    )


def place(params: dict[str, Any]) -> dict[str, Any]:
    """Where a device may go, as the fields of what is asked for."""
    return {
        "parents": checked_parents([params["parent"]] if params["parent"] is not None else params["parents"] or []),
        "excluded": checked_parents(params["exclude_parents"]),
        "placement": params["placement"],
        "numa_node": params["numa_node"],
    }


def owner(params: dict[str, Any], set_name: str = "") -> Owner:
    """Whose UUIDs are derived."""
    return Owner(machine_id(HostPaths(params["sysfs_path"])) if params["name_scope"] == "host" else "", set_name)
