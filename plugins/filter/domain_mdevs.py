# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter domain_mdevs."""

from __future__ import annotations

DOCUMENTATION = r"""
name: domain_mdevs
short_description: List the mediated devices in a guest's XML
version_added: 1.0.0
description:
  - Returns the mediated devices (V(<hostdev type='mdev'>)) in the XML of a libvirt guest.
  - Devices on QEMU's command line (C(qemu:commandline)) are not listed. M(vfio.mdev.mdev_guest_info) reports them.
  - The XML is not trusted. The filter refuses document type declarations, entities, and XML of more than 4 MiB.
options:
  _input:
    description: The guest's XML in the format of C(virsh dumpxml).
    type: str
    required: true
seealso:
  - plugin: vfio.mdev.remap_domain_mdevs
    plugin_type: filter
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Retrieve the guest's XML
  ansible.builtin.command:
    argv: [virsh, dumpxml, web-1]
  register: web_1
  changed_when: false

- name: Show the UUIDs of its mediated devices
  ansible.builtin.debug:
    msg: "{{ web_1.stdout | vfio.mdev.domain_mdevs | map(attribute='uuid') }}"
"""

RETURN = r"""
_value:
  description: The devices, in the order of the XML.
  type: list
  elements: dict
  contains:
    uuid:
      description: The device's UUID, in lower case.
      type: str
    alias:
      description: The name that libvirt gives the device in a running guest. V(null) if the XML does not have it.
      type: str
    model:
      description: The model of the device in the guest, V(vfio-pci), V(vfio-ccw) or V(vfio-ap). V(null) if the XML does
        not have it.
      type: str
    address:
      description: The address of the device in the guest, a PCI or channel address. V(null) if the XML does not have
        it.
      type: str
  sample:
    - uuid: 5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10
      alias: hostdev0
      model: vfio-pci
      address: "0000:06:00.0"
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import MdevError
from ansible_collections.vfio.mdev.plugins.module_utils._xml.domain import parse_domain


def domain_mdevs(xml: str) -> list[dict[str, Any]]:
    """Returns the mediated devices in a guest's XML."""
    try:
        return [asdict(mdev) for mdev in parse_domain(str(xml)).mdevs]
    except MdevError as error:
        raise AnsibleFilterError(f"vfio.mdev.domain_mdevs: {error.message}") from error


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"domain_mdevs": domain_mdevs}
