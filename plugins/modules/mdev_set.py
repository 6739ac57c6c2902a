#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_set: manages a set of mediated devices."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_set
short_description: Manage a set of mediated devices on a host
version_added: 1.0.0
description:
  - Creates, defines, corrects and removes mediated devices (mdevs) of a host so that it has all devices of a set.
  - The whole set is checked before anything is changed, including the room that all devices need together. If some do
    not fit, one error names each entry that lacks room, and what each parent has left.
  - Removals happen first, so that the capacity they free can be used. Then devices are created. If a parent turns out
    to be full although it reported room, the next candidate is used.
  - "If a step fails, all previous steps are rolled back: a set is applied completely or not at all."
  - The UUID shows which set a device belongs to. It is derived from the host, the name of the set and the entry, so
    that a second run finds the devices again. There is no record that could be lost. Only vGPUs under NVIDIA's vendor
    VFIO framework, which have no UUID, are found by notes and definitions.
  - A device that a process holds is never removed, regardless of O(purge) and O(on_in_use).
  - Each device is managed in the same way as by M(vfio.mdev.mdev_device), which manages a set of one device.
extends_documentation_fragment:
  - vfio.mdev._attributes
  - vfio.mdev._attributes.action_group
  - vfio.mdev._host
  - vfio.mdev._device
  - vfio.mdev._backend
attributes:
  action_group:
    membership:
      - vfio.mdev.mdev
      - vfio.mdev.mdev_change
      - vfio.mdev.mdev_host
      - vfio.mdev.mdev_provision
  diff_mode:
    description: Shows each device that changes in one line, before and after.
options:
  name:
    description:
      - The name of the set, for example the name of the tenant. Sets with different names can share a host, and leave
        each other's devices alone.
      - A set with a new name is another set. The devices of the old one stay until they are removed with O(devices=[])
        and O(purge=owned) under the old name.
    type: str
    required: true
  devices:
    description:
      - The entries of the set. Options that an entry omits are taken from the top level of the module.
      - An entry stands for one device (O(devices[].uuid)) or for several that are alike (O(devices[].count)).
    type: list
    elements: dict
    required: true
    suboptions:
      uuid:
        description: The UUID of a single device. If it is omitted, UUIDs (version 8) are derived.
        type: str
      name:
        description:
          - A name from which UUIDs are derived, for example the name of the guest. It is not stored anywhere.
          - Without O(devices[].uuid) and O(devices[].name), UUIDs are derived from the type's id and the parent's
            address as resolved on the host. V(NVIDIA A100-8C) and V(nvidia-471) are therefore the same request. A type
            or parent that the host does not have is used as written. Entries with the same type and parent need names.
        type: str
      count:
        description:
          - The number of devices, V(1) if it is omitted.
          - A smaller number than before removes devices from the end, unused ones first. A larger number adds devices
            and leaves the others as they are.
          - The maximum is V(1024). V(0) has the same effect as O(devices[].state=absent).
        type: int
      type:
        description: The type of this entry. See O(type).
        type: str
      parent:
        description: The parent of this entry, instead of O(parent) and O(parents).
        type: str
      parents:
        description: The candidates of this entry, instead of O(parent) and O(parents).
        type: list
        elements: str
      exclude_parents:
        description: See O(exclude_parents).
        type: list
        elements: str
      placement:
        description: See O(placement).
        type: str
        choices: [first, pack, spread]
      numa_node:
        description: See O(numa_node).
        type: int
      attributes:
        description: See O(attributes).
        type: list
        elements: dict
        suboptions:
          name:
            description: The path of the attribute's file, relative to the device's folder.
            type: str
            required: true
          value:
            description: The value to write, one line.
            type: str
            required: true
      state:
        description: See O(state). V(absent) removes all devices of the entry.
        type: str
        choices: [present, absent]
      active:
        description: See O(active).
        type: bool
      persistent:
        description: See O(persistent).
        type: bool
      autostart:
        description: See O(autostart).
        type: bool
      recreate:
        description: See O(recreate).
        type: bool
  purge:
    description:
      - Which other devices are removed, from the kernel and from disk.
      - V(none) removes only the devices that exceed the number of an entry, and those of entries that are V(absent).
      - V(owned) also removes devices that belong to this set on this host according to their UUID, but to no entry any
        more. Devices with a UUID that was given belong to no set.
      - V(all) removes all devices that are not listed, including those that other sets, tools or people created.
      - If a folder of definitions or a parent can't be read, a purge fails and changes nothing, because devices
        there are unknown.
    type: str
    choices: [none, owned, all]
    default: none
  on_in_use:
    description:
      - What to do when a device to be removed is in use.
      - V(fail) changes nothing, and reports these devices and their users.
      - V(skip) leaves these devices as they are, returns them in RV(kept), and makes all other changes.
    type: str
    choices: [fail, skip]
    default: fail
  type:
    description:
      - The id (V(nvidia-471)) or the exact name (V(NVIDIA A100-8C)) of the type, as the driver reports it.
      - If a name stands for several ids, the module fails and lists them.
      - An entry with O(devices[].state=present) needs its own type or this one.
    type: str
