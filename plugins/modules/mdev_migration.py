#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_migration: arguments, guests, inventory, plan, apply, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_migration
short_description: Prepare mediated devices on a migration destination
version_added: 1.0.0
description:
  - Run this module on the destination of a migration. It creates the mediated devices that guests need there, and later
    commits the migration or rolls it back.
  - All checks run before anything is changed, and their results are returned together in RV(checks).
  - A record for each guest is written to the destination's disk first. It contains the state before the preparation, so
    that a second run recognizes its own work and the preparation can be rolled back, even after a crash.
  - If a device of the destination is active before it is prepared and nobody uses it, the device is recreated. A failed
    migration leaves the device in a state in which no guest can start with it (QEMU then reports
    C(Bad file descriptor)), and this state is not visible. For the same reason, a prepared device is recreated if the
    guest was started on the destination in the meantime.
  - The role R(vfio.mdev.prepare_migration,ansible_collections.vfio.mdev.prepare_migration_role) and the playbook
    C(vfio.mdev.migrate) query the source, call this module, and write the guests' XML.
extends_documentation_fragment:
  - vfio.mdev._attributes
  - vfio.mdev._attributes.action_group
  - vfio.mdev._host
  - vfio.mdev._backend
attributes:
  action_group:
    membership:
      - vfio.mdev.mdev
      - vfio.mdev.mdev_change
      - vfio.mdev.mdev_host
