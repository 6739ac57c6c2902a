#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_device
short_description: Creates, defines or removes one mediated device
version_added: 0.1.0
description:
  - Creates, defines, replaces or removes one mediated device (mdev) of a host, a slice of a GPU or other device
    that is given to a guest through VFIO.
  - A device can be in the kernel (active), on disk (defined), or both. A defined device with autostart comes back
    when the host boots. Definitions are mdevctl's, in its place and format, so that mdevctl and libvirt see the same.
  - A device is found again by its UUID. Where none is given, it is derived, and is always the same for the same
    request on the same host, so that a second run finds the device and changes nothing.
  - A device that a process holds is never removed. The error names the process and, where it is QEMU, the guest.
  - When a step fails, what the run did before is taken back.
  - One run at a time works on a host. It reads, decides and writes under one lock.
extends_documentation_fragment:
  - vfio.mdev.host
  - vfio.mdev.device
  - vfio.mdev.backend
attributes:
  diff_mode:
    description: Shows the device before and after.
    support: full
options:
  uuid:
    description:
      - The device's UUID.
      - Where it is left out, a UUID (version 8) is derived from the host's identity (C(/etc/machine-id)) and
        O(name), or, without a name, O(type) and O(parent) as they are written. Two devices that are alike need
        names.
      - A device that exists under this UUID with another type or on another parent is an error, unless
        O(recreate=true).
    type: str
  name:
    description:
      - A name to derive the UUID from, for example that of the guest. It is not stored anywhere.
      - Give it with O(xml) where the document has no C(<uuid>).
    type: str
  type:
    description:
      - The type, by the id (V(nvidia-471)) or the exact name (V(NVIDIA A100-8C)) that the driver gives it.
      - A name that stands for several ids is an error that lists them.
      - Required for O(state=present), unless O(xml) is given. With O(state=absent) a device of another type is not
        removed.
    type: str
  xml:
    description:
      - libvirt's node device XML instead of O(uuid), O(type), O(parent), O(parents) and O(attributes).
      - C(<parent>), C(<type id>), C(<uuid>) and C(<attr>) are read. All else is ignored, as libvirt does.
      - Document types, entities and oversized or deeply nested documents are refused.
    type: str
seealso:
  - module: vfio.mdev.mdev_set
  - module: vfio.mdev.mdev_info
  - name: Mediated devices in the kernel
    description: How the kernel shows parents, types and devices.
    link: https://docs.kernel.org/driver-api/vfio-mediated-device.html
  - name: libvirt's node device XML
    description: The format of O(xml).
    link: https://libvirt.org/formatnode.html
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Have a vGPU for guest web-1, on the first card that has room
  vfio.mdev.mdev_device:
    name: web-1
    type: NVIDIA A100-8C
  register: vgpu

- name: Show the UUID that goes into the guest's configuration
  ansible.builtin.debug:
    msg: "{{ vgpu.device.uuid }} on {{ vgpu.device.parent }}"

- name: Have a certain device on a certain virtual function
  vfio.mdev.mdev_device:
    uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
    type: nvidia-471
    parent: "0000:41:00.4"

- name: Take any virtual function of two cards, and turn the frame rate limiter off
  vfio.mdev.mdev_device:
    name: render-7
    type: nvidia-471
    parents:
      - "0000:41:00.0"
      - "0000:65:00.0"
    attributes:
      - name: nvidia/vgpu_params
        value: frame_rate_limiter=0

- name: Give a guest of an s390 host two crypto adapters, one domain of theirs, and control over that domain
  vfio.mdev.mdev_device:
    name: crypto-1
    type: vfio_ap-passthrough
    parent: matrix
    attributes:
      - {name: assign_adapter, value: "0x05"}
      - {name: assign_adapter, value: "0x06"}
      - {name: assign_domain, value: "0x0004"}
      - {name: assign_control_domain, value: "0x0004"}

- name: Have a device on whichever card of NUMA node 1 holds the fewest, but not on the card that is reserved
  vfio.mdev.mdev_device:
    name: compute-1
    type: nvidia-471
    placement: spread
    numa_node: 1
    exclude_parents:
      - "0000:c1:00.0"

- name: Replace a device by one of another type, if nobody uses it
  vfio.mdev.mdev_device:
    uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
    type: nvidia-472
    recreate: true

- name: Have the device under the same UUID on every host that a guest may migrate to
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

- name: Remove a device, and wait up to five minutes for another run
  vfio.mdev.mdev_device:
    uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
    state: absent
    lock_timeout: 300