seealso:
  - module: vfio.mdev.mdev_device
  - module: vfio.mdev.mdev_info
  - name: Mediated devices in the kernel
    description: How the kernel presents parents, types and devices.
    link: https://docs.kernel.org/driver-api/vfio-mediated-device.html
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Let the host start its devices at boot, once before the first device is created
  ansible.builtin.include_role:
    name: vfio.mdev.boot

- name: Create eight vGPUs over all cards, and a big one for guest render-1
  vfio.mdev.mdev_set:
    name: tenant-a
    devices:
      - type: NVIDIA A100-8C
        count: 8
        placement: spread
      - name: render-1
        type: NVIDIA A100-40C
  register: tenant_a

- name: Show the UUIDs for the guests
  ansible.builtin.debug:
    msg: "{{ tenant_a.entries }}"

- name: Create the devices of these guests, and remove what this set no longer lists, but no devices of others
  vfio.mdev.mdev_set:
    name: tenant-a
    type: nvidia-471
    devices:
      - name: web-1
      - name: web-2
      - name: db-1
        parent: "0000:41:00.0"
        attributes:
          - name: nvidia/vgpu_params
            value: frame_rate_limiter=0
    purge: owned

- name: Turn off the frame rate limiter of all devices of a set, which are on any virtual function of two cards
  vfio.mdev.mdev_set:
    name: render
    type: nvidia-471
    parents:
      - "0000:41:00.0"
      - "0000:65:00.0"
    attributes:
      - name: nvidia/vgpu_params
        value: frame_rate_limiter=0
    devices:
      - count: 6
      - name: special
        parents:
          - "0000:c1:00.4"
          - "0000:c1:00.5"
        numa_node: 1

- name: Shrink a set now as far as guests allow, and the rest with the next run
  vfio.mdev.mdev_set:
    name: tenant-a
    devices:
      - type: NVIDIA A100-8C
        count: 4
    purge: owned
    on_in_use: skip

- name: Create exactly one device with a given UUID, and remove all other devices of the host
  vfio.mdev.mdev_set:
    name: single
    devices:
      - uuid: 9e411a1c-5f2f-4d0f-8f0e-2f6a1a7b1c55
        type: nvidia-474
        parent: "0000:65:00.4"
    purge: all

- name: Fill the cards of NUMA node 0 one by one, and leave the card for tests alone
  vfio.mdev.mdev_set:
    name: tenant-b
    type: nvidia-471
    placement: pack
    numa_node: 0
    exclude_parents:
      - "0000:c1:00.0"
    devices:
      - name: small
        count: 3
      - name: spare
        count: 2
        exclude_parents:
          - "0000:c1:00.0"
          - "0000:65:00.0"
        active: false
        autostart: false

- name: Replace the device of guest web-1, remove that of web-2, and keep that of db-1 until the next reboot only
  vfio.mdev.mdev_set:
    name: tenant-a
    type: nvidia-472
    devices:
      - name: web-1
        recreate: true
      - name: web-2
        state: absent
      - name: db-1
        persistent: false

