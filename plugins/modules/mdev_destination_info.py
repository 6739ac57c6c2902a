#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_destination_info: arguments, guests, inventory, answers, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_destination_info
short_description: Check which guests of another host a host could take
version_added: 1.0.0
description:
  - Run this module on a possible destination of a migration. For each guest by itself, it makes all checks that
    M(vfio.mdev.mdev_migration) makes, and compares the guest's CPU with the CPU that the hypervisor can provide
    (C(virsh hypervisor-cpu-compare)). It changes nothing, and a check that does not pass is no failure.
  - The filters P(vfio.mdev.rank_destinations#filter) and P(vfio.mdev.plan_moves#filter) decide which hosts could take
    several guests together. They need the results of all possible destinations.
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
  source:
    description: The name of the host that has the guests, as for O(vfio.mdev.mdev_migration#module:source).
    type: str
    required: true
  guests:
    description: The guests. RV(vfio.mdev.mdev_guest_info#module:guests) of the source can be passed as is.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The guest's name.
        type: str
      uuid:
        description: The guest's UUID in libvirt.
        type: str
      state:
        description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_guest_info) can be passed as is.
        type: str
      running:
        description: Whether the guest would be migrated live. If it is omitted or V(null), it would be.
        type: bool
      migrating:
        description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_guest_info) can be passed as is.
        type: bool
      error:
        description: Why the guest's devices could not be retrieved. No host can take such a guest.
        type: str
      command_line_devices:
        description: The guest's devices on QEMU's command line. No host can take a guest with such devices.
        type: list
        elements: str
        default: []
      cpu:
        description: The guest's CPU. If it is omitted or V(null), CPUs are not compared.
        type: dict
        suboptions:
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
        description: The guest's mediated devices. Each device requires a type.
        type: list
        elements: dict
        suboptions:
          uuid:
            description: The UUID on the source.
            type: str
          function:
            description: The PCI address of a vGPU's virtual function on the source, in place of a UUID.
            type: str
          type:
            description: The id of the type on the source.
            type: str
          type_name:
            description: The name of the type on the source.
            type: str
          device_api:
            description: The device API of the type.
            type: str
          driver:
            description: The driver of the device on the source.
            type: str
          attributes:
            description: The attributes of the device, in order.
            type: list
            elements: dict
            default: []
            suboptions:
              name:
                description: The path of the attribute's file, relative to the device's folder.
                type: str
                required: true
              value:
                description: The value, one line.
                type: str
                required: true
          can_migrate:
            description: Whether the driver of the device on the source can migrate it. V(null) if that is unknown.
            type: bool
          can_quiesce:
            description: Whether the driver of the device on the source can migrate it with other devices.
            type: bool
          alias:
            description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_guest_info) can be passed as is.
            type: str
          model:
            description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_guest_info) can be passed as is.
            type: str
          address:
            description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_guest_info) can be passed as is.
            type: str
  source_versions:
    description: The versions on the source. RV(vfio.mdev.mdev_guest_info#module:versions) can be passed as is.
    type: dict
    default: {}
    suboptions:
      kernel:
        description: The version of the kernel.
        type: str
      libvirt:
        description: The version of libvirt.
        type: str
      qemu:
        description: The version of QEMU.
        type: str
      drivers:
        description: The versions of the drivers of mediated devices.
        type: dict
        default: {}
  uuid_policy:
    description: See O(vfio.mdev.mdev_migration#module:uuid_policy).
    type: str
    choices: [same, new]
    default: same
  uuid_map:
    description: See O(vfio.mdev.mdev_migration#module:uuid_map).
    type: dict
    default: {}
  type_map:
    description: See O(vfio.mdev.mdev_migration#module:type_map).
    type: dict
    default: {}
  parents:
    description: The candidates, see O(vfio.mdev.mdev_set#module:parents). If omitted, all parents of the host are.
    type: list
    elements: str
  exclude_parents:
    description: Parents that are not candidates. See O(vfio.mdev.mdev_set#module:exclude_parents).
    type: list
    elements: str
    default: []
  placement:
    description: How one of several parents is chosen. See O(vfio.mdev.mdev_set#module:placement).
    type: str
    choices: [first, pack, spread]
    default: first
  numa_node:
    description: Only parents on this NUMA node are candidates. If omitted, parents on any node are.
    type: int
  driver_match:
    description: See O(vfio.mdev.mdev_migration#module:driver_match).
    type: str
    choices: [exact, ignore]
    default: exact
  records_path:
    description: The folder of the records, see O(vfio.mdev.mdev_migration#module:records_path).
    type: path
    default: /var/lib/vfio-mdev/migrations
  uri:
    description: The libvirt connection.
    type: str
    default: qemu:///system
requirements:
  - C(virsh) on the host, and a running libvirt daemon
seealso:
  - module: vfio.mdev.mdev_guest_info
  - module: vfio.mdev.mdev_migration
  - plugin: vfio.mdev.rank_destinations
    plugin_type: filter
  - plugin: vfio.mdev.plan_moves
    plugin_type: filter
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Retrieve the guests and their devices from the source
  vfio.mdev.mdev_guest_info:
    guest_names: [web-1, web-2]
  delegate_to: gpu-1
  run_once: true
  register: source

- name: Check whether this host could take the guests
  vfio.mdev.mdev_destination_info:
    source: gpu-1
    guests: "{{ source.guests }}"
    source_versions: "{{ source.versions }}"
  register: destination

- name: Check this for one card, other UUIDs, a type with another name, and other versions of the driver
  vfio.mdev.mdev_destination_info:
    source: gpu-1
    guests: "{{ source.guests }}"
    source_versions: "{{ source.versions }}"
    uuid_policy: new
    type_map:
      nvidia-471: NVIDIA A100-8C
    parents: ["0000:41:00.0"]
    placement: spread
    driver_match: ignore

- name: Show why this host could not take a guest
  ansible.builtin.debug:
    msg: "{{ destination.guests | map(attribute='checks') | flatten | selectattr('severity', 'eq', 'error') }}"
"""

RETURN = r"""
guests:
  description: The answers, in the order of O(guests).
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
    fits:
      description: Whether this host could take the guest, if it took no other.
      type: bool
    prepared:
      description: Whether the guest is already prepared on this host for a migration from O(source).
      type: bool
    checks:
      description:
        - The results of the checks, see RV(vfio.mdev.mdev_migration#module:checks).
        - The check C(cpu) is a warning if libvirt can't compare the CPUs, or if the guest is shut off.
      type: list
      elements: dict
    requests:
      description: The devices that would be created, in the form that the filters need. It can change at any time.
      type: list
      elements: dict
  sample:
    - name: web-1
      uuid: 6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10
      fits: false
      prepared: false
      checks:
        - check: cpu
          guest: web-1
          ok: false
          severity: error
          detail: "the hypervisor here can't provide its CPU: Host CPU does not provide required features: avx512f"
      requests: []
cordon:
  description: The host's cordon mark, see M(vfio.mdev.mdev_cordon). V(null) if the host has none.
  returned: success
  type: dict
  contains:
    reason:
      description: Why the host is cordoned, or why the mark cannot be read.
      type: str
    since:
      description: The time at which the mark was set, in UTC. V(null) if the mark cannot be read.
      type: str
  sample: null
records:
  description: The guests that are prepared on this host and neither committed nor rolled back, from any source.
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
    source:
      description: The host that it comes from.
      type: str
    running:
      description: Whether it was prepared for a live migration.
      type: bool
  sample: []
devices:
  description: The number of active devices on the host.
  returned: success
  type: int
  sample: 12
inventory:
  description: The parents and devices of the host, in the form that the filters need. It can change at any time.
  returned: success
  type: dict
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description: V(libvirt_error) if libvirt did not answer, V(file_error), or V(invalid_input).
      type: str
  sample: {kind: libvirt_error}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.vfio.mdev.plugins.module_utils._fleet.candidate import GuestAnswer, answer
from ansible_collections.vfio.mdev.plugins.module_utils._fleet.cordon import read_cordon
from ansible_collections.vfio.mdev.plugins.module_utils._fleet.transfer import inventory_data, request_data
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.registry import read_inventory
from ansible_collections.vfio.mdev.plugins.module_utils._guests.virsh import Virsh
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._migration.inputs import (
    QUESTION_ARGUMENTS,
    guest_inputs,
    migration_request,
)
from ansible_collections.vfio.mdev.plugins.module_utils._migration.record import MigrationRecord, MigrationRecords
from ansible_collections.vfio.mdev.plugins.module_utils._migration.run import Preparation
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import HOST_ARGUMENTS
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module
from ansible_collections.vfio.mdev.plugins.module_utils._xml.domain_cpu import DomainCpu


def act(params: dict[str, Any], _check_mode: bool) -> ModuleResult:
    """Guests, then inventory and answers, then the result."""
    host = Host.from_params(params)
    guests = guest_inputs(params).guests
    inventory, cordon = read_inventory(host), read_cordon(host)
    records = MigrationRecords(params["records_path"])
    answered = answer(
        Preparation(migration_request(params, guests), host, Virsh(params["uri"]), records),
        {guest.uuid: DomainCpu(**given["cpu"]) for guest, given in zip(guests, params["guests"]) if _has_cpu(given)},
        inventory,
    )
    return ModuleResult(
        {
            "changed": False,
            "guests": [_guest_result(guest) for guest in answered.guests],
            "cordon": cordon.as_result() if cordon is not None else None,
            "records": [_record_result(record) for record in answered.records],
            "devices": len(inventory.devices),
            "inventory": inventory_data(inventory),
        }
    )


def _has_cpu(given: dict[str, Any]) -> bool:
    return bool(given["cpu"] and given["cpu"]["xml"])


def _guest_result(answered: GuestAnswer) -> dict[str, Any]:
    return {
        "name": answered.guest.name,
        "uuid": answered.guest.uuid,
        "fits": answered.fits,
        "prepared": answered.is_prepared,
        "checks": list(answered.checks),
        "requests": [request_data(request) for request in answered.requests],
    }


def _record_result(record: MigrationRecord) -> dict[str, Any]:
    return {"name": record.guest, "uuid": record.uuid, "source": record.source, "running": record.running}


def main() -> None:
    """Arguments, then inventory and answers, then the result."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "required": True},
            **QUESTION_ARGUMENTS,
            "records_path": {"type": "path", "default": "/var/lib/vfio-mdev/migrations"},
            "uri": {"type": "str", "default": "qemu:///system"},
            **HOST_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run_module(module, act)


if __name__ == "__main__":
    main()