- name: Have a device as soon as the driver offers its type, at most two minutes from now
  vfio.mdev.mdev_device:
    name: web-1
    type: nvidia-471
    wait_seconds: 120

- name: Remove the device of guest web-1
  vfio.mdev.mdev_device:
    name: web-1
    state: absent

- name: Have a device until the next reboot only
  vfio.mdev.mdev_device:
    name: test-1
    type: mtty-1
    parent: mtty
    persistent: false

- name: Define a device that is started by hand, and stop it if it runs
  vfio.mdev.mdev_device:
    name: spare-1
    type: nvidia-471
    parent: "0000:41:00.4"
    active: false
    autostart: false

- name: Act through libvirt
  vfio.mdev.mdev_device:
    name: web-1
    type: NVIDIA A100-8C
    backend: libvirt
    uri: qemu:///system

- name: Set a vGPU type on a virtual function, where NVIDIA's driver has no mediated devices
  vfio.mdev.mdev_device:
    parent: "0000:41:00.4"
    type: NVIDIA L40S-8Q

- name: Clear what is set there
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
    - The device as it is after the run, or in check mode as it would be. Null where there is none.
    - The same shape as in RV(vfio.mdev.mdev_info#module:devices).
  returned: success
  type: dict
  contains:
    uuid:
      description: The device's UUID. Null under NVIDIA's own VFIO framework.
      type: str
    nodedev:
      description: libvirt's name for it.
      type: str
    framework:
      description: How it is made, V(mdev), or V(vendor_vfio) for a vGPU that is set on a virtual function.
      type: str
    parent:
      description: The parent's name in sysfs.
      type: str
    parent_nodedev:
      description: libvirt's name for the parent.
      type: str
    type:
      description: The type's id.
      type: str
    type_name:
      description: The type's name.
      type: str
    device_api:
      description: How a guest sees it.
      type: str
    active:
      description: Whether it is in the kernel, whole.
      type: bool
    defined:
      description: Whether it is defined on disk.
      type: bool
    autostart:
      description: Whether its definition says that it is to be started at boot.
      type: bool
    removing:
      description: Whether it is half removed. Always V(false) here, since the module fails for such a device.
      type: bool
    attributes:
      description: The attributes of the definition, else those that were asked for, in order, each with name and value.
      type: list
      elements: dict
    iommu_group:
      description: The VFIO group. Null in check mode where the device would be new.
      type: int
    numa_node:
      description: The parent's NUMA node.
      type: int
    in_use:
      description: Whether a process holds it. Null where not all processes could be looked at.
      type: bool
    used_by:
      description: The processes that hold it, each with pid, command and guest.
      type: list
      elements: dict
    drift:
      description: What was not as wanted before the run, each with field, wanted and actual.
      type: list
      elements: dict
    xml:
      description: Always null here. See RV(vfio.mdev.mdev_info#module:devices).
      type: str
    hostdev_xml:
      description: Always null here. See RV(vfio.mdev.mdev_info#module:devices).
      type: str
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
    in_use: false
    used_by: []
    drift: []
    xml: null
    hostdev_xml: null
actions:
  description: What was done, or in check mode would be done, in order. Empty where nothing changes.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(create), V(remove), V(write_attribute), V(define) or V(undefine).
      type: str
    uuid:
      description: Of which device. Null under NVIDIA's own VFIO framework.
      type: str
    parent:
      description: On which parent.
      type: str
    type:
      description: Of which type.
      type: str
    attribute:
      description: Which attribute is written.
      type: str
    value:
      description: What is written to it.
      type: str
  sample:
    - action: create
      uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
      parent: "0000:41:00.4"
      type: nvidia-471
      attribute: null
      value: null
rejected_parents:
  description: Why the other candidates were passed over, where the module chose the parent.
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
    - parent: "0000:41:00.4"
      reason: has 0 of nvidia-471 left and nothing of any other type
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description: V(invalid_input), V(not_found), V(ambiguous), V(no_room), V(mismatch), V(in_use), V(removing),
        V(kernel_refused), V(files_refused), V(backend_failed), V(no_autostart), V(lock_timeout) or V(missing_library).
      type: str
    errno:
      description: The kernel's error number, for V(kernel_refused).
      type: int
    taken_back:
      description: Whether all that this run did before the failure could be taken back, where it had done something.
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
    return ModuleResult(result(outcome), outcome.warnings(), diff_result(planned.before, outcome.after(planned)))


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
