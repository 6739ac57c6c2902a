# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter proxmox_mapping."""

from __future__ import annotations

DOCUMENTATION = r"""
name: proxmox_mapping
short_description: Write a node's entries for a PCI mapping of Proxmox VE
version_added: 1.0.0
description:
  - Returns the C(map) entries of a node for a resource mapping with C(mdev=1), one for each parent of mediated devices
    or vGPUs.
  - Proxmox VE creates the devices itself when a guest starts. Do not list the same parents in sets.
  - Fails if the host does not have a card or parent, or if a parent is no PCI device.
options:
  _input:
    description: The result of M(vfio.mdev.mdev_info).
    type: dict
    required: true
  node:
    description: The name of the node in the cluster.
    type: str
    required: true
  parents:
    description: The addresses of the cards or parents. A card means all its virtual functions that are parents.
    type: list
    elements: str
    required: true
positional: node, parents
seealso:
  - module: vfio.mdev.mdev_info
  - name: Resource mapping
    description: Documentation of Proxmox VE.
    link: https://pve.proxmox.com/pve-docs/chapter-qm.html#resource_mapping
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Retrieve the cards and parents of the nodes
  vfio.mdev.mdev_info:
    gather: [cards, parents]
  register: node

- name: Write the entries of each node
  ansible.builtin.set_fact:
    entries: "{{ node | vfio.mdev.proxmox_mapping(ansible_facts.hostname, ['0000:41:00.0']) }}"

# A guest then gets a device with: qm set 100 --hostpci0 mapping=a100,mdev=nvidia-471
- name: Create the mapping of the cluster with the entries of all nodes
  ansible.builtin.command:
    argv: "{{ ['pvesh', 'create', '/cluster/mapping/pci', '--id', 'a100', '--mdev', '1'] + maps }}"
  vars:
    maps: "{{ ['--map'] | product(ansible_play_hosts | map('extract', hostvars, 'entries') | flatten) | flatten }}"
  run_once: true
  changed_when: true
"""

RETURN = r"""
_value:
  description: The entries.
  type: list
  elements: str
  sample:
    - node=pve1,path=0000:41:00.4,id=10de:20f1,subsystem-id=10de:0000,iommugroup=97
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.vfio.mdev.plugins.plugin_utils._consumers import proxmox_mapping as map_entries
from ansible_collections.vfio.mdev.plugins.plugin_utils._filter_errors import filter_errors

_EXPECTED = "a result of vfio.mdev.mdev_info with cards and parents, the name of a node, and a list of addresses"


def proxmox_mapping(info: Mapping[str, Any], node: str, parents: Sequence[str]) -> list[str]:
    """The entries of the node."""
    with filter_errors("proxmox_mapping", _EXPECTED):
        return map_entries(info, node, parents)


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"proxmox_mapping": proxmox_mapping}
