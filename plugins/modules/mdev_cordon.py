#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_cordon: arguments, the mark as it is and as it should be, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_cordon
short_description: Keep guests and new devices away from a host
version_added: 1.0.0
description:
  - Sets or removes a host's cordon mark. The playbooks C(vfio.mdev.find_destination) and C(vfio.mdev.drain) choose no
    host with a mark as a destination, and the role R(vfio.mdev.provision,ansible_collections.vfio.mdev.provision_role)
    creates no devices on it.
  - The mark is the file C(/var/lib/vfio-mdev/cordon.json), which only root can read and which survives reboots. A file
    that cannot be read counts as a mark.
  - Nothing else changes. Guests and devices on the host stay, and the other modules of this collection do not look at
    the mark.
extends_documentation_fragment:
  - vfio.mdev._attributes
  - vfio.mdev._attributes.action_group
  - vfio.mdev._host.sysfs
attributes:
  action_group:
    membership:
      - vfio.mdev.mdev_host
options:
  state:
    description: Whether the host should have a cordon mark.
    type: str
    choices: [present, absent]
    default: present
  reason:
    description:
      - Why the host is cordoned. The reason is shown wherever the host is refused.
      - If the host has a mark with another reason, the new reason replaces it.
      - If it is omitted, a mark keeps its reason, and a new mark gets the reason V(cordoned).
    type: str
requirements:
  - Linux with Python 3.9 or newer
seealso:
  - module: vfio.mdev.mdev_info
  - module: vfio.mdev.mdev_destination_info
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Keep guests and new devices away from a host
  vfio.mdev.mdev_cordon:
    reason: new driver on 12 December, ask the GPU team

- name: Open the host again
  vfio.mdev.mdev_cordon:
    state: absent

- name: Cordon a host from a container that has the host's file systems in /host
  vfio.mdev.mdev_cordon:
    reason: broken fan
    sysfs_path: /host/sys
"""

RETURN = r"""
cordon:
  description: The mark. V(null) if the host has none.
  returned: success
  type: dict
  contains:
    reason:
      description: Why the host is cordoned, or why the mark cannot be read.
      type: str
    since:
      description: The time at which the mark was set, in UTC. V(null) if the mark cannot be read.
      type: str
  sample:
    reason: broken fan
    since: "2026-11-26T22:10:05Z"
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description: V(file_error) if the mark could not be written or removed, or V(invalid_input).
      type: str
  sample: {kind: file_error, path: /var/lib/vfio-mdev/cordon.json, errno: 30}
"""

from datetime import datetime, timezone
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.vfio.mdev.plugins.module_utils._fleet.cordon import (
    Cordon,
    changed_cordon,
    cordon_path,
    read_cordon,
    write_cordon,
)
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import SYSFS_ARGUMENTS
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module

_DEFAULT_REASON = "cordoned"


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """The mark as it is and as it should be, then the change and the result."""
    host = Host.from_params(params)
    before = read_cordon(host)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    after = changed_cordon(before, _reason(params, before), now)
    if after != before and not check_mode:
        write_cordon(host, after)
    diff = {
        "before": _line(before),
        "after": _line(after),
        "before_header": cordon_path(host),
        "after_header": cordon_path(host),
    }
    result = {"changed": after != before, "cordon": after.as_result() if after is not None else None}
    return ModuleResult(result, diff=diff)


def _reason(params: dict[str, Any], before: Optional[Cordon]) -> Optional[str]:
    """Why the host should be cordoned. None if it should not."""
    if params["state"] == "absent":
        return None
    if params["reason"] is None:
        return before.reason if before is not None and before.since is not None else _DEFAULT_REASON
    reason = str(params["reason"]).strip()
    if not reason:
        raise InvalidInput("reason is empty: say why the host is cordoned, or leave reason out", option="reason")
    return reason


def _line(cordon: Optional[Cordon]) -> str:
    return f"cordoned since {cordon.since or 'an unknown time'}: {cordon.reason}\n" if cordon is not None else ""


def main() -> None:
    """Arguments, then the mark, then the result."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "reason": {"type": "str"},
            **SYSFS_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run_module(module, act)


if __name__ == "__main__":
    main()
