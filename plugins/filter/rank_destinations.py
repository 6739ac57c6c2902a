# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter rank_destinations."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rank_destinations
short_description: Rank the hosts that could take guests together
version_added: 1.0.0
description:
  - Returns the hosts that could take all guests together, the best first, and the reasons against the others. The input
    are the hosts' results of M(vfio.mdev.mdev_destination_info).
  - Capacity is decided by the same rules by which M(vfio.mdev.mdev_migration) places devices. The same guests and hosts
    always give the same answer, whatever their order.
  - A host that is unreachable, failed or cordoned can take no guests.
options:
  _input:
    description: The result of M(vfio.mdev.mdev_destination_info) for each host name.
    type: dict
    required: true
  guests:
    description: The guests, as in RV(vfio.mdev.mdev_guest_info#module:guests) of the source.
    type: list
    elements: dict
    required: true
  placement:
    description:
      - How the hosts are ranked. V(first) ranks them by name, V(pack) by the most devices, V(spread) by the fewest
        devices. Hosts with the same number are ranked by name.
    type: str
    choices: [first, pack, spread]
    default: spread
positional: guests
seealso:
  - module: vfio.mdev.mdev_destination_info
  - plugin: vfio.mdev.plan_moves
    plugin_type: filter
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Show the hosts that could take the guests, and why the others could not
  ansible.builtin.debug:
    msg: "{{ (dict(names | zip(answers)) | vfio.mdev.rank_destinations(source.guests, placement='first')).summary }}"
  vars:
    names: "{{ ansible_play_hosts_all }}"
    answers: "{{ names | map('extract', hostvars, 'destination') }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The ranking.
  type: dict
  contains:
    destinations:
      description: The names of the hosts that could take all guests together, the best first.
      type: list
      elements: str
    hosts:
      description: All hosts in this order, followed by the others by name, each with C(name), C(fits) and C(reasons).
      type: list
      elements: dict
    summary:
      description: The ranking as lines for people.
      type: list
      elements: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.module_utils._fleet.moves import rank_hosts
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import PLACEMENTS, SPREAD
from ansible_collections.vfio.mdev.plugins.plugin_utils._destinations import candidates_of, guests_of, ranking_result


def rank_destinations(
    answers: Mapping[str, Mapping[str, Any]], guests: Sequence[Mapping[str, Any]], placement: str = SPREAD
) -> dict[str, Any]:
    """The hosts that could take the guests, and why the others could not."""
    if not isinstance(answers, Mapping):
        raise AnsibleFilterError(
            "vfio.mdev.rank_destinations: expected a dictionary of hosts and their answers, got "
            f"{type(answers).__name__}"
        )
    if placement not in PLACEMENTS:
        raise AnsibleFilterError(
            f"vfio.mdev.rank_destinations: placement is '{placement}', and must be one of {', '.join(PLACEMENTS)}"
        )
    return ranking_result(rank_hosts(guests_of(guests), candidates_of(answers), placement))


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"rank_destinations": rank_destinations}
