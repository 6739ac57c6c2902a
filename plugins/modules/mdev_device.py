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
  name_scope:
    description:
      - V(host) derives other UUIDs on other hosts, V(global) the same on all hosts.
      - The kernel wants UUIDs to be unique on a host. Guests that migrate under the same UUID want them equal on
        source and destination.
    type: str
    choices: [host, global]
    default: host
  type:
    description:
      - The type, by the id (V(nvidia-471)) or the exact name (V(NVIDIA A100-8C)) that the driver gives it.
      - A name that stands for several ids is an error that lists them.
      - Required for O(state=present), unless O(xml) is given. With O(state=absent) a device of another type is not
        removed.
    type: str
  parent:
    description:
      - The parent on which the device is to be, and no other.
      - A PCI address (with or without domain, in any case), a node device name, a sysfs name, a CSS address, or
        V(matrix).
      - A PCI card whose virtual functions are the parents means one of these.
      - Without O(parent) and O(parents), the first parent in address order (by number) that has room is taken.
    type: str
  parents:
    description: Candidates. The first of them in address order that has room is taken. Written like O(parent).
    type: list
    elements: str
  attributes:
    description:
      - Attributes of the device in sysfs, written in this order after it is created. When one fails, the device is
        removed again.
      - On a device that is active, those that can be read and read otherwise are written. Those that can't be
        read are left alone, since they were set when the device was created.
      - Where the driver refuses the change of an active device and O(persistent=true), only the definition gets the
        new value, with a warning. It takes effect when the device is next started.
      - Leave it out to keep what a definition says. V([]) means none.
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
  xml:
    description:
      - libvirt's node device XML instead of O(uuid), O(type), O(parent), O(parents) and O(attributes).
      - C(<parent>), C(<type id>), C(<uuid>) and C(<attr>) are read. All else is ignored, as libvirt does.
      - Document types, entities and oversized or deeply nested documents are refused.
    type: str
  state:
    description: Whether there is to be such a device.
    type: str
    choices: [present, absent]
    default: present
  active:
    description:
      - Whether the device is to be in the kernel now.
      - A device that is neither active nor persistent would not be anywhere, so V(false) needs O(persistent=true).
    type: bool
    default: true
  persistent:
    description:
      - Whether the device is to be defined on disk. A definition that differs in type, attributes or autostart is
        corrected, and V(false) removes it.
      - A definition can stay for a parent that is not there at the moment.
    type: bool
    default: true
  autostart:
    description:
      - Whether the device is to be started when the host boots. It counts with O(persistent=true) only.
      - On a host where nothing would start it this is an error. Either C(vfio-mdev.service) of this collection is
        enabled there, or mdevctl's own udev rule works, which it does not as Debian and Ubuntu ship it.
    type: bool
    default: true
  recreate:
    description:
      - Whether a device that exists under this UUID with another type or on another parent is removed and made anew.
      - A device in use is never replaced. When the new one can't be made, the old one is created again, with its
        driver's default attributes.
    type: bool
    default: false
  backend:
    description:
      - How to act. Reading is always from the kernel and the definition files.
      - V(sysfs) writes to sysfs and to the definition files itself and needs nothing else on the host. It is some
        twenty times faster than a process per step.
      - V(mdevctl) runs the mdevctl command. Its callout and notification scripts are obeyed, and a script that
        refuses makes the task fail with its text.
      - V(libvirt) asks libvirt's node device API through C(python3-libvirt). Parents that libvirt does not list as
        node devices can't be used.
      - V(auto) is V(mdevctl) where a callout or notification script is installed, since these must run, else V(sysfs).
      - mdevctl and libvirt keep no fields of a definition that they do not know. V(sysfs) does.
    type: str
    choices: [auto, sysfs, mdevctl, libvirt]
    default: auto
  uri:
    description: The libvirt connection for O(backend=libvirt).
    type: str
    default: qemu:///system
  lock_timeout:
    description: How many seconds to wait for another run on the same host. When they pass, nothing was changed.
    type: float
    default: 60
