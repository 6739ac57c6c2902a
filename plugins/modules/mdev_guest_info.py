#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_guest_info: arguments, inventory, guests, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_guest_info
short_description: Retrieve the mediated devices of guests
version_added: 1.0.0
description:
  - Returns libvirt's guests with the mediated devices in their configuration, the properties that these devices have on
    the host, and the versions that a migration depends on.
  - The module uses C(virsh) and no other library.
extends_documentation_fragment:
  - vfio.mdev._attributes.info_module
  - vfio.mdev._attributes.action_group
  - vfio.mdev._host
attributes:
  action_group:
    membership:
      - vfio.mdev.mdev
      - vfio.mdev.mdev_host
options:
  guest_names:
    description:
      - The names or UUIDs of the guests to return. If the list is empty, all guests are returned.
      - The module fails if libvirt does not know a guest.
    type: list
    elements: str
    default: []
  uri:
    description: The libvirt connection.
    type: str
    default: qemu:///system
requirements:
  - C(virsh) on the host, and a running libvirt daemon
seealso:
  - module: vfio.mdev.mdev_info
  - module: vfio.mdev.mdev_migration
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Retrieve the mediated devices of all guests
  vfio.mdev.mdev_guest_info:

- name: Retrieve the mediated devices of two guests before they are migrated
  vfio.mdev.mdev_guest_info:
    guest_names: [web-1, web-2]
  register: source

- name: Show the types that the destination must offer
  ansible.builtin.debug:
    msg: "{{ source.guests | map(attribute='devices') | flatten | map(attribute='type_name') | unique }}"

- name: Retrieve the guests of a host from a container that has the host's file systems in /host
  vfio.mdev.mdev_guest_info:
    uri: qemu+unix:///system?socket=/host/run/libvirt/libvirt-sock
    sysfs_path: /host/sys
    definitions_path: /host/etc/mdevctl.d
"""

RETURN = r"""
guests:
  description: The guests, in the order of O(guest_names), or sorted by name if it is empty.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The guest's name.
      type: str
    uuid:
      description: The guest's UUID in libvirt.
      type: str
    state:
      description: The guest's state as reported by libvirt, for example V(running), V(shut off) or V(paused). V(null)
        if libvirt does not report it.
      type: str
    running:
      description: Whether the guest is in any state other than V(shut off). V(null) if the state is V(null).
      type: bool
    migrating:
      description: Whether libvirt is migrating the guest from this host now. V(null) if libvirt does not report it.
      type: bool
    error:
      description: Why the guest's state or devices could not be read. V(null) if they could.
      type: str
    command_line_devices:
      description:
        - The mediated devices and vGPUs on QEMU's command line (C(qemu:commandline)), as UUIDs or PCI addresses.
          libvirt does not manage them, and they cannot be replaced for a migration.
      type: list
      elements: str
    cpu:
      description:
        - The guest's CPU, for M(vfio.mdev.mdev_destination_info). V(null) if the guest's XML names no CPU model, for
          example with the mode C(host-passthrough), or if RV(guests[].error) is set.
      type: dict
      contains:
        virttype:
          description: How the guest is run, V(kvm) or V(qemu).
          type: str
        arch:
          description: The architecture.
          type: str
        machine:
          description: The type of the virtual machine.
          type: str
        xml:
          description: The element C(<cpu>) of the guest's XML.
          type: str
    devices:
      description:
        - The guest's mediated devices in the order of its XML, followed by its vGPUs on virtual functions. V(null) if
          RV(guests[].error) is set.
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
          description: The name that libvirt gives the device in a running guest. V(null) if the XML does not have it.
          type: str
        model:
          description:
            - The model of the device in the guest, for example V(vfio-pci). V(null) for a vGPU on a virtual function.
          type: str
        address:
          description: The address of the device in the guest.
          type: str
        type:
          description:
            - The id of the type, see RV(vfio.mdev.mdev_info#module:devices[].type). V(null) if the host has no such
              device, active or defined.
          type: str
        type_name:
          description: See RV(vfio.mdev.mdev_info#module:devices[].type_name).
          type: str
        device_api:
          description: See RV(vfio.mdev.mdev_info#module:devices[].device_api).
          type: str
        driver:
          description: The driver of the device. V(null) if the device is not active.
          type: str
        can_migrate:
          description:
            - Whether the driver can migrate the device live, as shown by the kernel in debugfs since Linux 6.8. V(null)
              if the kernel does not show it.
          type: bool
        can_quiesce:
          description:
            - Whether the driver can stop traffic between devices (P2P). QEMU needs this to migrate a guest with several
              devices. The kernel shows it in debugfs since Linux 6.18. V(null) if it does not.
          type: bool
        attributes:
          description:
            - The attributes of the definition in order, each with C(name) and C(value). See
              RV(vfio.mdev.mdev_info#module:devices[].attributes).
          type: list
          elements: dict
  sample:
    - name: web-1
      uuid: 6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10
      state: running
      running: true
      migrating: false
      error: null
      command_line_devices: []
      cpu:
        virttype: kvm
        arch: x86_64
        machine: pc-q35-8.2
        xml: "<cpu mode='custom' match='exact'><model fallback='forbid'>EPYC-Milan</model></cpu>"
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
          can_migrate: null
          can_quiesce: null
          attributes: []
versions:
  description: The versions of the software on the host. V(null) if a version is unknown.
  returned: success
  type: dict
  contains:
    kernel:
      description: The version of the kernel.
      type: str
    libvirt:
      description: The version of the libvirt daemon.
      type: str
    qemu:
      description: The version of QEMU.
      type: str
    drivers:
      description: The version of each driver of mediated devices that reports one.
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
      description: V(libvirt_error) if libvirt did not answer or does not know a guest, or V(invalid_input).
      type: str
  sample: {kind: libvirt_error, guests: [web-9]}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports  # noqa: F401  # pylint: disable=unused-import
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
            "guests": guest_results(virsh, params["guest_names"], read_inventory(host, users=False), host),
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
