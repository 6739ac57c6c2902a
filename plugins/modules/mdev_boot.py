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
  - The unit is enabled, and started by the next boot. Nothing is started now.
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
    description: Units that must be done before, such as a vendor's unit that enables virtual functions.
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

from ansible_collections.vfio.mdev.plugins.module_utils._boot_unit import (
    BootUnit,
    FileChange,
    apply_changes,
    disable,
    enable,
    forget,
    is_enabled,
    plan_absent,
    plan_present,
)
from ansible_collections.vfio.mdev.plugins.module_utils._errors import MdevError
from ansible_collections.vfio.mdev.plugins.module_utils._host import HostPaths


def plan(params: dict[str, Any], paths: HostPaths) -> list[FileChange]:
    """What differs from what is asked."""
    if params["state"] == "absent":
        return plan_absent(paths, params["folder"])
    unit = BootUnit(params["folder"], params["python"], params["wait_seconds"], tuple(params["after"]))
    return plan_present(paths, unit)


def apply(params: dict[str, Any], paths: HostPaths, changes: list[FileChange], enabled: bool) -> None:
    """Makes it so. The unit is enabled after all that it needs is there, and disabled before."""
    if params["state"] == "absent" and enabled:
        disable()
    apply_changes(paths, params["folder"], changes)
    if params["state"] == "present":
        enable(bool(changes), enabled)
    elif changes:
        forget()


def diff(change: FileChange) -> dict[str, str]:
    """One file's part of the diff."""
    return {
        "before_header": change.path,
        "after_header": change.path,
        "before": (change.before or b"").decode("utf-8", "replace"),
        "after": (change.after or b"").decode("utf-8", "replace"),
    }


def main() -> None:
    """Arguments, what differs, apply, result."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "wait_seconds": {"type": "int", "default": 120},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "folder": {"type": "path", "default": "/usr/local/lib/vfio-mdev"},
            "after": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    wanted = module.params["state"] == "present"
    try:
        paths = HostPaths()
        changes = plan(module.params, paths)
        enabled = is_enabled(paths)
        if not module.check_mode:
            apply(module.params, paths, changes, enabled)
    except MdevError as error:
        module.fail_json(msg=error.message, error=error.as_result())
    module.exit_json(
        changed=bool(changes) or enabled != wanted,
        enabled=wanted,
        files=[change.path for change in changes],
        diff=[diff(change) for change in changes],
    )


if __name__ == "__main__":
    main()