seealso:
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
      description: The device's UUID.
      type: str
    nodedev:
      description: libvirt's name for it.
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
  sample:
    uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
    nodedev: mdev_5b2c8a34_11c0_4a2f_9a0e_0d4c3c1f7e10_0000_41_00_4
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
      description: Of which device.
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

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.mdev.plugins.module_utils._apply import Applied, apply_plan
from ansible_collections.vfio.mdev.plugins.module_utils._autostart import require_starter
from ansible_collections.vfio.mdev.plugins.module_utils._backends import CHOICES, chosen_backend
from ansible_collections.vfio.mdev.plugins.module_utils._definitions import DefinitionFiles
from ansible_collections.vfio.mdev.plugins.module_utils._errors import InvalidInput, MdevError
from ansible_collections.vfio.mdev.plugins.module_utils._host import HostPaths, machine_id
from ansible_collections.vfio.mdev.plugins.module_utils._inventory import read_inventory
from ansible_collections.vfio.mdev.plugins.module_utils._kernel import Kernel
from ansible_collections.vfio.mdev.plugins.module_utils._lock import host_lock
from ansible_collections.vfio.mdev.plugins.module_utils._model import Inventory, LiveAttribute
from ansible_collections.vfio.mdev.plugins.module_utils._nodedev_xml import DeviceRequest, parse_device_xml
from ansible_collections.vfio.mdev.plugins.module_utils._placement import rejected_in_the_end, rejection_facts
from ansible_collections.vfio.mdev.plugins.module_utils._plan import Plan, plan_device
from ansible_collections.vfio.mdev.plugins.module_utils._results import action_results, device_result, diff_result
from ansible_collections.vfio.mdev.plugins.module_utils._wanted import (
    Wanted,
    checked_attributes,
    checked_parents,
    wanted_uuid,
)


@dataclass(frozen=True)
class Request:
    """The module's arguments, checked as far as no device has to be read."""

    paths: HostPaths
    files: DefinitionFiles
    wanted: Wanted
    backend: str
    uri: str
    lock_seconds: float

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> Request:
        """Checks what the argument specification can't say."""
        if params["state"] == "present" and not (params["active"] or params["persistent"]):
            raise InvalidInput(
                "active: false with persistent: false asks for a device that is nowhere. "
                "Use state: absent to remove it",
                option="active",
            )
        paths = HostPaths(params["sysfs_path"])
        wanted = _wanted(params, paths)
        if wanted.autostart:
            require_starter(paths)
        return cls(
            paths=paths,
            files=DefinitionFiles(params["definitions_path"]),
            wanted=wanted,
            backend=params["backend"],
            uri=params["uri"],
            lock_seconds=params["lock_timeout"],
        )


def _wanted(params: dict[str, Any], paths: HostPaths) -> Wanted:
    asked = _from_xml(params) if params["xml"] is not None else _from_fields(params)
    parents = [asked.parent] if asked.parent is not None else params["parents"] or []
    host = machine_id(paths) if asked.uuid is None and params["name_scope"] == "host" else ""
    present = params["state"] == "present"
    persistent = present and params["persistent"]
    return Wanted(
        uuid=wanted_uuid(asked.uuid, params["name"], asked.type_id, asked.parent, host),
        active=present and params["active"],
        persistent=persistent,
        autostart=persistent and params["autostart"],
        type=asked.type_id or None,
        parents=checked_parents(parents),
        attributes=asked.attributes,
        recreate=params["recreate"],
    )


def _from_xml(params: dict[str, Any]) -> DeviceRequest:
    request = parse_device_xml(params["xml"])
    if request.uuid is not None and params["name"] is not None:
        raise InvalidInput(
            "the XML has a <uuid>, so name has nothing to derive: leave one of them out", name=params["name"]
        )
    return request


