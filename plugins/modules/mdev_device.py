#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_device: manages one mediated device."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_device
short_description: Manage a mediated device
version_added: 1.0.0
description:
  - Creates, defines, replaces or removes one mediated device (mdev) of a host. A mediated device is a slice of a GPU or
    another device that a guest uses through VFIO.
  - A device can be in the kernel (active), on disk (defined), or both. A defined device with autostart is started again
    when the host boots. Definitions are stored in mdevctl's folder and format, so mdevctl and libvirt see the same
    devices.
  - A device is identified by its UUID. If no UUID is given, it is derived, and the same request on the same host always
    gives the same UUID. A second run therefore finds the device and changes nothing.
  - A device that a process holds is never removed. The error names the process and, if the process is QEMU, the guest.
  - If a step fails, all previous steps of the run are rolled back.
  - Only one run at a time works on a host. It reads, decides and writes under one lock.
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
  uuid:
    description:
      - The UUID of the device.
      - If it is omitted, a UUID (version 8) is derived from the host's identity (C(/etc/machine-id)) and O(name).
      - Without O(uuid) and O(name), the UUID is derived from the type's id and the parent's address as resolved on the
        host. V(NVIDIA A100-8C) and V(nvidia-471) are therefore the same request. A type or parent that the host does
        not have is used as written. Two devices that are alike need names.
      - If a device with this UUID exists with another type or on another parent, the module fails unless
        O(recreate=true).
    type: str
  name:
    description:
      - A name from which the UUID is derived, for example the name of the guest. It is not stored anywhere.
      - With O(xml), use it if the document has no C(<uuid>).
    type: str
  type:
    description:
      - The id (V(nvidia-471)) or the exact name (V(NVIDIA A100-8C)) of the type, as the driver reports it.
      - If a name stands for several ids, the module fails and lists them.
      - Required for O(state=present), unless O(xml) is given. With O(state=absent), a device of another type is not
        removed.
    type: str
  xml:
    description:
      - libvirt's node device XML, as a replacement for O(uuid), O(type), O(parent), O(parents) and O(attributes).
      - C(<parent>), C(<type id>), C(<uuid>) and C(<attr>) are read. Other elements are ignored, as libvirt does.
      - Documents with a document type or entities, and documents that are too large or too deeply nested are refused.
    type: str
seealso:
  - module: vfio.mdev.mdev_set
  - module: vfio.mdev.mdev_info
  - name: Mediated devices in the kernel
    description: How the kernel presents parents, types and devices.
    link: https://docs.kernel.org/driver-api/vfio-mediated-device.html
  - name: libvirt's node device XML
    description: The format of O(xml).
    link: https://libvirt.org/formatnode.html
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Let the host start its devices at boot, once before the first device is created
  ansible.builtin.include_role:
    name: vfio.mdev.boot

- name: Create a vGPU for guest web-1 on the first card that has room
  vfio.mdev.mdev_device:
    name: web-1
    type: NVIDIA A100-8C
  register: vgpu

- name: Show the UUID for the guest's configuration
  ansible.builtin.debug:
    msg: "{{ vgpu.device.uuid }} on {{ vgpu.device.parent }}"

- name: Create a device with a given UUID on a given virtual function
  vfio.mdev.mdev_device:
    uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
    type: nvidia-471
    parent: "0000:41:00.4"

- name: Use any virtual function of two cards, and turn off the frame rate limiter
  vfio.mdev.mdev_device:
    name: render-7
    type: nvidia-471
    parents:
      - "0000:41:00.0"
      - "0000:65:00.0"
    attributes:
      - name: nvidia/vgpu_params
        value: frame_rate_limiter=0

- name: Give a guest on an s390 host two crypto adapters with one domain, and control over that domain
  vfio.mdev.mdev_device:
    name: crypto-1
    type: vfio_ap-passthrough
    parent: matrix
    attributes:
      - {name: assign_adapter, value: "0x05"}
      - {name: assign_adapter, value: "0x06"}
      - {name: assign_domain, value: "0x0004"}
      - {name: assign_control_domain, value: "0x0004"}

