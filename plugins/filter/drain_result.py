# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter drain_result."""

from __future__ import annotations

DOCUMENTATION = r"""
name: drain_result
short_description: Show what became of each guest of a host that is emptied
version_added: 1.0.0
description:
  - Returns where each guest of a plan is after the migrations, and what went wrong, for people and for playbooks. The
    playbook C(vfio.mdev.drain) returns it as the fact C(drain_result).
options:
  _input:
    description: The plan of P(vfio.mdev.plan_moves#filter).
    type: dict
    required: true
  source:
    description: The name of the host that is emptied.
    type: str
    required: true
  here:
    description: The UUIDs of the guests that the host has now.
    type: list
    elements: str
    required: true
  finished:
    description:
      - The guests that should have been migrated. Each has C(uuid), C(name), C(destination) and C(outcome) as in
        RV(vfio.mdev.mdev_guest_migrate#module:guests), C(problem) (what went wrong, empty if nothing did), C(host) (the
        destination if the guest is there, else null), and may have C(downtime).
    type: list
    elements: dict
    required: true
positional: source, here, finished
seealso:
  - plugin: vfio.mdev.plan_moves
    plugin_type: filter
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Show where each guest is
  ansible.builtin.debug:
    msg: "{{ (plan | vfio.mdev.drain_result('gpu-7', here, finished)).summary }}"
  vars:
    here: "{{ now_on_gpu_7.guests | map(attribute='uuid') }}"
    finished: "{{ migrated.guests | map('combine', {'problem': '', 'host': 'gpu-3'}) }}"
"""

RETURN = r"""
_value:
  description: The result.
  type: dict
  contains:
    guests:
      description:
        - All guests by name, each with C(uuid), C(name), C(host) (where it is, null if that is unknown),
          C(destination), C(outcome), C(downtime) in milliseconds (null if unknown) and C(problem) (empty if there is
          none).
        - C(outcome) is that of M(vfio.mdev.mdev_guest_migrate), or V(unplaced) for a guest without a destination.
      type: list
      elements: dict
    left:
      description: The names of the guests that did not arrive, or were not committed.
      type: list
      elements: str
    summary:
      description: The result as lines for people.
      type: list
      elements: str
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.plugin_utils._destinations import table
from ansible_collections.vfio.mdev.plugins.plugin_utils._drain import guest_rows, row_result


def drain_result(
    plan: Mapping[str, Any], source: str, here: Collection[str], finished: Collection[Mapping[str, Any]]
) -> dict[str, Any]:
    """What became of each guest."""
    if not isinstance(plan, Mapping) or "unplaced" not in plan:
        raise AnsibleFilterError(
            f"vfio.mdev.drain_result: expected a plan of vfio.mdev.plan_moves, got {type(plan).__name__}"
        )
    rows, left = guest_rows(plan["unplaced"], finished, source, here)
    lines = table([(row.name, f"on {row.host}" if row.host else "on an unknown host", row.text) for row in rows])
    return {
        "guests": [row_result(row) for row in rows],
        "left": [row.name for row in left],
        "summary": lines,
    }


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"drain_result": drain_result}