def _from_fields(params: dict[str, Any]) -> DeviceRequest:
    pairs = params["attributes"]
    return DeviceRequest(
        type_id=params["type"] or "",
        parent=params["parent"],
        uuid=params["uuid"],
        attributes=None if pairs is None else checked_attributes([(one["name"], one["value"]) for one in pairs]),
    )


@dataclass(frozen=True)
class Outcome:
    """What the run found, planned and did. applied is None in check mode."""

    inventory: Inventory
    plan: Plan
    applied: Optional[Applied]


def run(request: Request, check_mode: bool) -> Outcome:
    """Reads, plans and does, under the host's lock; in check mode only reads and plans."""
    kernel = Kernel(request.paths)
    with nullcontext() if check_mode else host_lock(request.paths, request.lock_seconds):
        inventory = read_inventory(request.paths, request.files)
        plan = plan_device(request.wanted, inventory, _live(request.wanted, inventory, kernel))
        if check_mode or not plan.steps:
            return Outcome(inventory, plan, None)
        backend = chosen_backend(request.backend, kernel, request.files, request.uri)
        return Outcome(inventory, plan, apply_plan(plan, backend, inventory))


def _live(wanted: Wanted, inventory: Inventory, kernel: Kernel) -> tuple[LiveAttribute, ...]:
    """What the wanted attributes read as now, where the device stays active."""
    device = inventory.device(wanted.uuid)
    if device is None or device.removing or not wanted.active:
        return ()
    return kernel.live_attributes(device, tuple(one.name for one in wanted.attributes or ()))


def result(outcome: Outcome) -> dict[str, Any]:
    """The module's result, the same shape in check mode."""
    plan, applied = outcome.plan, outcome.applied
    steps = plan.steps if applied is None else tuple(applied.done)
    after = plan.after if applied is None else applied.state
    full = () if applied is None else tuple(applied.rejected)
    return {
        "changed": bool(steps),
        "device": device_result(after, outcome.inventory, plan.drift) if after.exists else None,
        "actions": [action for step in steps for action in action_results(step, after.device)],
        "rejected_parents": rejection_facts(rejected_in_the_end(plan.rejected, full, after.parent)),
        "diff": diff_result(plan.before, after),
    }


def warnings(outcome: Outcome) -> list[str]:
    """What the operator should know though nothing failed."""
    waiting = outcome.applied.waiting if outcome.applied is not None else []
    return [
        f"the driver does not let attribute '{one.name}' change to '{one.value}' now; "
        "the definition has the new value, which takes effect when the device is next started"
        for one in waiting
    ]


def main() -> None:
    """Arguments, inventory, plan, apply, result."""
    module = AnsibleModule(
        argument_spec={
            "uuid": {"type": "str"},
            "name": {"type": "str"},
            "name_scope": {"type": "str", "choices": ["host", "global"], "default": "host"},
            "type": {"type": "str"},
            "parent": {"type": "str"},
            "parents": {"type": "list", "elements": "str"},
            "attributes": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "value": {"type": "str", "required": True},
                },
            },
            "xml": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "active": {"type": "bool", "default": True},
            "persistent": {"type": "bool", "default": True},
            "autostart": {"type": "bool", "default": True},
            "recreate": {"type": "bool", "default": False},
            "backend": {"type": "str", "choices": list(CHOICES), "default": "auto"},
            "uri": {"type": "str", "default": "qemu:///system"},
            "lock_timeout": {"type": "float", "default": 60},
            "sysfs_path": {"type": "path", "default": "/sys"},
            "definitions_path": {"type": "path", "default": "/etc/mdevctl.d"},
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
            ("state", "absent", ("uuid", "name", "type", "xml"), True),
        ],
        supports_check_mode=True,
    )
    try:
        outcome = run(Request.from_params(module.params), module.check_mode)
    except MdevError as error:
        module.fail_json(msg=error.message, error=error.as_result())
    for text in warnings(outcome):
        module.warn(text)
    module.exit_json(**result(outcome))


if __name__ == "__main__":
    main()