- name: Create a device on the card of NUMA node 1 with the fewest devices, except on a reserved card
  vfio.mdev.mdev_device:
    name: compute-1
    type: nvidia-471
    placement: spread
    numa_node: 1
    exclude_parents:
      - "0000:c1:00.0"

- name: Replace a device with one of another type, if nobody uses it
  vfio.mdev.mdev_device:
    uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
    type: nvidia-472
    recreate: true

- name: Create the device with the same UUID on every host that a guest may migrate to
  vfio.mdev.mdev_device:
    name: web-1
    name_scope: global
    type: NVIDIA A100-8C

- name: Create a device from libvirt's XML
  vfio.mdev.mdev_device:
    xml: |
      <device>
        <parent>pci_0000_41_00_4</parent>
        <capability type='mdev'>
          <type id='nvidia-471'/>
          <uuid>5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10</uuid>
        </capability>
      </device>

- name: Remove a device, and wait up to five minutes if another run holds the lock
  vfio.mdev.mdev_device:
    uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
    state: absent
    lock_timeout: 300

- name: Create a device as soon as the driver offers its type, within two minutes
  vfio.mdev.mdev_device:
    name: web-1
    type: nvidia-471
    wait_timeout: 120

- name: Remove the device of guest web-1
  vfio.mdev.mdev_device:
    name: web-1
    state: absent

- name: Create a device that lasts until the next reboot
  vfio.mdev.mdev_device:
    name: test-1
    type: mtty-1
    parent: mtty
    persistent: false

- name: Define a device that is started by hand, and stop it if it is active
  vfio.mdev.mdev_device:
    name: spare-1
    type: nvidia-471
    parent: "0000:41:00.4"
    active: false
    autostart: false

- name: Create a device through libvirt
  vfio.mdev.mdev_device:
    name: web-1
    type: NVIDIA A100-8C
    backend: libvirt
    uri: qemu:///system

- name: Set a vGPU type on a virtual function under NVIDIA's vendor VFIO framework
  vfio.mdev.mdev_device:
    parent: "0000:41:00.4"
    type: NVIDIA L40S-8Q

- name: Clear the vGPU type of this virtual function
  vfio.mdev.mdev_device:
    parent: "0000:41:00.4"
    state: absent

- name: Create a device from a container that has the host's file systems in /host
  vfio.mdev.mdev_device:
    name: web-1
    type: NVIDIA A100-8C
    sysfs_path: /host/sys
    definitions_path: /host/etc/mdevctl.d
