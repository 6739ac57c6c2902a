# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter remap_domain_mdevs."""

from __future__ import annotations

DOCUMENTATION = r"""
name: remap_domain_mdevs
short_description: Replace the UUIDs of mediated devices in a guest's XML
version_added: 1.0.0
description:
  - Returns the XML of a libvirt guest with other UUIDs for its mediated devices (V(<hostdev type='mdev'>)). All UUIDs
    are replaced at once, so that two devices can swap UUIDs.
  - The rest of the XML stays the same, byte for byte, with comments, namespaces, C(qemu:) parts, order, quotes and
    spaces.
  - UUIDs are compared without regard to case. New UUIDs are written in lower case.
  - O(uuid_map) must contain all UUIDs of the XML. Map a UUID to itself to keep it. One error lists all UUIDs that are
    missing. Two UUIDs cannot become the same UUID. Entries that the XML does not need cause a warning.
  - A device on QEMU's command line (C(qemu:commandline)) cannot be replaced. The filter refuses XML with such a device,
    unless it is mapped to itself.
  - The XML is not trusted. The filter refuses document type declarations, entities, and XML of more than 4 MiB.
options:
  _input:
    description: The guest's XML in the format of C(virsh dumpxml --migratable).
    type: str
    required: true
  uuid_map:
    description:
      - The new UUID for each UUID.
      - It can also contain the new PCI address for each PCI address that should change, for vGPUs on virtual functions.
        PCI devices of the guest that are not in the map stay as they are.
    type: dict
    required: true
positional: uuid_map
seealso:
  - plugin: vfio.mdev.domain_mdevs
    plugin_type: filter
  - module: vfio.mdev.mdev_guest_xml
  - ref: ansible_collections.vfio.mdev.docsite.guide_vendor_vfio
    description: How guests get NVIDIA vGPUs on virtual functions.
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Retrieve the XML that a migration would use
  ansible.builtin.command:
    argv: [virsh, dumpxml, --migratable, web-1]
  register: web_1
  changed_when: false

- name: Write the XML for the destination
  ansible.builtin.copy:
    content: "{{ web_1.stdout | vfio.mdev.remap_domain_mdevs(uuid_map) }}"
    dest: /run/web-1.xml
    mode: "0600"
  vars:
    uuid_map:
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


def remap_domain_mdevs(xml: str, uuid_map: Mapping[str, str]) -> str:
    """Returns the guest's XML with other UUIDs."""
    if not isinstance(uuid_map, Mapping):
        raise AnsibleFilterError(
            f"vfio.mdev.remap_domain_mdevs: expected a dictionary of UUIDs, got {type(uuid_map).__name__}"
        )
    try:
        remapped = remap_domain(str(xml), {str(old): str(new) for old, new in uuid_map.items()})
    except MdevError as error:
        raise AnsibleFilterError(f"vfio.mdev.remap_domain_mdevs: {error.message}") from error
    if remapped.unused:
        unused = ", ".join(remapped.unused)
        Display().warning(
            f"vfio.mdev.remap_domain_mdevs: uuid_map contains devices that the guest does not have: {unused}"
        )
    return remapped.xml


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"remap_domain_mdevs": remap_domain_mdevs}
