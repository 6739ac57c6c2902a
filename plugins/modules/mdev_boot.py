#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_boot: arguments, what differs, write, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_boot
short_description: Install what starts mediated devices at boot
description:
  - Writes the systemd unit C(vfio-mdev.service) and the program that it runs, which is this collection's core.
  - At boot it starts every definition that is marked autostart, waits for late parents, and fails, naming
    the device, when one did not come up.
  - Role P(vfio.mdev.boot#role) calls this module and enables the unit. Use it unless systemd is managed elsewhere.
  - Nothing is started when it is installed.
options:
  state:
    description: Whether the files are there.
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
- name: Start devices at boot, after the vendor's unit for virtual functions
  vfio.mdev.mdev_boot:
    wait_seconds: 300
    after: [nvidia-vgpud.service]
  register: boot_files

- name: Have the unit run at boot
  ansible.builtin.systemd_service:
    name: vfio-mdev.service
    enabled: true
    daemon_reload: "{{ boot_files is changed }}"
"""

RETURN = r"""
files:
  description: The files that were or would be written or removed, in order.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/vfio-mdev.service]
error:
  description: The facts of a failure, for playbooks.
  returned: failure
  type: dict
  contains:
    kind:
      description: V(invalid_input) or V(files_refused).
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.mdev.plugins.module_utils import _boot  # noqa: F401 - has Ansible bring all of it
from ansible_collections.vfio.mdev.plugins.module_utils._boot_unit import (
    BootUnit,
    FileChange,
    apply_changes,
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


def diff(change: FileChange) -> dict[str, str]:
    """One file's part of the diff."""
    return {
        "before_header": change.path,
        "after_header": change.path,
        "before": (change.before or b"").decode("utf-8", "replace"),
        "after": (change.after or b"").decode("utf-8", "replace"),
    }


def main() -> None:
    """Arguments, what differs, write, result."""
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
    try:
        paths = HostPaths()
        changes = plan(module.params, paths)
        if not module.check_mode:
            apply_changes(paths, module.params["folder"], changes)
    except MdevError as error:
        module.fail_json(msg=error.message, error=error.as_result())
    module.exit_json(
        changed=bool(changes),
        files=[change.path for change in changes],
        diff=[diff(change) for change in changes],
    )


if __name__ == "__main__":
    main()
