# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter remap_domain_mdevs."""

from __future__ import annotations

DOCUMENTATION = r"""
name: remap_domain_mdevs
short_description: A guest's XML with other UUIDs for its mediated devices
version_added: 0.1.0
description:
  - Returns a libvirt guest's XML in which only the UUIDs of mediated devices (V(<hostdev type='mdev'>)) are replaced.
    All are replaced at once, so that two may be swapped.
  - All else is as it was, byte for byte, with comments, namespaces, C(qemu:) parts, order, quotes and spaces.
  - Upper and lower case make no difference to UUIDs. New ones are written in lower case.
  - All UUIDs of the XML must be in the map, those that stay mapped to themselves. What is missing is told in one
    error. Two UUIDs can't become the same. Entries of the map that the XML has no use for are a warning.
  - The map may also have PCI addresses, for vGPUs that are virtual functions of a card (NVIDIA's own VFIO framework).
    PCI devices of the guest that are not in the map stay as they are.
  - The XML is not trusted. A document type declaration, entities and XML of more than 4 MiB are refused.
options:
  _input:
    description: The guest's XML, as C(virsh dumpxml --migratable) prints it.
    type: str
    required: true
  uuids:
    description: The new UUID for each UUID, and the new PCI address for each PCI address that is to change.
    type: dict
    required: true
positional: uuids
seealso:
  - plugin: vfio.mdev.domain_mdevs
    plugin_type: filter
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Read what a migration would take along
  ansible.builtin.command:
    argv: [virsh, dumpxml, --migratable, web-1]
  register: web_1
  changed_when: false

- name: Write it as the destination is to have it
  ansible.builtin.copy:
    content: "{{ web_1.stdout | vfio.mdev.remap_domain_mdevs(uuids) }}"
    dest: /root/web-1.xml
    mode: "0600"
  vars:
    uuids:
      5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10: 9e411a1c-5f2f-4d0f-8f0e-2f6a1a7b1c55
"""

RETURN = r"""
_value:
  description: The guest's XML with the new UUIDs.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import MdevError
from ansible_collections.vfio.mdev.plugins.module_utils._xml.domain import remap_domain


def remap_domain_mdevs(xml: str, uuids: Mapping[str, str]) -> str:
    """The guest's XML with other UUIDs."""
    if not isinstance(uuids, Mapping):
        raise AnsibleFilterError(
            f"vfio.mdev.remap_domain_mdevs: a dictionary of UUIDs is wanted, not {type(uuids).__name__}"
        )
    try:
        remapped = remap_domain(str(xml), {str(old): str(new) for old, new in uuids.items()})
    except MdevError as error:
        raise AnsibleFilterError(f"vfio.mdev.remap_domain_mdevs: {error.message}") from error
    if remapped.unused:
        Display().warning(
            "vfio.mdev.remap_domain_mdevs: the guest has none of these devices, which the map names: "
            + ", ".join(remapped.unused)
        )
    return remapped.xml


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"remap_domain_mdevs": remap_domain_mdevs}
