#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_boot: arguments, what differs, apply, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_boot
short_description: Have mediated devices started at boot
description:
  - Writes the systemd unit C(vfio-mdev.service) and the program that it runs, which is this collection's core.
  - At boot it starts every definition that is marked autostart, waits for late parents, and fails, naming
    the device, when one did not come up.
  - Where cards need virtual functions (O(vfs)), a second unit, C(vfio-mdev-vfs.service), enables them at boot, before
    devices are started.
  - The units are enabled, and started by the next boot. Nothing is started now.
options:
  state:
    description: Whether the unit is there and enabled, or gone.
    type: str
    choices: [present, absent]
    default: present
  wait_seconds:
    description: How many seconds the unit waits at boot for parents that are not there or have no room yet,
      all together.
    type: int
    default: 120
  python:
    description: The Python that runs the program, 3.9 or newer. No packages are needed.
    type: path
    default: /usr/bin/python3
  folder:
    description: Where the program is put.
    type: path
    default: /usr/local/lib/vfio-mdev
  after:
    description:
      - Units that must be done before devices are started, such as one of the vendor, or one that creates MIG
        instances.
    type: list
    elements: str
    default: []
  vfs:
    description:
      - Virtual functions (SR-IOV) that are to be enabled at boot, since cards forget them. See M(vfio.mdev.mdev_vfs).
      - Where it is left out, there is no unit for it.
    type: dict
    suboptions:
      cards:
        description: The cards.
        type: list
        elements: dict
        required: true
        suboptions:
          address:
            description: The card's PCI address.
            type: str
            required: true
          vfs:
            description: How many virtual functions it is to have, a number or V(max).
            type: str
            default: max
      tool:
        description: See O(vfio.mdev.mdev_vfs#module:tool).
        type: str
        choices: [auto, sysfs, sriov-manage]
        default: auto
      after:
        description: Units that must be done before functions are enabled, as a rule those that bring the driver.
        type: list
        elements: str
        default: []
      before:
        description: Units that need the functions, such as one that creates MIG instances. They start afterwards.
        type: list
        elements: str
        default: []
requirements:
  - Linux with systemd and Python 3.9 or newer.
attributes:
  check_mode:
    description: Runs in check mode and gives the same result, without changing anything.
    support: full
  diff_mode:
    description: Shows the files before and after.
    support: full
  platform:
    description: The platforms that the module runs on.
    support: full
    platforms: linux
seealso:
  - module: vfio.mdev.mdev_device
  - module: vfio.mdev.mdev_vfs
  - name: Man page mdevctl(8)
    description: Defines the format of definitions that the unit reads.
    link: https://github.com/mdevctl/mdevctl/blob/main/mdevctl.rst
author:
  - The vfio.mdev contributors (@vfio-mdev)
version_added: 0.1.0
"""

EXAMPLES = r"""
- name: Have devices started at boot
  vfio.mdev.mdev_boot:

- name: Have them started after the vendor's unit that enables virtual functions, and wait longer for parents
  vfio.mdev.mdev_boot:
    wait_seconds: 300
    after: [nvidia-vgpud.service]

- name: Have functions enabled after NVIDIA's unit, MIG instances made from them by a unit of one's own, then devices
  vfio.mdev.mdev_boot:
    after: [nvidia-vgpud.service, gpu-mig.service]
    vfs:
      cards:
        - address: "0000:41:00.0"
        - address: "0000:81:00.0"
          vfs: 4
      tool: auto
      after: [nvidia-vgpud.service]
      before: [gpu-mig.service]

- name: Run the unit with another Python from another place, on a host whose /usr can't be written
  vfio.mdev.mdev_boot:
    python: /opt/python3.12/bin/python3
    folder: /opt/vfio-mdev

- name: Have no devices started at boot
  vfio.mdev.mdev_boot:
    state: absent
"""

RETURN = r"""
files:
  description: The files that were or would be written or removed, in order.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/vfio-mdev.service]
enabled:
  description: Whether systemd starts the unit at boot, afterwards.
  returned: success
  type: bool
  sample: true
error:
  description: The facts of a failure, for playbooks.
  returned: failure
  type: dict
  contains:
    kind:
      description: V(invalid_input), V(files_refused), or V(backend_failed) where systemd refused.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.mdev.plugins.module_utils._boot.install import FileChange, apply_boot, plan_boot
from ansible_collections.vfio.mdev.plugins.module_utils._boot.units import Program, UnitFile, devices_unit, vfs_unit
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.arguments import (
    CARDS_ARGUMENT,
    VFS_BACKEND_ARGUMENT,
    vfs_requests,
)


def units(params: dict[str, Any], program: Program) -> list[UnitFile]:
    """The units that should be installed."""
    if params["state"] == "absent":
        return []
    wanted = [devices_unit(program, params["after_units"])]
    vfs = params["vfs"]
    if vfs is not None and vfs["cards"]:
        requests = vfs_requests(vfs["cards"])
        wanted.insert(0, vfs_unit(program, requests, vfs["backend"], vfs["after_units"], vfs["before_units"]))
    return wanted


def diff(change: FileChange) -> dict[str, str]:
    """One file's part of the diff."""
    return {
        "before_header": change.path,
        "after_header": change.path,
        "before": (change.before or b"").decode("utf-8", "replace"),
        "after": (change.after or b"").decode("utf-8", "replace"),
    }


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """What differs, then the files and units, then the result."""
    program = Program(params["program_path"], params["python"], params["wait_timeout"])
    host = Host()
    plan = plan_boot(host, program, units(params, program))
    if not check_mode and plan.changed:
        apply_boot(host, program, plan)
    return ModuleResult(
        {
            "changed": plan.changed,
            "enabled": params["state"] == "present",
            "files": [change.path for change in plan.files],
        },
        diff=[diff(change) for change in plan.files],
    )


def main() -> None:
    """Arguments, then what differs, the files and units, and the result."""
    units_argument = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "wait_timeout": {"type": "int", "default": 120},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "program_path": {"type": "path", "default": "/usr/local/lib/vfio-mdev"},
            "after_units": units_argument,
            "vfs": {
                "type": "dict",
                "options": {
                    "cards": CARDS_ARGUMENT,
                    "backend": VFS_BACKEND_ARGUMENT,
                    "after_units": units_argument,
                    "before_units": units_argument,
                },
            },
        },
        supports_check_mode=True,
    )
    run_module(module, act)


if __name__ == "__main__":
    main()