options:
  state:
    description:
      - V(prepared) makes sure that all devices of the guests are active on this host.
      - V(committed) makes sure that the guests are on this host with these devices, and closes their records.
      - V(rolled_back) removes the devices that were created, leaves everything else unchanged, and closes the records.
        A device that existed before the preparation and may be stale is recreated with its previous attributes.
      - V(rolled_back) fails if a guest is on this host with the devices that were prepared for it, because they would
        be taken from it. Such a guest must be committed.
    type: str
    choices: [prepared, committed, rolled_back]
    default: prepared
  source:
    description:
      - The name of the host that the guests come from. Required for O(state=prepared).
      - For the other states, only guests from this host are selected.
    type: str
  guests:
    description:
      - The guests to prepare for. RV(vfio.mdev.mdev_guest_info#module:guests) of the source can be passed as is.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The guest's name. It can be omitted if O(guests[].xml) contains it.
        type: str
      uuid:
        description:
          - The guest's UUID in libvirt. It can be omitted if O(guests[].xml) contains it.
          - libvirt's commands take a name that is a number for the id of another guest, so names do not identify
            guests.
        type: str
      state:
        description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_guest_info) can be passed as is.
        type: str
      running:
        description: Whether the guest will be migrated live. If it is omitted or V(null), it will be.
        type: bool
      migrating:
        description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_guest_info) can be passed as is.
        type: bool
      error:
        description: Why the guest's devices could not be retrieved. A guest with an error cannot be prepared.
        type: str
      command_line_devices:
        description:
          - The guest's devices on QEMU's command line (C(qemu:commandline)). A guest with such devices cannot be
            prepared, because they cannot be replaced.
        type: list
        elements: str
        default: []
      xml:
        description:
          - The guest's migratable XML. It is returned with the new UUIDs in RV(guests[].xml).
          - It can contain passwords. It is not written to the host's log. Set C(no_log=true) for a task that gives it,
            because the module returns it.
          - If it is given, it decides which devices the guest has, and O(guests[].devices) only adds their properties.
        type: str
      persistent_xml:
        description:
          - The XML of the guest's persistent configuration. It is returned with the new UUIDs in
            RV(guests[].persistent_xml).
        type: str
      devices:
        description:
          - The guest's mediated devices. Each device requires a type.
          - If it is omitted or V(null), the guest has no devices except for those in O(guests[].xml).
        type: list
        elements: dict
        suboptions:
          uuid:
            description: The UUID on the source.
            type: str
          function:
            description:
              - For a vGPU on a virtual function, the PCI address of this function on the source. It replaces
                O(guests[].devices[].uuid).
            type: str
          type:
            description: The id of the type on the source.
            type: str
          type_name:
            description: The name of the type on the source.
            type: str
          device_api:
            description: The device API of the type, which must be the same on this host.
            type: str
          driver:
            description: The driver of the device on the source. Its versions on both hosts are compared.
            type: str
          can_migrate:
            description: Whether the driver can migrate the device live. If not, a running guest is refused.
            type: bool
          can_quiesce:
            description: Whether the driver supports P2P. If not, a running guest with several devices is refused.
            type: bool
          attributes:
            description: The attributes to write to the device, in this order.
            type: list
            elements: dict
            default: []
            suboptions:
              name:
                description: The path of the attribute's file, relative to the device's folder.
                type: str
                required: true
              value:
                description: The value to write, one line.
                type: str
                required: true
          alias:
            description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_guest_info) can be passed as is.
            type: str
          model:
            description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_guest_info) can be passed as is.
            type: str
          address:
            description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_guest_info) can be passed as is.
            type: str
      cpu:
        description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_guest_info) can be passed as is.
        type: dict
        suboptions:
          virttype:
            description: Ignored.
            type: str
          arch:
            description: Ignored.
            type: str
          machine:
            description: Ignored.
            type: str
          xml:
            description: Ignored.
            type: str
  guest_names:
    description:
      - The names or UUIDs of the guests to commit or roll back. If the list is empty, all prepared guests are selected.
        If O(source) is set, only guests from that host are selected.
      - To be committed, a guest that was not prepared must already be on this host. Rolling back such a guest is not an
        error.
    type: list
    elements: str
    default: []
  source_versions:
    description:
      - The versions on the source. RV(vfio.mdev.mdev_guest_info#module:versions) can be passed as is.
      - A version of the kernel, libvirt or QEMU that is unknown cannot be compared, which causes a warning.
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
    description:
      - Which UUIDs the devices have on this host if O(uuid_map) is empty.
      - V(same) uses the UUIDs of the source. V(new) derives other UUIDs, which are always the same for a device on this
        host.
      - vGPUs on virtual functions are identified by the PCI addresses of their functions instead. V(same) uses the
        function with the same address, V(new) a function that O(placement) chooses.
    type: str
    choices: [same, new]
    default: same
  uuid_map:
    description:
      - The UUID on this host for each UUID on the source, instead of O(uuid_policy).
      - The map must contain all devices of the guests. Map a UUID to itself to keep it. Entries for devices that no
        guest has cause a warning.
      - For vGPUs on virtual functions, it maps the PCI addresses of the functions in the same way.
    type: dict
    default: {}
  type_map:
    description:
      - The types on this host for types of the source that have another name here. Keys and values are ids or names.
      - A type that is not in the map is matched by its id if this id has the same name on this host, and by its name
        otherwise.
    type: dict
    default: {}
  parents:
    description:
      - The candidates, see O(vfio.mdev.mdev_set#module:parents). If omitted, all parents of the host are candidates.
    type: list
    elements: str
  exclude_parents:
    description: Parents that are not candidates. See O(vfio.mdev.mdev_set#module:exclude_parents).
    type: list
    elements: str
    default: []
  placement:
    description: How one of several candidates is chosen. See O(vfio.mdev.mdev_set#module:placement).
    type: str
    choices: [first, pack, spread]
    default: first
  numa_node:
    description: Only parents on this NUMA node are candidates. If omitted, parents on any node are.
    type: int
  driver_match:
    description:
      - V(exact) refuses running guests if their devices have a driver of another version on this host.
      - V(ignore) only reports the difference. The vendor documents which versions can be mixed.
      - A version that is known on one of the hosts only counts as a difference.
    type: str
    choices: [exact, ignore]
    default: exact
  persistent:
    description:
      - Whether committed devices should also be defined on disk.
      - Prepared devices are only active, so that a reboot removes them. Devices that are already defined on this host
        stay defined.
    type: bool
    default: false
  autostart:
    description: Whether devices that O(persistent) defines should be started when the host boots.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds that O(state=rolled_back) waits until nobody uses the devices. After a lost connection, libvirt needs
        about 30 seconds to end the incoming guest.
    type: float
    default: 60
  close_records:
    description:
      - Whether O(state=rolled_back) closes the records. If it does not, the records stay open and the guests can be
        rolled back again, for example after their XML was removed from the source.
    type: bool
    default: true
  records_path:
    description: The folder of the records.
    type: path
    default: /var/lib/vfio-mdev/migrations
  uri:
    description:
      - The libvirt connection, for queries about guests and for O(backend=libvirt).
    type: str
    default: qemu:///system
requirements:
  - C(virsh) on the host, and a running libvirt daemon
seealso:
  - module: vfio.mdev.mdev_guest_info
  - module: vfio.mdev.mdev_guest_xml
  - name: VFIO device migration in QEMU
    description: How QEMU handles the state of a device.
    link: https://www.qemu.org/docs/master/devel/migration/vfio.html
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Retrieve the guests and their devices from the source
  vfio.mdev.mdev_guest_info:
    guest_names: [web-1, web-2]
  delegate_to: gpu-1
  register: source

- name: Prepare their devices on this host, under UUIDs of this host
  vfio.mdev.mdev_migration:
    source: gpu-1
    guests: "{{ source.guests }}"
    source_versions: "{{ source.versions }}"
    uuid_policy: new
    placement: spread
  register: prepared

- name: Prepare the devices on two cards of NUMA node 1, except for one virtual function
  vfio.mdev.mdev_migration:
    source: gpu-1
    guests: "{{ source.guests }}"
    source_versions: "{{ source.versions }}"
    parents:
      - "0000:41:00.0"
      - "0000:65:00.0"
    exclude_parents:
      - "0000:65:00.4"
    numa_node: 1

- name: Prepare for a guest of a host that cannot be queried, with a type that has another name on this host
  vfio.mdev.mdev_migration:
    source: gpu-9
    guests:
      - xml: "{{ lookup('ansible.builtin.file', 'web-3.xml') }}"
        persistent_xml: "{{ lookup('ansible.builtin.file', 'web-3.persistent.xml') }}"
        devices:
          - uuid: 5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10
            type: nvidia-471
    type_map:
      nvidia-471: NVIDIA A100-8C
    driver_match: ignore

- name: Prepare for a guest that is shut off, and choose the UUID of its device
  vfio.mdev.mdev_migration:
    source: gpu-1
    source_versions:
      kernel: 6.12.48
      libvirt: 11.3.0
      qemu: 10.0.3
      drivers:
        nvidia-vgpu-vfio: "580.82.02"
    guests:
      - name: render-1
        uuid: 0f4c7b52-6a3d-4b8e-9c11-2d5e8f7a6b30
        running: false
        devices:
          - uuid: 5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10
            type: nvidia-471
            type_name: NVIDIA A100-8C
            device_api: vfio-pci
            driver: nvidia-vgpu-vfio
            attributes:
              - name: nvidia/vgpu_params
                value: frame_rate_limiter=0
    uuid_map:
      5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10: 9e411a1c-5f2f-4d0f-8f0e-2f6a1a7b1c55

- name: Prepare for a guest with a vGPU on a virtual function, and choose the function on this host
  vfio.mdev.mdev_migration:
    source: gpu-1
    guests:
      - name: desktop-1
        uuid: 7d2e9a46-1b5c-4f70-8e3a-c6b0d4f1a925
        devices:
          - function: "0000:41:00.4"
            type: "1155"
            type_name: NVIDIA L40S-24Q
    uuid_map:
      "0000:41:00.4": "0000:c1:00.6"

- name: Commit a migration after the guest has moved, and start its devices at boot
  vfio.mdev.mdev_migration:
    state: committed
    guest_names: [web-1]
    persistent: true
    autostart: true

- name: Roll back the preparation for all guests of a host that were not committed
  vfio.mdev.mdev_migration:
    state: rolled_back
    source: gpu-1
    wait_timeout: 120

- name: Prepare through libvirt, with the records in another folder
  vfio.mdev.mdev_migration:
    source: gpu-1
    guests: "{{ source.guests }}"
    source_versions: "{{ source.versions }}"
    backend: libvirt
    uri: qemu:///system
    records_path: /srv/vfio-mdev/migrations

- name: Prepare from a container that has the host's file systems in /host
  vfio.mdev.mdev_migration:
    source: gpu-1
    guests: "{{ source.guests }}"
    source_versions: "{{ source.versions }}"
    uri: qemu+unix:///system?socket=/host/run/libvirt/libvirt-sock
    records_path: /host/var/lib/vfio-mdev/migrations
    sysfs_path: /host/sys
    definitions_path: /host/etc/mdevctl.d

- name: Commit a migration and remove unused devices, with a longer lock timeout for both modules
  module_defaults:
    group/vfio.mdev.mdev_change:
      lock_timeout: 300
  block:
    - name: Commit the migration
      vfio.mdev.mdev_migration:
        state: committed
        source: gpu-1
        guest_names: [web-1]

    - name: Remove devices that the set no longer contains
      vfio.mdev.mdev_set:
        name: tenant-a
        devices: []
        purge: owned
        on_in_use: skip
"""

RETURN = r"""
checks:
  description:
    - The results of all checks for O(state=prepared). They are also returned if the module fails because of them.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: >-
        The subject of the check, V(kernel), V(libvirt), V(qemu), V(driver), V(guest), V(record), V(devices), V(type),
        V(device_api), V(uuid), V(stale), V(attributes), V(room) or V(plan).
      type: str
    guest:
      description: The guest that was checked. V(null) if the check is about all guests.
      type: str
    ok:
      description: Whether the check passed.
      type: bool
    severity:
      description:
        - V(info) if the check passed. Otherwise, V(error) means that nothing is changed, and V(warning) that the
          operator should know about it.
      type: str
    detail:
      description: The result of the check in words.
      type: str
  sample:
    - check: room
      guest: null
      ok: true
      severity: info
      detail: there is room for all 2 devices
guests:
  description: The guests.
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
      description: The host that the guest comes from.
      type: str
    running:
      description: Whether the guest will be migrated live.
      type: bool
    uuid_map:
      description:
        - The UUID on this host for each UUID on the source, and the function on this host for each function on the
          source.
      type: dict
    xml:
      description: O(guests[].xml) with the UUIDs of this host. V(null) if it was not given.
      type: str
    persistent_xml:
      description: O(guests[].persistent_xml) with the UUIDs of this host. V(null) if it was not given.
      type: str
  sample:
    - name: web-1
      uuid: 6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10
      source: gpu-1
      running: true
      uuid_map:
        5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10: 9e411a1c-5f2f-8d0f-8f0e-2f6a1a7b1c55
      xml: null
      persistent_xml: null
source_devices:
  description:
    - The guests' devices on the source, each with C(uuid), or with C(parent) for a vGPU on a virtual function. They can
      be passed to O(vfio.mdev.mdev_set#module:devices).
  returned: success
  type: list
  elements: dict
  sample:
    - uuid: 5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10
devices:
  description: The devices as they are after the run, each with the fields of RV(vfio.mdev.mdev_info#module:devices[]).
  returned: success
  type: list
  elements: dict
actions:
  description:
    - The changes that were made, or would be made in check mode, in order. Each has the fields of
      RV(vfio.mdev.mdev_device#module:actions[]).
  returned: success
  type: list
  elements: dict
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description:
        - V(not_ready) if a check is an error, V(not_migrated) if a guest to be committed is not on this host,
          V(migrated) if a guest to be rolled back is on this host, or V(libvirt_error) if libvirt did not answer.
        - For other values and facts, see RV(vfio.mdev.mdev_set#module:error).
      type: str
  sample: {kind: not_migrated, guests: [web-1]}
"""

import time
from typing import Any, Union

from ansible.module_utils.basic import AnsibleModule

import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.vfio.mdev.plugins.module_utils._guests.virsh import Virsh
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._migration.findings import finding_results
from ansible_collections.vfio.mdev.plugins.module_utils._migration.inputs import (
    REQUEST_ARGUMENTS,
    GuestInputs,
    guest_inputs,
    migration_request,
)
from ansible_collections.vfio.mdev.plugins.module_utils._migration.record import (
    MigrationRecord,
    MigrationRecords,
    RecordedDevice,
)
from ansible_collections.vfio.mdev.plugins.module_utils._migration.request import Guest
from ansible_collections.vfio.mdev.plugins.module_utils._migration.run import Commit, Preparation, Rollback
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InUse, MdevError, NotReady
from ansible_collections.vfio.mdev.plugins.module_utils._model.framework import HOSTDEV_MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import (
    BACKEND_ARGUMENTS,
    HOST_ARGUMENTS,
)
from ansible_collections.vfio.mdev.plugins.module_utils._runner.change_results import action_results, diff_result
from ansible_collections.vfio.mdev.plugins.module_utils._runner.context import RunContext
from ansible_collections.vfio.mdev.plugins.module_utils._runner.results import device_result
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run import Outcome, run
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module
from ansible_collections.vfio.mdev.plugins.module_utils._xml.domain import remap_domain

Operation = Union[Preparation, Commit, Rollback]


def select_operation(params: dict[str, Any], host: Host, guests: tuple[Guest, ...]) -> Operation:
    """What the state means."""
    virsh, records = Virsh(params["uri"]), MigrationRecords(params["records_path"])
    if params["state"] == "prepared":
        return Preparation(migration_request(params, guests), host, virsh, records)
    names = tuple(params["guest_names"])
    if params["state"] == "rolled_back":
        rollback = Rollback(names, params["source"], host, virsh, records)
        rollback.close_records = params["close_records"]
        return rollback
    commit = Commit(names, params["source"], host, virsh, records)
    commit.persistent, commit.autostart = params["persistent"], params["autostart"]
    return commit


def run_operation(params: dict[str, Any], host: Host, operation: Operation, check_mode: bool) -> Outcome:
    """Runs. A rollback runs again while a device that should go is in use, until the time for that is over."""
    seconds = params["wait_timeout"] if isinstance(operation, Rollback) and not check_mode else 0
    autostart = isinstance(operation, Commit) and operation.persistent and operation.autostart
    context = RunContext.from_params(params, host, operation.requests, autostart, operation)
    end = time.monotonic() + seconds
    while True:
        operation.look()
        try:
            return run(context, check_mode)
        except InUse:
            if time.monotonic() >= end:
                raise
        time.sleep(1)


def result(outcome: Outcome, operation: Operation, inputs: GuestInputs) -> dict[str, Any]:
    """The module's result, the same shape for all states and in check mode."""
    after = outcome.states()
    found = operation.found if isinstance(operation, Preparation) else None
    records = found.records if found is not None else () if isinstance(operation, Preparation) else operation.closing
    ids = {**outcome.inventory.ids_by_key, **{key: state.id for key, state in after.items() if state.exists}}
    return {
        "changed": bool(outcome.steps) or operation.changed,
        "checks": finding_results(found.findings) if found is not None else [],
        "guests": [_guest_result(record, record.targets(ids), inputs) for record in records],
        "source_devices": [_source_device(device) for record in records for device in record.devices],
        "devices": [device_result(state, outcome.inventory) for state in after.values() if state.exists],
        "actions": [action for step in outcome.steps for action in action_results(step, after[step.key].device)],
    }


def _source_device(device: RecordedDevice) -> dict[str, str]:
    return {"uuid" if device.hostdev_type == HOSTDEV_MDEV else "parent": device.source}


def _guest_result(record: MigrationRecord, targets: dict[str, str], inputs: GuestInputs) -> dict[str, Any]:
    xml, persistent_xml = inputs.xml_of(record.uuid)
    return {
        "name": record.guest,
        "uuid": record.uuid,
        "source": record.source,
        "running": record.running,
        "uuid_map": targets,
        "xml": remap_domain(xml, targets).xml if xml else None,
        "persistent_xml": remap_domain(persistent_xml, targets).xml if persistent_xml else None,
    }


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """Guests, then inventory, plan and apply, then the result."""
    host = Host.from_params(params)
    inputs = guest_inputs(params) if params["state"] == "prepared" else GuestInputs()
    operation = select_operation(params, host, inputs.guests)
    outcome = run_operation(params, host, operation, check_mode)
    changes = [(planned.before, outcome.after(planned)) for planned in outcome.plan.devices]
    return ModuleResult(result(outcome, operation, inputs), outcome.warnings(), diff_result(changes, outcome.inventory))


def shown_params(module: AnsibleModule) -> dict[str, Any]:
    """The parameters. Those that results show have no guests.

    Ansible masks the values of an option with no_log in the whole result, also names and UUIDs. Here the option only
    has to be kept out of the host's log, which is written when the module starts.
    """
    params: dict[str, Any] = module.params
    module.no_log_values.clear()
    module.params = {**params, "guests": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"}
    return params


def _checks(error: MdevError) -> dict[str, Any]:
    """What a failed preparation found."""
    return {"checks": error.checks if isinstance(error, NotReady) else []}


def main() -> None:
    """Arguments, then inventory, plan and apply, then the result."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["prepared", "committed", "rolled_back"], "default": "prepared"},
            "source": {"type": "str"},
            "guest_names": {"type": "list", "elements": "str", "default": []},
            **REQUEST_ARGUMENTS,
            "persistent": {"type": "bool", "default": False},
            "autostart": {"type": "bool", "default": True},
            "wait_timeout": {"type": "float", "default": 60},
            "close_records": {"type": "bool", "default": True},
            "records_path": {"type": "path", "default": "/var/lib/vfio-mdev/migrations"},
            **BACKEND_ARGUMENTS,
            **HOST_ARGUMENTS,
        },
        required_if=[("state", "prepared", ["source"])],
        supports_check_mode=True,
    )
    params = shown_params(module)
    run_module(module, lambda _shown, check_mode: act(params, check_mode), on_failure=_checks)


if __name__ == "__main__":
    main()