- name: Create devices as soon as a driver that was just loaded offers their types
  vfio.mdev.mdev_set:
    name: desktops
    wait_timeout: 120
    devices:
      - type: i915-GVTg_V5_4
        count: 2

- name: Define devices that are started by hand, all on one parent
  vfio.mdev.mdev_set:
    name: lab
    type: mtty-2
    parent: mtty
    active: false
    autostart: false
    devices:
      - count: 4

- name: Replace all devices of a set that have another type, if nobody uses them
  vfio.mdev.mdev_set:
    name: tenant-b
    type: nvidia-472
    recreate: true
    devices:
      - name: small
        count: 12

- name: Remove the devices of two guests, and no others
  vfio.mdev.mdev_set:
    name: tenant-a
    state: absent
    devices:
      - name: web-1
      - name: web-2

- name: Remove all devices of a set
  vfio.mdev.mdev_set:
    name: tenant-b
    devices: []
    purge: owned

- name: Create devices that last until the next reboot, with the same UUIDs on all hosts
  vfio.mdev.mdev_set:
    name: test
    name_scope: global
    persistent: false
    devices:
      - type: mtty-1
        parent: mtty
        count: 3

- name: Create devices through libvirt, and wait up to five minutes if another run holds the lock
  vfio.mdev.mdev_set:
    name: tenant-a
    devices:
      - type: NVIDIA A100-8C
        count: 8
    backend: libvirt
    uri: qemu:///system
    lock_timeout: 300

- name: Create devices from a container that has the host's file systems in /host
  vfio.mdev.mdev_set:
    name: tenant-a
    devices:
      - type: NVIDIA A100-8C
        count: 8
    sysfs_path: /host/sys
    definitions_path: /host/etc/mdevctl.d
