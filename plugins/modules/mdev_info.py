#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_info
short_description: Shows mediated devices, their parents and types, and who uses them
version_added: 0.1.0
description:
  - Shows what a host has of mediated devices (mdevs), the slices of a GPU or other device that are given to guests
    through VFIO. These are the parents, the types that each offers and how many more it can make, the devices, and
    the processes and guests that use them.
  - It never changes anything. Users of devices are found in C(/proc); no VFIO group is opened, since that
    would make a guest fail that starts at the same moment.
  - It does not fail because a host has no mediated devices, or because a file is missing, empty, unreadable, or
    gone while it is read. What could not be read is listed in RV(unread), what explains an empty or surprising
    answer in RV(hints).
extends_documentation_fragment:
  - vfio.mdev.host
attributes:
  diff_mode:
    description: Nothing changes, so there is no difference to show.
    support: none
options:
  parent:
    description:
      - Shows only these parents and what is on them.
      - A PCI address (with or without domain, in any case), a node device name, a sysfs name, a CSS address, or
        V(matrix). A PCI card whose virtual functions are the parents stands for all of these.
    type: list
    elements: str
    default: []
  type:
    description: Shows only these types, their parents and their devices. An id or an exact name.
    type: list
    elements: str
    default: []
  uuid:
    description: Shows only these devices, and the parents that they are on.
    type: list
    elements: str
    default: []
  gather:
    description:
      - What to read and return. A part that is left out is returned as V(null).
      - V(users) fills RV(devices[].in_use) and RV(devices[].used_by). On a host with many processes it is the
        longest part.
    type: list
    elements: str
    choices: [parents, types, devices, users]
    default: [parents, types, devices, users]
  xml:
    description:
      - Adds libvirt's node device XML to each parent and device.
      - Each device also gets the element of a guest's XML that gives it to the guest.
      - The node device XML of a mediated device can be given to O(vfio.mdev.mdev_device#module:xml) or to
        C(virsh nodedev-create).
    type: bool
    default: false
  want:
    description:
      - Asks whether these devices would fit beside those that the host has. The answer is in RV(want). Nothing is
        created.
      - They are placed all together, by the same rules as those of M(vfio.mdev.mdev_set).
      - On an SR-IOV card, and where types share what a parent has, no sum over RV(types) can tell this.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description: The type, an id or an exact name.
        type: str
        required: true
      count:
        description: How many devices.
        type: int
        default: 1
      parent:
        description: See O(vfio.mdev.mdev_set#module:parent).
        type: str
      parents:
        description: See O(vfio.mdev.mdev_set#module:parents).
        type: list
        elements: str
      exclude_parents:
        description: See O(vfio.mdev.mdev_set#module:exclude_parents).
        type: list
        elements: str
        default: []
      placement:
        description: See O(vfio.mdev.mdev_set#module:placement).
        type: str
        choices: [first, pack, spread]
        default: first
      numa_node:
        description: See O(vfio.mdev.mdev_set#module:numa_node).
        type: int
seealso:
  - module: vfio.mdev.mdev_set
  - module: vfio.mdev.mdev_device
  - name: Mediated devices in the kernel
    description: How the kernel shows parents, types and devices.
    link: https://docs.kernel.org/driver-api/vfio-mediated-device.html
  - name: libvirt's node device XML
    description: The format of the XML in the result.
    link: https://libvirt.org/formatnode.html
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: See all there is on a host
  vfio.mdev.mdev_info:
  register: mdev

- name: Ask whether a tenant's devices would fit
  vfio.mdev.mdev_info:
    gather: []
    want:
      - type: NVIDIA A100-8C
        count: 8
        placement: spread
      - type: NVIDIA A100-40C
        exclude_parents:
          - "0000:c1:00.0"
  register: answer

- name: Stop where they would not, and say why
  ansible.builtin.assert:
    that: answer.want | rejectattr('fits') | length == 0
    fail_msg: "{{ answer.want | rejectattr('fits') | map(attribute='reasons') | flatten }}"

- name: See what one card has left, wherever its virtual functions are
  vfio.mdev.mdev_info:
    parent: "0000:41:00.0"
    gather: [parents, types]

- name: Find the guests that use devices of a type
  vfio.mdev.mdev_info:
    type: NVIDIA A100-8C
    gather: [devices, users]
  register: a100

- name: Name these guests
  ansible.builtin.debug:
    msg: "{{ a100.devices | map(attribute='used_by') | flatten | map(attribute='guest') | unique }}"

- name: Get the libvirt XML of one device
  vfio.mdev.mdev_info:
    uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
    xml: true

- name: Read the host's sysfs from a container
  vfio.mdev.mdev_info:
    sysfs_path: /host/sys
"""

RETURN = r"""
want:
  description: Whether the devices of each entry of O(want) would fit, in the same order.
  returned: success
  type: list
  elements: dict
  contains:
    type:
      description: The type as asked for.
      type: str
    count:
      description: How many were asked for.
      type: int
    fits:
      description: Whether all of them fit.
      type: bool
    fitting:
      description: How many of them fit.
      type: int
    placement:
      description: Which parents would get how many, each with C(parent) and C(count).
      type: list
      elements: dict
    reasons:
      description:
        - Why the others do not fit, each with C(parent) and C(reason).
        - C(parent) is null where the reason is not about one parent, for example where none offers the type.
      type: list
      elements: dict
  sample:
    - type: NVIDIA A100-8C
      count: 8
      fits: false
      fitting: 6
      placement:
        - {parent: "0000:41:00.4", count: 6}
      reasons:
        - parent: "0000:41:00.4"
          reason: has 6 of nvidia-471 left, and this run puts 6 of nvidia-471 there
framework:
  description:
    - How this host slices its devices.
    - V(mdev) where there are parents of mediated devices, V(vendor_vfio) where NVIDIA's driver uses its own VFIO
      framework and no mediated devices exist, V(none) where there is neither.
  returned: success
  type: str
  sample: mdev
hints:
  description: In plain words what explains an empty or surprising answer, and what to do about it.
  returned: success
  type: list
  elements: str
  sample: ["No parent has room for another device of any type."]
broken_definitions:
  description: Files among the definitions that are none. mdevctl lists no definitions at all while one is there.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    problem:
      description: What is wrong with it.
      type: str
  sample: []
unread:
  description: What should have been readable and was not.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file, folder or link.
      type: str
    error:
      description: What the kernel answered, or what was wrong with the content.
      type: str
  sample: []
parents:
  description: The devices that offer mediated devices, by address. Null where left out of O(gather).
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The name in sysfs, a PCI or CSS address as a rule.
      type: str
    nodedev:
      description: libvirt's name for it.
      type: str
    driver:
      description: The driver that it is bound to. Null for virtual parents.
      type: str
    numa_node:
      description: The NUMA node that it is near to. Null where the host has none or does not say.
      type: int
    physical_function:
      description: The PCI address of the card, where this is a virtual function of it.
      type: str
    vfs:
      description: How many virtual functions it has enabled, of how many in total. Null where it has no SR-IOV.
      type: dict
    framework:
      description: V(mdev), or V(vendor_vfio) for a virtual function that takes one vGPU of NVIDIA's own framework.
      type: str
    current_type:
      description: The id of the type that is set on a function of V(vendor_vfio). Null where none is, and for V(mdev).
      type: str
    types:
      description: What it offers, with id, name, description, device_api, available_instances (how many more it
        could make now; types share what is left), active (devices now), defined (devices on disk).
      type: list
      elements: dict
    devices:
      description: The UUIDs of the devices on it.
      type: list
      elements: str
    xml:
      description: libvirt's node device XML, where O(xml) asks for it.
      type: str
  sample:
    - address: "0000:41:00.4"
      nodedev: pci_0000_41_00_4
      driver: nvidia
      numa_node: 1
      physical_function: "0000:41:00.0"
      vfs: null
      framework: mdev
      current_type: null
      types:
        - id: nvidia-471
          name: NVIDIA A100-8C
          description: "num_heads=1, frl_config=60, framebuffer=8192M, max_resolution=4096x2160, max_instance=5"
          device_api: vfio-pci
          available_instances: 1
          active: 0
          defined: 0
      devices: []
      xml: null
types:
  description:
    - The types over all parents shown. Null where left out of O(gather).
    - RV(types[].available_instances) is the sum over parents and an upper bound, since parents and types may share
      what is left.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The driver's id.
      type: str
    name:
      description: The driver's name. Null where the driver gives none.
      type: str
    device_api:
      description: How a guest sees it, V(vfio-pci), V(vfio-ccw) or V(vfio-ap).
      type: str
    parents:
      description: The addresses of the parents that offer it.
      type: list
      elements: str
    available_instances:
      description: How many more could be made at most.
      type: int
    active:
      description: How many there are now.
      type: int
    defined:
      description: How many are defined on disk.
      type: int
  sample:
    - id: nvidia-471
      name: NVIDIA A100-8C
      device_api: vfio-pci
      parents: ["0000:41:00.4", "0000:41:00.5"]
      available_instances: 2
      active: 0
      defined: 0
devices:
  description: The mediated devices, active or defined, by parent and UUID. Null where left out of O(gather).
  returned: success
  type: list
  elements: dict
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
      description: The type's id. Null for a half removed device.
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
      description: Whether somebody removed it while it was in use. The kernel keeps half of it until its user ends.
      type: bool
    attributes:
      description:
        - The attributes of its definition in order, each with name and value.
        - Of a device that is not defined, what the kernel tells. It does so of s390 AP devices only.
      type: list
      elements: dict
    iommu_group:
      description: The VFIO group. Null where no driver is bound.
      type: int
    numa_node:
      description: The parent's NUMA node.
      type: int
    in_use:
      description: Whether a process holds it. Null where nobody looked or not all processes could be looked at.
      type: bool
    used_by:
      description: The processes that hold it, each with pid, command and guest (null where it is not QEMU).
      type: list
      elements: dict
    drift:
      description: Where the kernel is not as the definition says, each with field, wanted and actual. Attributes are
        compared of s390 AP devices only.
      type: list
      elements: dict
    xml:
      description: libvirt's node device XML, where it was asked for.
      type: str
    hostdev_xml:
      description:
        - The element of a guest's XML that gives it the device, where XML was asked for.
        - V(<hostdev type='mdev'>), or V(<hostdev type='pci' managed='no'>) for a vGPU on a virtual function.
      type: str
  sample:
    - uuid: 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10
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
      in_use: true
      used_by:
        - {pid: 4711, command: qemu-system-x86_64, guest: web-1}
      drift: []
      xml: null
      hostdev_xml: null
"""

from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.registry import host_framework, read_inventory
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._host.pci import read_hardware
from ansible_collections.vfio.mdev.plugins.module_utils._info.hints import hints
from ansible_collections.vfio.mdev.plugins.module_utils._info.selection import Selection, select
from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import canonical_parent, parse_uuid
from ansible_collections.vfio.mdev.plugins.module_utils._model.device_state import State
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Hardware, Inventory, Parent
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import CapacityQuery
from ansible_collections.vfio.mdev.plugins.module_utils._planning.drift import find_drift
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import (
    HOST_ARGUMENTS,
    PLACEMENT_ARGUMENTS,
    placement_options,
)
from ansible_collections.vfio.mdev.plugins.module_utils._runner.results import (
    device_result,
    parent_result,
    type_results,
)
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module

PARTS = ["parents", "types", "devices", "users"]


@dataclass(frozen=True)
class Query:
    """What the user asks, checked."""

    host: Host
    parents: tuple[str, ...]
    types: tuple[str, ...]
    uuids: tuple[str, ...]
    gather: frozenset[str]
    xml: bool
    capacity: tuple[CapacityQuery, ...]

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> Query:
        """The module's arguments as a query."""
        if params["xml"]:
            _require_lxml()
        return cls(
            host=Host.from_params(params),
            parents=tuple(canonical_parent(parent) for parent in params["parents"]),
            types=tuple(params["types"]),
            uuids=tuple(parse_uuid(uuid) for uuid in params["uuids"]),
            gather=frozenset(params["gather"]),
            xml=params["xml"],
            capacity=tuple(_capacity_query(entry) for entry in params["capacity"]),
        )


def _capacity_query(entry: dict[str, Any]) -> CapacityQuery:
    if entry["count"] < 0:
        raise InvalidInput(f"capacity: count is {entry['count']}, and must not be negative", count=entry["count"])
    return CapacityQuery(entry["type"], entry["count"], **placement_options(entry))


def build_result(query: Query) -> dict[str, Any]:
    """The result of the module."""
    inventory = read_inventory(query.host, users="users" in query.gather)
    selection = select(inventory, query.parents, query.types, query.uuids)
    hardware = read_hardware(query.host) if not inventory.parents else Hardware()
    missing = [f"Nothing on this host matches {filter_text}." for filter_text in selection.unmatched]
    return {
        "framework": host_framework(inventory),
        "hints": missing + hints(inventory, hardware),
        "broken_definitions": [{"path": broken.path, "problem": broken.problem} for broken in inventory.broken],
        "unread": [{"path": unread.path, "error": unread.error} for unread in inventory.unread],
        "parents": _parents(selection, query) if "parents" in query.gather else None,
        "types": _types(selection) if "types" in query.gather else None,
        "devices": _devices(selection, query, inventory) if "devices" in query.gather else None,
        "capacity": _capacity_answers(query, inventory) if query.capacity else [],
    }


def _parents(selection: Selection, query: Query) -> list[dict[str, Any]]:
    return [
        parent_result(parent, selection.counted, _parent_xml(parent) if query.xml else None)
        for parent in selection.parents
    ]


def _types(selection: Selection) -> list[dict[str, Any]]:
    shown = {mdev_type.id for parent in selection.parents for mdev_type in parent.types}
    return [row for row in type_results(selection.counted) if row["id"] in shown]


def _devices(selection: Selection, query: Query, inventory: Inventory) -> list[dict[str, Any]]:
    return [_device(state, query, inventory) for state in selection.states]


def _device(state: State, query: Query, inventory: Inventory) -> dict[str, Any]:
    xml = _device_xml(state, inventory) if query.xml else {}
    return device_result(state, inventory, find_drift(state, inventory), **xml)


# What most queries do not need is imported if it is requested: a host pays for each import.


def _capacity_answers(query: Query, inventory: Inventory) -> list[dict[str, Any]]:
    from ansible_collections.vfio.mdev.plugins.module_utils._info.capacity_answers import answer_queries

    return [answer.as_result() for answer in answer_queries(query.capacity, inventory)]


def _require_lxml() -> None:
    from ansible_collections.vfio.mdev.plugins.module_utils._xml.nodedev import require_lxml

    require_lxml()


def _parent_xml(parent: Parent) -> str:
    from ansible_collections.vfio.mdev.plugins.module_utils._xml.nodedev import parent_xml

    return parent_xml(parent)


def _device_xml(state: State, inventory: Inventory) -> dict[str, str]:
    """The device's XML, as far as there is any."""
    from ansible_collections.vfio.mdev.plugins.module_utils._xml.nodedev import device_xml, hostdev_xml

    parent = inventory.parent(state.parent)
    if parent is None or not state.type_id:
        return {}
    mdev_type = parent.type(state.type_id)
    device_api = mdev_type.device_api if mdev_type else None
    return {"xml": device_xml(state, parent), "hostdev_xml": hostdev_xml(state, device_api)}


def act(params: dict[str, Any], _check_mode: bool) -> ModuleResult:
    """Query, then inventory, then the result."""
    return ModuleResult({"changed": False, **build_result(Query.from_params(params))})


def main() -> None:
    """Arguments, then inventory, then the result."""
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "parents": names,
            "types": names,
            "uuids": names,
            "gather": {"type": "list", "elements": "str", "choices": PARTS, "default": PARTS},
            "xml": {"type": "bool", "default": False},
            "capacity": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "type": {"type": "str", "required": True},
                    "count": {"type": "int", "default": 1},
                    **PLACEMENT_ARGUMENTS,
                },
                "mutually_exclusive": [("parent", "parents")],
            },
            **HOST_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run_module(module, act)


if __name__ == "__main__":
    main()
