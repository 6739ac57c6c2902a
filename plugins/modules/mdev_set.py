#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_set
short_description: Has all mediated devices that a host shall hold, in one task
version_added: 0.1.0
description:
  - Creates, defines, corrects and removes the mediated devices (mdevs) of a host so that it holds a set of them.
  - The whole set is checked before anything is touched, with the room that all devices need together. What does not fit
    is one error that names each entry short of room, and what each parent has left.
  - What is to go goes first, so that its room can be used. Then devices are created. A parent that turns out full
    though it promised room is replaced by the next candidate.
  - When a step fails, all that the run did is taken back. There is no part of a set.
  - Whose a device is can be read from its UUID. It is derived from the host, the set's name and the entry, so that a
    second run finds the devices again. Nothing is recorded that could be lost. Only vGPUs under NVIDIA's own VFIO
    framework, which have no UUID, are found by notes and definitions.
  - A device that a process holds is never removed, whatever O(purge) and O(on_in_use) say.
  - Each device is made as by M(vfio.mdev.mdev_device), which is a set of one.
extends_documentation_fragment:
  - vfio.mdev.host
  - vfio.mdev.device
  - vfio.mdev.backend
attributes:
  diff_mode:
    description: Shows the devices that change, before and after.
    support: full
options:
  name:
    description:
      - The set's name, for example that of the tenant. Sets of different names can be on one host, and leave each
        other's devices alone.
      - A set that is given another name is another set. The devices of the old one stay until they are removed, with
        O(devices=[]) and O(purge=owned) under the old name.
    type: str
    required: true
  devices:
    description:
      - The entries of the set. What an entry does not say is as at the top level of the module.
      - An entry stands for one device (O(devices[].uuid)) or for several that are alike (O(devices[].count)).
    type: list
    elements: dict
    required: true
    suboptions:
      uuid:
        description: The UUID of a single device. Where it is left out, UUIDs (version 8) are derived.
        type: str
      name:
        description:
          - A name to derive UUIDs from, for example that of the guest. It is not stored anywhere.
          - Without a name, UUIDs are derived from type and parent as they are written. So entries with the same type
            and parent need names.
        type: str
      count:
        description:
          - How many devices there are to be, V(1) if it is left out.
          - A smaller number than before removes devices from the end, unused ones first. A greater one adds devices
            and leaves the others as they are.
          - At most V(1024). V(0) is as O(devices[].state=absent).
        type: int
      type:
        description: The type of this entry. See O(type).
        type: str
      parent:
        description: The parent of this entry, in place of O(parent) and O(parents).
        type: str
      parents:
        description: The candidates of this entry, in place of O(parent) and O(parents).
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
            description: The file's path below the device's folder.
            type: str
            required: true
          value:
            description: What to write, one line.
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
      - What else is removed, from the kernel and from disk.
      - V(none) removes nothing but what entries themselves have too many of or say is V(absent).
      - V(owned) also removes devices whose UUID says that they belong to this set of this host, and that no entry means
        any more. Devices with a UUID that was given belong to no set.
      - V(all) removes whatever is not listed, of whomever.
    type: str
    choices: [none, owned, all]
    default: none
  on_in_use:
    description:
      - What to do where a device that is to go is in use.
      - V(fail) changes nothing and says which devices these are and who uses them.
      - V(skip) leaves these devices as they are, returns them in RV(skipped), and does all else.
    type: str
    choices: [fail, skip]
    default: fail
  type:
    description:
      - The type, by the id (V(nvidia-471)) or the exact name (V(NVIDIA A100-8C)) that the driver gives it.
      - A name that stands for several ids is an error that lists them.
      - An entry that is to be present needs a type of its own or this one.
    type: str
seealso:
  - module: vfio.mdev.mdev_device
  - module: vfio.mdev.mdev_info
  - name: Mediated devices in the kernel
    description: How the kernel shows parents, types and devices.
    link: https://docs.kernel.org/driver-api/vfio-mediated-device.html
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Have eight vGPUs over all cards, and a big one for guest render-1
  vfio.mdev.mdev_set:
    name: tenant-a
    devices:
      - type: NVIDIA A100-8C
        count: 8
        placement: spread
      - name: render-1
        type: NVIDIA A100-40C
  register: tenant_a

- name: Show which UUIDs the guests get
  ansible.builtin.debug:
    msg: "{{ tenant_a.entries }}"

- name: Have these guests' devices, and remove what this set no longer lists, but nothing of others
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

- name: Shrink now as far as guests allow, the rest with the next run
  vfio.mdev.mdev_set:
    name: tenant-a
    devices:
      - type: NVIDIA A100-8C
        count: 4
    purge: owned
    on_in_use: skip

