# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter fleet_report."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_report
short_description: A fleet's mediated devices, counted and put in order for a report
version_added: 0.1.0
description:
  - Makes the rows of a report of what M(vfio.mdev.mdev_info) answered on each host. The playbook C(vfio.mdev.report)
    writes them as a page.
  - A host without an answer, unreachable or failed, is in the report as such.
  - Nothing is escaped. What comes from hosts, such as names of guests, is no safe HTML.
options:
  _input:
    description:
      - What M(vfio.mdev.mdev_info) answered, by the host's name, with all of O(vfio.mdev.mdev_info#module:gather).
    type: dict
    required: true
seealso:
  - module: vfio.mdev.mdev_info
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Look at all hosts
  vfio.mdev.mdev_info:
  register: report_mdev

- name: Show how full the fleet is
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
    - C(usage) has C(in_use) and C(idle), the devices in the kernel with and without a known user, C(room), how many
      more there could be at most (null where no driver says so), and C(in_use_share) and C(idle_share) in percent of
      these three together.
  type: dict
  contains:
    totals:
      description: The fleet in numbers, with C(hosts), C(answered) (hosts), C(parents), C(parents_with_room),
        C(active), C(in_use), C(defined), C(autostart), C(drifted) (devices), C(problems) (hosts).
      type: dict
    hosts:
      description: Each host, with C(name), C(state) (V(answered), V(unreachable) or V(failed)), C(framework),
        C(usage), C(defined), C(drifted), C(problems), C(parent_count), C(parents), C(devices), C(notes). Virtual
        functions of a card that are alike are one parent with several C(addresses).
      type: list
      elements: dict
    types:
      description: Each type over all hosts, with C(id), C(name), C(device_api), C(parents), C(defined), C(usage), and
        C(hosts), the same numbers for each host.
      type: list
      elements: dict
    users:
      description: Who uses what, with C(host), C(guest), C(process), C(device), C(type), C(parent).
      type: list
      elements: dict
    drift:
      description: Where hosts are not as their definitions say, with C(host), C(device), C(parent), C(field),
        C(wanted), C(actual).
      type: list
      elements: dict
    notes:
      description: What else there is to know, with C(host), C(kind), C(text), and C(problem), whether something is
        wrong.
      type: list
      elements: dict
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.plugin_utils._fleet import fleet_of


def fleet_report(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of a report on these hosts."""
    if not isinstance(answers, Mapping):
        raise AnsibleFilterError(
            f"vfio.mdev.fleet_report: a dictionary of hosts and their answers is wanted, not {type(answers).__name__}"
        )
    return asdict(fleet_of(answers))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"fleet_report": fleet_report}