"""

RETURN = r"""
device:
  description:
    - The device after the run, or in check mode as it would be. Null if it does not exist.
    - The fields are those of RV(vfio.mdev.mdev_info#module:devices[]), with the following differences.
    - C(attributes) are the attributes of the definition, or the requested ones if there is no definition.
    - C(drift) lists what differed from the request before the run.
    - C(iommu_group) is null in check mode if the device would be new.
    - C(removing) is always V(false), since the module fails for such a device.
    - C(xml) is always null. M(vfio.mdev.mdev_info) returns it.
  returned: success
  type: dict
  sample:
    uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
    nodedev: mdev_5b2c8a34_11c0_4a2f_9a0e_0d4c3c1f7e10_0000_41_00_4
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
          <address uuid="5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10"/>
        </source>
      </hostdev>
actions:
  description: The changes that were made, or in check mode would be made, in order. Empty if nothing changes.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(create), V(remove), V(write_attribute), V(define) or V(undefine).
      type: str
    uuid:
      description: The UUID of the device. Null under NVIDIA's vendor VFIO framework.
      type: str
    parent:
      description: The parent of the device.
      type: str
    type:
      description: The type of the device.
      type: str
    attribute:
      description: The attribute that is written.
      type: str
    value:
      description: The value that is written to the attribute.
      type: str
  sample:
    - action: create
      uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
      parent: "0000:41:00.4"
      type: nvidia-471
      attribute: null
      value: null
rejected_parents:
  description: Why the other candidates were not used, if the module chose the parent.
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
    - parent: "0000:41:00.4"
      reason: has 0 of nvidia-471 left and nothing of any other type
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description: V(invalid_input), V(not_found), V(ambiguous), V(no_room), V(mismatch), V(in_use), V(removing),
        V(kernel_refused), V(file_error), V(backend_failed), V(no_autostart), V(lock_timeout), V(missing_library),
        V(interrupted) or V(unexpected).
      type: str
    errno:
      description: The kernel's error number, for V(kernel_refused).
      type: int
    rolled_back:
      description: Whether all changes that the run had made before the failure were rolled back. Missing if it had made
        none.
      type: bool
  sample:
    kind: in_use
    uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
    parent: "0000:41:00.4"
    type: nvidia-471
    used_by:
      - {pid: 4711, command: qemu-system-x86_64, guest: web-1}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest
from ansible_collections.vfio.mdev.plugins.module_utils._planning.matching import identify
from ansible_collections.vfio.mdev.plugins.module_utils._planning.placement import rejection_facts
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import (
    BACKEND_ARGUMENTS,
    DEVICE_ARGUMENTS,
    HOST_ARGUMENTS,
    NAMESPACE_ARGUMENTS,
    WAIT_ARGUMENTS,
    device_request,
    uuid_namespace,
)
from ansible_collections.vfio.mdev.plugins.module_utils._runner.change_results import action_results, diff_result
from ansible_collections.vfio.mdev.plugins.module_utils._runner.context import RunContext
from ansible_collections.vfio.mdev.plugins.module_utils._runner.results import device_result
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run import Outcome, run
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module


def requested_device(params: dict[str, Any]) -> DeviceRequest:
    """The device as requested, by options or by XML."""
    request = device_request(params)
    if params["xml"] is None:
        return request
    # Hosts that need no XML do not pay for the import.
    from ansible_collections.vfio.mdev.plugins.module_utils._xml.nodedev import parse_device_xml

    return parse_device_xml(params["xml"], request)


def result(outcome: Outcome) -> dict[str, Any]:
    """The module's result, the same shape in check mode."""
    [planned] = outcome.plan.devices
    after = outcome.after(planned)
    return {
        "changed": bool(outcome.steps),
        "device": device_result(after, outcome.inventory, planned.drift) if after.exists else None,
        "actions": [action for step in outcome.steps for action in action_results(step, after.device)],
        "rejected_parents": rejection_facts(outcome.rejected()),
    }


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """Request, then inventory, plan and apply, then the result."""
    host, request = Host.from_params(params), requested_device(params)
    namespace = uuid_namespace(params, host) if request.is_derived else None
    context = RunContext.from_params(
        params,
        host,
        lambda inventory: identify([request], namespace, inventory),
        autostart=request.autostart,
        wait_timeout=params["wait_timeout"],
    )
    outcome = run(context, check_mode)
    [planned] = outcome.plan.devices
    return ModuleResult(
        result(outcome), outcome.warnings(), diff_result([(planned.before, outcome.after(planned))], outcome.inventory)
    )


def main() -> None:
    """Arguments, then inventory, plan and apply, then the result."""
    module = AnsibleModule(
        argument_spec={
            "xml": {"type": "str"},
            **DEVICE_ARGUMENTS,
            **NAMESPACE_ARGUMENTS,
            **BACKEND_ARGUMENTS,
            **WAIT_ARGUMENTS,
            **HOST_ARGUMENTS,
        },
        mutually_exclusive=[
            ("uuid", "name"),
            ("parent", "parents"),
            ("xml", "uuid"),
            ("xml", "type"),
            ("xml", "parent"),
            ("xml", "parents"),
            ("xml", "attributes"),
        ],
        required_if=[
            ("state", "present", ("type", "xml"), True),
            ("state", "absent", ("uuid", "name", "type", "parent", "xml"), True),
        ],
        supports_check_mode=True,
    )
    run_module(module, act)


if __name__ == "__main__":
    main()
