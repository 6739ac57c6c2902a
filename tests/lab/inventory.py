# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ansible inventory of the running lab hosts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab import cache, ssh
from lab.machine import Machine

_VARIABLE = "LAB_INVENTORY"
# All tasks of a play share one connection per host. Restoring a host closes it at once from the other side.
_PERSIST = ("ControlMaster=auto", "ControlPersist=60s")


def render(machines: Iterable[Machine]) -> dict[str, Any]:
    """The inventory as a dictionary with the groups lab, lab_SUITE, lab_LETTER."""
    hosts = list(machines)
    groups: dict[str, dict[str, Any]] = {}
    for machine in hosts:
        for group in (f"lab_{machine.name.suite}", f"lab_{machine.name.letter}"):
            groups.setdefault(group, {"hosts": {}})["hosts"][str(machine.name)] = {}
    return {
        "lab": {
            "hosts": {str(machine.name): _variables(machine) for machine in hosts},
            "children": groups,
        }
    }


def _variables(machine: Machine) -> dict[str, Any]:
    return {
        "ansible_host": "127.0.0.1",
        "ansible_port": machine.ssh_port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(machine.image.ssh_key),
        "ansible_ssh_args": " ".join(ssh.arguments((*_PERSIST, *ssh.OPTIONS))),
        "ansible_python_interpreter": "/usr/bin/python3",
        "lab_suite": machine.name.suite,
        "lab_peer": str(machine.name.peer),
        "lab_address": machine.name.lan_address,
    }


def path() -> Path:
    """The path of the inventory: LAB_INVENTORY of the environment, or a file in the lab's folder."""
    return Path(os.environ.get(_VARIABLE) or cache.root() / "inventory.yml")


def is_private() -> bool:
    """Whether the inventory belongs to the process that set LAB_INVENTORY, and not to all users of the lab."""
    return bool(os.environ.get(_VARIABLE))


def write(machines: Iterable[Machine]) -> Path:
    """Write the inventory and return its path. JSON is valid YAML."""
    place = path()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(render(machines), indent=2) + "\n")
    return place
