# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter nova_config."""

from __future__ import annotations

DOCUMENTATION = r"""
name: nova_config
short_description: Write the sections of nova.conf for mediated devices and vGPUs
version_added: 1.0.0
description:
  - Returns the sections C([devices]) and C([mdev_TYPE]) for mediated devices, and C([pci]) with C(device_spec) for
    vGPUs that are set on virtual functions.
  - Fails if the host does not have a type, card or parent, or if two types are given the same parent, which nova
    refuses.
options:
  _input:
    description: The result of M(vfio.mdev.mdev_info).
    type: dict
    required: true
  types:
    description:
      - For each type, by its id or name, the addresses of the cards or parents that should offer it.
      - The virtual functions of a card are added one by one. Of those with vGPUs, only functions with this type.
    type: dict
    required: true
positional: types
seealso:
  - module: vfio.mdev.mdev_info
  - name: Attaching virtual GPU devices to guests
    description: Documentation of nova.
    link: https://docs.openstack.org/nova/latest/admin/virtual-gpu.html
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Retrieve the parents and types of the host
  vfio.mdev.mdev_info:
    gather: [cards, parents, types]
  register: host

- name: Write the sections for nova-compute
  ansible.builtin.copy:
    content: >-
      {{ host | vfio.mdev.nova_config({'NVIDIA A100-8C': ['0000:41:00.0'], 'nvidia-468': ['0000:c1:00.0']}) }}
    dest: /etc/nova/nova-compute.conf.d/vgpu.conf
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The sections.
  type: str
  sample: |
    [devices]
    enabled_mdev_types = nvidia-35

    [mdev_nvidia-35]
    device_addresses = 0000:84:00.0,0000:85:00.0
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.vfio.mdev.plugins.plugin_utils._consumers import nova_config as sections
from ansible_collections.vfio.mdev.plugins.plugin_utils._filter_errors import filter_errors

_EXPECTED = "a result of vfio.mdev.mdev_info with parents and types, and a dictionary of types with lists of addresses"


def nova_config(info: Mapping[str, Any], types: Mapping[str, Sequence[str]]) -> str:
    """The sections as text."""
    with filter_errors("nova_config", _EXPECTED):
        return sections(info, types)


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"nova_config": nova_config}
