# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter fleet_csv."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_csv
short_description: Convert a report on a fleet's mediated devices to CSV
version_added: 1.0.0
description:
  - Returns a table with one line for each host and type, and one line for each host without types.
  - The columns are C(host), C(state), C(framework), C(problems), C(type), C(type_name), C(in_use), C(use_unknown),
    C(idle), C(room) and C(defined). C(room) is V(any) if the number is not limited, and empty if it is unknown.
  - A text that a spreadsheet would take for a formula starts with a single quote.
options:
  _input:
    description: The result of P(vfio.mdev.fleet_report#filter).
    type: dict
    required: true
seealso:
  - plugin: vfio.mdev.fleet_report
    plugin_type: filter
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Write a table of the types on all hosts
  ansible.builtin.copy:
    content: "{{ answers | vfio.mdev.fleet_report | vfio.mdev.fleet_csv }}"
    dest: fleet.csv
    mode: "0644"
  vars:
    answers: >-
      {{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'report_mdev'))) }}
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The table, with its header.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.plugin_utils._fleet_csv import csv_of


def fleet_csv(report: Mapping[str, Any]) -> str:
    """The report as CSV."""
    if not isinstance(report, Mapping) or "hosts" not in report:
        raise AnsibleFilterError("vfio.mdev.fleet_csv: expected the result of vfio.mdev.fleet_report")
    return csv_of(report)


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"fleet_csv": fleet_csv}