"""

RETURN = r"""
devices:
  description:
    - All devices of the set after the run, or in check mode as they would be, in the order of the entries.
    - The fields are those of RV(vfio.mdev.mdev_info#module:devices[]), with the differences that
      RV(vfio.mdev.mdev_device#module:device) lists.
  returned: success
  type: list
  elements: dict
  sample:
    - uuid: 5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10
      nodedev: mdev_5b2c8a34_11c0_8a2f_9a0e_0d4c3c1f7e10_0000_41_00_4
      framework: mdev
      parent: "0000:41:00.4"
      parent_nodedev: pci_0000_41_00_4
      type: nvidia-471
      type_name: NVIDIA A100-8C
      device_api: vfio-pci
      active: true
      defined: true
      autostart: true
      removing: false
      attributes: []
      iommu_group: 117
      numa_node: 1
      gpu_instance_id: null
      placement_id: null
      in_use: false
      used_by: []
      drift: []
      xml: null
      hostdev_xml: |
        <hostdev mode="subsystem" type="mdev" model="vfio-pci">
          <source>
            <address uuid="5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10"/>
          </source>
        </hostdev>
entries:
  description: The devices that each entry stands for, in the order of O(devices).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name of the entry.
      type: str
    type:
      description: The type of the entry, as given.
      type: str
    uuids:
      description: The UUIDs of its devices. vGPUs under NVIDIA's vendor VFIO framework have none.
      type: list
      elements: str
    nodedevs:
      description: libvirt's names for its devices, in all frameworks.
      type: list
      elements: str
  sample:
    - name: null
      type: NVIDIA A100-8C
      uuids: [5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10]
      nodedevs: [mdev_5b2c8a34_11c0_8a2f_9a0e_0d4c3c1f7e10_0000_41_00_4]
actions:
  description:
    - The changes that were made, or in check mode would be made, in order. Empty if nothing changes.
    - The fields are those of RV(vfio.mdev.mdev_device#module:actions[]).
  returned: success
  type: list
  elements: dict
  sample:
    - action: create
      uuid: 5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10
      parent: "0000:41:00.4"
      type: nvidia-471
      attribute: null
      value: null
placements:
  description: The parents that the module chose, and why.
  returned: success
  type: list
  elements: dict
  contains:
    uuid:
      description: The UUID of the device.
      type: str
    parent:
      description: The parent that was chosen.
      type: str
    reason:
      description: Why it was chosen.
      type: str
  sample:
    - uuid: 5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10
      parent: "0000:41:00.4"
      reason: "card with the fewest devices: 0000:41:00.0 with 0 devices"
rejected_parents:
  description: Why candidates were not used, each reason once.
  returned: success
  type: list
  elements: dict
  contains:
    parent:
      description: The candidate's name in sysfs.
      type: str
    reason:
      description: Why it was not used.
      type: str
  sample:
    - parent: "0000:41:00.5"
      reason: has 0 of nvidia-471 left and nothing of any other type
kept:
  description:
    - The devices that should have been removed but stay because they are in use (O(on_in_use=skip)).
    - The fields are those of RV(devices).
  returned: success
  type: list
  elements: dict
  sample: []
error:
  description:
    - The facts of a failure, for playbooks. The message is for the operator.
    - See RV(vfio.mdev.mdev_device#module:error).
  returned: failure
  type: dict
  contains:
    kind:
      description:
        - V(multiple) if more than one problem was found, otherwise as in RV(vfio.mdev.mdev_device#module:error.kind).
      type: str
    problems:
      description: Each problem with its C(entry), C(message), C(kind) and facts, if there is more than one.
      type: list
      elements: dict
    short:
      description: For V(no_room), each entry that lacks room, with C(entry), C(type), C(missing) and C(uuids).
      type: list
      elements: dict
    rejected_parents:
      description: For V(no_room), what each parent has left.
      type: list
      elements: dict
    rolled_back:
      description: Whether all changes that the run had made before the failure were rolled back. Missing if it had made
        none.
      type: bool
  sample:
    kind: no_room
    short:
      - entry: "devices[0]"
        type: nvidia-471
        missing: 1
        uuids: [5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10]
    rejected_parents:
      - parent: "0000:41:00.4"
        reason: has 0 of nvidia-471 left and nothing of any other type
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule

import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._host.reader import is_gone
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import (
    InvalidInput,
    MdevError,
    Problem,
    combine_errors,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest
from ansible_collections.vfio.mdev.plugins.module_utils._planning.device_set import (
    MAX_COUNT,
    NONE,
    PURGES,
    SetEntry,
    SetRequest,
    expand_set,
)
from ansible_collections.vfio.mdev.plugins.module_utils._planning.placement import rejection_facts
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import (
    BACKEND_ARGUMENTS,
    COMMON_ARGUMENTS,
    ENTRY_ARGUMENTS,
    HOST_ARGUMENTS,
    NAMESPACE_ARGUMENTS,
    WAIT_ARGUMENTS,
    device_request,
    uuid_namespace,
)
from ansible_collections.vfio.mdev.plugins.module_utils._runner.change_results import (
    action_results,
    diff_result,
    placement_result,
)
from ansible_collections.vfio.mdev.plugins.module_utils._runner.context import RunContext
from ansible_collections.vfio.mdev.plugins.module_utils._runner.results import device_result
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run import Outcome, run
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module

# The default records_path of mdev_migration, below the host's root.
RECORDS = ("var", "lib", "vfio-mdev", "migrations")


def set_request(params: dict[str, Any], host: Host) -> SetRequest:
    """The set as requested, checked as far as no host is needed. All problems of its entries are one error."""
    if not params["name"].strip():
        raise InvalidInput("the set's name is empty", name=params["name"])
    entries: list[SetEntry] = []
    problems: list[Problem] = []
    for number, given in enumerate(params["devices"]):
        label = f"devices[{number}]" + (f" ({given['name']})" if given["name"] else "")
        try:
            entries.append(_entry(label, given, params))
        except MdevError as error:
            problems.append(Problem(label, error))
    if problems:
        raise combine_errors(problems)
    namespace = uuid_namespace(params, host, params["name"])
    return SetRequest(namespace, tuple(entries), params["purge"], skip_in_use=params["on_in_use"] == "skip")


def _entry(label: str, given: dict[str, Any], params: dict[str, Any]) -> SetEntry:
    """An entry, with what it does not say itself from the top level."""
    stated = {option: value for option, value in given.items() if value is not None}
    common = {option: params[option] for option in COMMON_ARGUMENTS}
    if "parent" in stated or "parents" in stated:
        common.update(parent=None, parents=None)
    options = {**common, "uuid": None, "name": None, "count": 1, **stated}
    count = options["count"]
    if not 0 <= count <= MAX_COUNT:
        raise InvalidInput(f"count is {count}, and must be from 0 to {MAX_COUNT}", count=count)
    request = replace(device_request(options), label=label)
    is_named = request.key or request.name or request.parents
    if request.type is None and (request.present or not is_named):
        raise InvalidInput("there is no type: give the entry one, or one for all entries at the top level", entry=label)
    return SetEntry(request, count)


def result(outcome: Outcome, request: SetRequest) -> dict[str, Any]:
    """The module's result, the same shape in check mode."""
    inventory, after, kept = outcome.inventory, outcome.states(), outcome.kept()
    in_use = {device.key for device in kept}
    of_set = [planned for planned in outcome.plan.devices if after[planned.key].exists and planned.key not in in_use]
    devices = [device_result(after[planned.key], inventory, planned.drift) for planned in of_set]
    return {
        "changed": bool(outcome.steps),
        "devices": devices,
        "entries": _entry_results(request, [(planned.label, device) for planned, device in zip(of_set, devices)]),
        "actions": [action for step in outcome.steps for action in action_results(step, after[step.key].device)],
        "placements": [
            placement_result(planned, after[planned.key]) for planned in of_set if planned.placement is not None
        ],
        "rejected_parents": rejection_facts(outcome.rejected()),
        "kept": [device_result(after[device.key], inventory) for device in kept],
    }


def _entry_results(request: SetRequest, devices: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    by_label: dict[str, list[dict[str, Any]]] = {}
    for label, device in devices:
        by_label.setdefault(label, []).append(device)
    return [_entry_result(entry.pattern, by_label.get(entry.pattern.label, [])) for entry in request.entries]


def _entry_result(pattern: DeviceRequest, devices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": pattern.name,
        "type": pattern.type,
        "uuids": [device["uuid"] for device in devices if device["uuid"] is not None],
        "nodedevs": [device["nodedev"] for device in devices],
    }


def protected_devices(host: Host) -> frozenset[str]:
    """The keys of devices that were prepared for guests whose migration is neither committed nor rolled back."""
    folder = host.beside(*RECORDS)
    if is_gone(folder):
        return frozenset()
    # Most hosts have no records and do not pay for the import.
    from ansible_collections.vfio.mdev.plugins.module_utils._migration.record import MigrationRecords

    records = MigrationRecords(folder).read().values()
    return frozenset(device.key for record in records for device in record.devices)


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """Request, then inventory, plan and apply, then the result."""
    host = Host.from_params(params)
    request = set_request(params, host)
    context = RunContext.from_params(
        params,
        host,
        lambda inventory: expand_set(replace(request, protected=protected_devices(host)), inventory),
        autostart=any(entry.pattern.autostart and entry.count for entry in request.entries),
        wait_timeout=params["wait_timeout"],
    )
    outcome = run(context, check_mode)
    changes = [(planned.before, outcome.after(planned)) for planned in outcome.plan.devices]
    return ModuleResult(result(outcome, request), outcome.warnings(), diff_result(changes, outcome.inventory))


def main() -> None:
    """Arguments, then inventory, plan and apply, then the result."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "devices": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": ENTRY_ARGUMENTS,
                "mutually_exclusive": [("uuid", "name"), ("uuid", "count"), ("parent", "parents")],
            },
            "purge": {"type": "str", "choices": list(PURGES), "default": NONE},
            "on_in_use": {"type": "str", "choices": ["fail", "skip"], "default": "fail"},
            **COMMON_ARGUMENTS,
            **NAMESPACE_ARGUMENTS,
            **BACKEND_ARGUMENTS,
            **WAIT_ARGUMENTS,
            **HOST_ARGUMENTS,
        },
        mutually_exclusive=[("parent", "parents")],
        supports_check_mode=True,
    )
    run_module(module, act)


if __name__ == "__main__":
    main()
