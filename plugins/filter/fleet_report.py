# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter fleet_report."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_report
short_description: Count and sort a fleet's mediated devices for a report
version_added: 1.0.0
description:
  - Returns the rows of a report on the results of M(vfio.mdev.mdev_info) on each host. The playbook C(vfio.mdev.report)
    writes them as a page.
  - A host that is unreachable or failed is listed with this state.
  - Nothing is escaped. Texts that come from hosts, such as names of guests, are not safe HTML.
options:
  _input:
    description:
      - The result of M(vfio.mdev.mdev_info) for each host name, with all parts of
        O(vfio.mdev.mdev_info#module:gather).
    type: dict
    required: true
seealso:
  - module: vfio.mdev.mdev_info
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Retrieve the mediated devices of all hosts
  vfio.mdev.mdev_info:
  register: report_mdev

- name: Show the totals of the fleet
  ansible.builtin.debug:
    msg: "{{ (dict(names | zip(names | map('extract', hostvars, 'report_mdev'))) | vfio.mdev.fleet_report).totals }}"
  vars:
    names: "{{ ansible_play_hosts_all }}"
  run_once: true
"""

RETURN = r"""
_value:
  description:
    - The report.
    - C(usage) has C(in_use), C(unknown) and C(idle), the devices in the kernel by their use, C(room), how many more
      would fit (null if no driver reports it), C(unlimited), whether any number would fit, and C(in_use_share),
      C(unknown_share) and C(idle_share), percentages of these numbers together. The room of a card or host is that of
      the type that fits most often.
  type: dict
  contains:
    totals:
      description: The fleet in numbers, with C(hosts), C(answered) (hosts), C(cards), C(cards_with_room), C(functions),
        C(active), C(in_use), C(unknown), C(idle), C(defined), C(autostart), C(drifted), C(orphaned) (devices),
        C(problems) (hosts that need attention).
      type: dict
    hosts:
      description: Each host, those that need attention first, with C(name), C(state) (V(answered), V(unreachable) or
        V(failed)), C(framework), C(usage), C(defined), C(drifted), C(orphaned), C(problems), C(cards), C(types),
        C(devices), C(notes).
      type: list
      elements: dict
    types:
      description: Each type across all hosts, those with room first, with C(id), C(name), C(device_api), C(defined),
        C(usage), C(hosts), the same numbers for each host that has devices or room, and C(full_hosts), the number of
        other hosts that offer the type.
      type: list
      elements: dict
    users:
      description: The users of devices, with C(host), C(guest), C(process), C(devices) (their types with their number).
      type: list
      elements: dict
    drift:
      description: Differences between hosts and their definitions, with C(host), C(device), C(parent), C(field),
        C(wanted), C(actual).
      type: list
      elements: dict
    notes:
      description: What needs attention, then hints, with C(hosts), C(category), C(text), and C(problem), whether it
        needs attention.
      type: list
      elements: dict
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.plugin_utils._fleet_reading import fleet_of


def fleet_report(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of a report on these hosts."""
    if not isinstance(answers, Mapping):
        raise AnsibleFilterError(
            f"vfio.mdev.fleet_report: expected a dictionary of hosts and their answers, got {type(answers).__name__}"
        )
    return asdict(fleet_of(answers))


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"fleet_report": fleet_report}