- name: Have exactly one certain device on this host and nothing else
  vfio.mdev.mdev_set:
    name: single
    devices:
      - uuid: 9e411a1c-5f2f-4d0f-8f0e-2f6a1a7b1c55
        type: nvidia-692
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
        count: 12
      - name: spare
        count: 2
        active: false
        autostart: false

- name: Have devices as soon as a driver that was just loaded offers their types
  vfio.mdev.mdev_set:
    name: desktops
    wait_seconds: 120
    devices:
      - type: i915-GVTg_V5_4
        count: 2

- name: Remove all devices of a set
  vfio.mdev.mdev_set:
    name: tenant-b
    devices: []
    purge: owned

- name: Have devices until the next reboot only, under UUIDs that are equal on all hosts
  vfio.mdev.mdev_set:
    name: test
    name_scope: global
    persistent: false
    devices:
      - type: mtty-1
        parent: mtty
        count: 3
"""

RETURN = r"""
devices:
  description:
    - All devices of the set as they are after the run, or in check mode as they would be, in the order of the entries.
    - Each has the shape of RV(vfio.mdev.mdev_device#module:device).
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
      in_use: false
      used_by: []
      drift: []
      xml: null
      hostdev_xml: null
entries:
  description: Which devices each entry stands for, in the order of O(devices).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The entry's name.
      type: str
    type:
      description: The entry's type, as given.
      type: str
    uuids:
      description: The UUIDs of its devices. vGPUs under NVIDIA's own VFIO framework have none.
      type: list
      elements: str
    nodedevs:
      description: libvirt's names for its devices, of all frameworks.
      type: list
      elements: str
  sample:
    - name: null
      type: NVIDIA A100-8C
      uuids: [5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10]
      nodedevs: [mdev_5b2c8a34_11c0_8a2f_9a0e_0d4c3c1f7e10_0000_41_00_4]
actions:
  description:
    - What was done, or in check mode would be done, in order. Empty where nothing changes.
    - Each has the shape of RV(vfio.mdev.mdev_device#module:actions[]).
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
  description: Where the module chose a parent, and why this one.
  returned: success
  type: list
  elements: dict
  contains:
    uuid:
      description: The device.
      type: str
    parent:
      description: The parent that was chosen.
      type: str
    reason:
      description: Why.
      type: str
  sample:
    - uuid: 5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10
      parent: "0000:41:00.4"
      reason: "card with the fewest devices: 0000:41:00.0 with 0 devices"
rejected_parents:
  description: Why parents were passed over, each reason once.
  returned: success
  type: list
  elements: dict
  contains:
    parent:
      description: The candidate's name in sysfs.
      type: str
    reason:
      description: Why it was not taken.
      type: str
  sample:
    - parent: "0000:41:00.5"
      reason: has 0 of nvidia-471 left and nothing of any other type
skipped:
  description:
    - The devices that were to go and stay, since they are in use (O(on_in_use=skip)).
    - Each has the shape of RV(vfio.mdev.mdev_device#module:device).
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
        - V(several) where more than one problem was found, else as in RV(vfio.mdev.mdev_device#module:error.kind).
      type: str
    errors:
      description: For V(several), each problem with its C(entry), C(message), C(kind) and facts.
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
    taken_back:
      description: Whether all that this run did before the failure could be taken back, where it had done something.
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

from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
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
    diff_results,
    placement_result,
)
from ansible_collections.vfio.mdev.plugins.module_utils._runner.context import RunContext
from ansible_collections.vfio.mdev.plugins.module_utils._runner.results import device_result
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run import Outcome, run
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module


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
    inventory, after, skipped = outcome.inventory, outcome.states(), outcome.skipped()
    staying = {device.key for device in skipped}
    kept = [planned for planned in outcome.plan.devices if after[planned.key].exists and planned.key not in staying]
    devices = [device_result(after[planned.key], inventory, planned.drift) for planned in kept]
    return {
        "changed": bool(outcome.steps),
        "devices": devices,
        "entries": _entry_results(request, [(planned.label, device) for planned, device in zip(kept, devices)]),
        "actions": [action for step in outcome.steps for action in action_results(step, after[step.key].device)],
        "placements": [
            placement_result(planned, after[planned.key]) for planned in kept if planned.placement is not None
        ],
        "rejected_parents": rejection_facts(outcome.rejected()),
        "skipped": [device_result(after[device.key], inventory) for device in skipped],
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


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """Request, then inventory, plan and apply, then the result."""
    host = Host.from_params(params)
    request = set_request(params, host)
    context = RunContext.from_params(
        params,
        host,
        lambda inventory: expand_set(request, inventory),
        autostart=any(entry.pattern.autostart and entry.count for entry in request.entries),
        wait_timeout=params["wait_timeout"],
    )
    outcome = run(context, check_mode)
    changes = [(planned.before, outcome.after(planned)) for planned in outcome.plan.devices]
    return ModuleResult(result(outcome, request), outcome.warnings(), diff_results(changes))


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
