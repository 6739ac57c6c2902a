# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a migration job, and what 'virsh migrate' gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._model.addresses import parse_uuid
from .._model.errors import InvalidInput

START, QUERY, ABORT, SUSPEND, DOWNTIME = STEPS = ("start", "query", "abort", "suspend", "max_downtime")

_GUEST_ARGUMENTS: dict[str, dict[str, Any]] = {
    "uuid": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "destination": {"type": "str", "required": True},
    "desturi": {"type": "str", "required": True},
    "running": {"type": "bool", "default": True},
    "has_devices": {"type": "bool", "default": True},
    "xml": {"type": "path"},
    "persistent_xml": {"type": "path"},
}

JOB_ARGUMENTS: dict[str, dict[str, Any]] = {
    "guests": {"type": "list", "elements": "dict", "required": True, "options": _GUEST_ARGUMENTS},
    "parallel": {"type": "int", "default": 1},
    "parallel_per_destination": {"type": "int"},
    "max_downtime": {"type": "int"},
    "stall_timeout": {"type": "float", "default": 30},
    "timeout": {"type": "float", "default": 0},
    "on_timeout": {"type": "str", "choices": ["abort", "suspend"], "default": "abort"},
    "bandwidth": {"type": "int"},
    "parallel_connections": {"type": "int"},
    "options": {"type": "list", "elements": "str", "default": []},
    "watch_interval": {"type": "float", "default": 5},
    "unreachable_timeout": {"type": "float", "default": 600},
    "uri": {"type": "str", "default": "qemu:///system"},
    "jobs_path": {"type": "path", "default": "/run/vfio-mdev/jobs"},
    "step": {"type": "str", "choices": list(STEPS)},
}

# Options of 'virsh migrate' that this collection sets or that hide a guest's arrival, and what to use instead.
_REFUSED = {
    "--live": "it follows from the guest's state",
    "--offline": "it follows from the guest's state",
    "--domain": "name the guest in guests",
    "--desturi": "it is the guest's desturi",
    "--xml": "it is the guest's xml",
    "--persistent-xml": "it is the guest's persistent_xml",
    "--persistent": "it follows from the guest's persistent_xml",
    "--undefinesource": "it follows from the guest's persistent_xml",
    "--dname": "the guest is expected under its own name",
    "--suspend": "the guest is expected to run",
    "--bandwidth": "use bandwidth",
    "--parallel": "use parallel_connections",
    "--parallel-connections": "use parallel_connections",
    "--timeout": "use timeout",
    "--timeout-suspend": "use on_timeout",
    "--timeout-postcopy": "use on_timeout",
    "--verbose": "the progress is shown already",
}
_POSTCOPY = "--postcopy"


def check_job_options(params: Mapping[str, Any]) -> None:
    """Refuses what can't work before anything is touched."""
    for option in params["options"]:
        name = option.split("=", 1)[0]
        if name in _REFUSED:
            text = f"options has {name}, which contradicts the other options: {_REFUSED[name]}"
            raise InvalidInput(f"{text}. Nothing was changed", option="options")
        if name.startswith(_POSTCOPY):
            _refuse_postcopy(name, params["guests"])
    for name in ("parallel", "parallel_per_destination", "max_downtime", "bandwidth", "parallel_connections"):
        if params[name] is not None and params[name] < 1:
            raise InvalidInput(f"{name} is {params[name]}: it must be 1 or more. Nothing was changed", option=name)
    for name in ("watch_interval", "stall_timeout"):
        # It would spin, or abort every migration at once. The comparison is also false for nan.
        if not 0 < params[name] <= 10**9:
            raise InvalidInput(f"{name} is {params[name]}: it must be more than 0. Nothing was changed", option=name)
    _check_guests(params["guests"])


def _refuse_postcopy(name: str, guests: Sequence[Mapping[str, Any]]) -> None:
    """QEMU can't copy the state of VFIO devices after the guest has moved (docs/devel/migration/vfio.rst, Postcopy)."""
    having = [guest["name"] for guest in guests if guest["running"] and guest["has_devices"]]
    if having:
        raise InvalidInput(
            f"options has {name}, but {', '.join(having)} has VFIO devices, which QEMU can't migrate by postcopy. "
            "Nothing was changed. Remove the option, and use max_downtime or on_timeout=suspend for a guest that does "
            "not converge",
            option="options",
        )


def _check_guests(guests: Sequence[Mapping[str, Any]]) -> None:
    uuids = [parse_uuid(guest["uuid"]) for guest in guests]
    twice = sorted({uuid for uuid in uuids if uuids.count(uuid) > 1})
    if twice:
        raise InvalidInput(f"guest {', '.join(twice)} is given twice. Nothing was changed", guests=twice)


def migrate_argv(guest: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """The arguments of virsh. It takes a name that is a number for the id of another guest, so there is no name."""
    argv = ["--connect", params["uri"], "migrate", "--live" if guest["running"] else "--offline"]
    if guest["xml"]:
        argv += ["--xml", guest["xml"]]
    if guest["persistent_xml"]:
        argv += ["--persistent", "--undefinesource", "--persistent-xml", guest["persistent_xml"]]
    if guest["running"] and params["bandwidth"] is not None:
        argv += ["--bandwidth", str(params["bandwidth"])]
    if guest["running"] and params["parallel_connections"] is not None:
        argv += ["--parallel", "--parallel-connections", str(params["parallel_connections"])]
    return [*argv, *params["options"], "--domain", guest["uuid"], "--desturi", guest["desturi"]]
