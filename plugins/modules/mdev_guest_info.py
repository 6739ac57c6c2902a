#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_guest_info: arguments, inventory, guests, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_guest_info
short_description: Show which guests have which mediated devices
description:
  - Shows libvirt's guests with the mediated devices of their configuration, what these are on the host, and the
    versions of what a migration depends on.
  - Changes nothing. It asks C(virsh), and no other library.
options:
  names:
    description: The guests to show. All where none is named. A guest that libvirt does not know is an error.
    type: list
    elements: str
    default: []
  uri:
    description: The libvirt connection.
    type: str
    default: qemu:///system
requirements:
  - C(virsh) on the host, and a libvirt daemon that answers.
extends_documentation_fragment:
  - vfio.mdev.host
attributes:
  check_mode:
    description: Changes nothing, in check mode or not.
    support: full
  diff_mode:
    description: Nothing changes, so there is no difference to show.
    support: none
  platform:
    description: The platforms that the module runs on.
    support: full
    platforms: linux
seealso:
  - module: vfio.mdev.mdev_info
  - module: vfio.mdev.mdev_migration
author:
  - The vfio.mdev contributors (@vfio-mdev)
version_added: 0.1.0
"""

EXAMPLES = r"""
- name: Show which guests have which devices
  vfio.mdev.mdev_guest_info:

- name: Look at two guests that are to move
  vfio.mdev.mdev_guest_info:
    names: [web-1, web-2]
  register: moving

- name: Show the types that their destination must have
  ansible.builtin.debug:
    msg: "{{ moving.guests | map(attribute='devices') | flatten | map(attribute='type_name') | unique }}"

- name: Ask a libvirt of one's own
  vfio.mdev.mdev_guest_info:
    uri: qemu:///session
"""

RETURN = r"""
guests:
  description: The guests, in the order of O(names), else by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The guest's name.
      type: str
    state:
      description: What libvirt says, V(running), V(shut off), V(paused) and others.
      type: str
    running:
      description: Whether it is in any state but V(shut off).
      type: bool
    devices:
      description:
        - Its mediated devices in the order of its XML, then its vGPUs on virtual functions, where NVIDIA's driver has
          its own VFIO framework.
      type: list
      elements: dict
      contains:
        uuid:
          description: The device's UUID. V(null) for a vGPU on a virtual function.
          type: str
        function:
          description: The PCI address of the virtual function. V(null) for a mediated device.
          type: str
        alias:
          description: libvirt's name for it in a running guest.
          type: str
        model:
          description: How the guest sees it, for example V(vfio-pci). V(null) for a vGPU on a virtual function.
          type: str
        address:
          description: Where the guest sees it.
          type: str
        type:
          description: The type's id on the host, V(null) where the host has no such device, active or defined.
          type: str
        type_name:
          description: The type's name.
          type: str
        device_api:
          description: The type's device API.
          type: str
        driver:
          description: The driver of the active device.
          type: str
        attributes:
          description: The attributes of its definition, with C(name) and C(value), in order.
          type: list
          elements: dict
  sample:
    - name: web-1
      state: running
      running: true
      devices:
        - uuid: 5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10
          function: null
          alias: hostdev0
          model: vfio-pci
          address: "0000:06:00.0"
          type: nvidia-471
          type_name: NVIDIA A100-8C
          device_api: vfio-pci
          driver: nvidia-vgpu-vfio
          attributes: []
versions:
  description: What the host runs. V(null) where nobody could tell.
  returned: success
  type: dict
  contains:
    kernel:
      description: The kernel's version.
      type: str
    libvirt:
      description: The version of libvirt's daemon.
      type: str
    qemu:
      description: The version of QEMU.
      type: str
    drivers:
      description: The version of each driver of mediated devices that tells one.
      type: dict
  sample:
    kernel: 6.12.48
    libvirt: 11.3.0
    qemu: 10.0.3
    drivers:
      nvidia-vgpu-vfio: "580.82.02"
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description: V(guests_unknown) where libvirt did not answer or does not know a guest, V(invalid_input).
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.registry import read_inventory
from ansible_collections.vfio.mdev.plugins.module_utils._guests.info import guest_results, versions_result
from ansible_collections.vfio.mdev.plugins.module_utils._guests.versions import read_versions
from ansible_collections.vfio.mdev.plugins.module_utils._guests.virsh import Virsh
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import HOST_ARGUMENTS
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module


def act(params: dict[str, Any], _check_mode: bool) -> ModuleResult:
    """The host and its guests, then the result."""
    host, virsh = Host.from_params(params), Virsh(params["uri"])
    return ModuleResult(
        {
            "changed": False,
            "guests": guest_results(virsh, params["guest_names"], read_inventory(host, users=False)),
            "versions": versions_result(read_versions(host, virsh)),
        }
    )


def main() -> None:
    """Arguments, then the host and its guests, then the result."""
    module = AnsibleModule(
        argument_spec={
            "guest_names": {"type": "list", "elements": "str", "default": []},
            "uri": {"type": "str", "default": "qemu:///system"},
            **HOST_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run_module(module, act)


if __name__ == "__main__":
    main()
