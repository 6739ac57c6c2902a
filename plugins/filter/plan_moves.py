# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter plan_moves."""

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_moves
short_description: Choose a destination for each guest that should move
version_added: 1.0.0
description:
  - Returns a destination for each guest, chosen among the hosts whose results of M(vfio.mdev.mdev_destination_info) are
    the input. Guests that go to one host fit there together, by the same rules by which M(vfio.mdev.mdev_migration)
    places their devices, so that no card is filled beyond its capacity.
  - The same guests and hosts always give the same answer, whatever their order.
  - A guest that is already prepared on a host for a migration from the same source goes there. It may be on its way.
    A guest that migrates to any other host gets no destination.
  - A host that is unreachable, failed or cordoned gets no guest. Each refusal is returned with its reason.
  - Only devices, versions, UUIDs and CPUs are considered. Memory, storage and networks are not.
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
      - How one of several hosts is chosen.
      - V(first) takes the first with room in the order of names, V(pack) the one with the most devices, V(spread) the
        one with the fewest devices.
      - If guests are left, other orders and V(pack) are tried too.
    type: str
    choices: [first, pack, spread]
    default: spread
positional: guests
seealso:
  - module: vfio.mdev.mdev_destination_info
  - plugin: vfio.mdev.rank_destinations
    plugin_type: filter
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Check which of the guests each host could take
  vfio.mdev.mdev_destination_info:
    source: gpu-7
    guests: "{{ source.guests }}"
    source_versions: "{{ source.versions }}"
  register: destination

- name: Show a destination for each guest
  ansible.builtin.debug:
    msg: "{{ (dict(names | zip(answers)) | vfio.mdev.plan_moves(source.guests, placement='pack')).summary }}"
  vars:
    names: "{{ ansible_play_hosts_all }}"
    answers: "{{ names | map('extract', hostvars, 'destination') }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    moves:
      description:
        - The guests with a destination, by name, each with C(uuid), C(name), C(destination) and C(reason).
        - C(prepared) is whether the guest is already prepared there, and C(under_way) whether it may be on its way.
          Such a guest can't be prepared again.
      type: list
      elements: dict
    unplaced:
      description: The guests without a destination, by name, each with C(uuid), C(name) and C(refusals), a list of
        C(host) and C(reasons).
      type: list
      elements: dict
    records:
      description: The guests that are prepared on the hosts, from any source, as in
        RV(vfio.mdev.mdev_destination_info#module:records), each with its C(destination).
      type: list
      elements: dict
    summary:
      description: The plan as lines for people.
      type: list
      elements: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.module_utils._fleet.moves import plan_moves as planned
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import PLACEMENTS, SPREAD
from ansible_collections.vfio.mdev.plugins.plugin_utils._destinations import (
    candidates_of,
    guests_of,
    open_records,
    plan_result,
)


def plan_moves(
    answers: Mapping[str, Mapping[str, Any]], guests: Sequence[Mapping[str, Any]], placement: str = SPREAD
) -> dict[str, Any]:
    """A destination for each guest."""
    if not isinstance(answers, Mapping):
        raise AnsibleFilterError(
            f"vfio.mdev.plan_moves: expected a dictionary of hosts and their answers, got {type(answers).__name__}"
        )
    if placement not in PLACEMENTS:
        raise AnsibleFilterError(
            f"vfio.mdev.plan_moves: placement is '{placement}', and must be one of {', '.join(PLACEMENTS)}"
        )
    return plan_result(planned(guests_of(guests), candidates_of(answers), placement), open_records(answers))


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"plan_moves": plan_moves}
