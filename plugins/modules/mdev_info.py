#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_info: retrieves mediated devices, their parents, types and users."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_info
short_description: Retrieve mediated devices, their parents, types and users
version_added: 1.0.0
description:
  - Retrieves the mediated devices (mdevs) of a host, which are slices of a GPU or another device that guests use
    through VFIO. The result starts with a summary for people. It has the cards with what is on them and what still
    fits, the parents, the types, the devices, and the processes and guests that use them.
  - The module never changes anything. It finds the users of devices in C(/proc) and does not open VFIO groups, because
    opening one would make a guest that starts at the same moment fail.
  - The module does not fail if a host has no mediated devices, or if a file is missing, empty, unreadable, or removed
    while it is read. RV(unread) lists what could not be read, and RV(hints) explains an empty or surprising result.
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
  parents:
    description:
      - Return only these parents, their types and their devices.
      - A PCI address (with or without domain, in upper or lower case), a node device name, a sysfs name, a CSS address,
        or V(matrix). If the virtual functions of a PCI card are the parents, the address of the card means all of them.
    type: list
    elements: str
    default: []
  types:
    description: Return only these types, their parents and their devices. Each is an id or an exact name.
    type: list
    elements: str
    default: []
  uuids:
    description: Return only these devices and their parents.
    type: list
    elements: str
    default: []
  gather:
    description:
      - The parts to read and return. A part that is left out is returned as V(null).
      - V(users) sets RV(devices[].in_use) and RV(devices[].used_by). On a host with many processes, this part takes the
        longest.
    type: list
    elements: str
    choices: [cards, parents, types, devices, users]
    default: [cards, parents, types, devices, users]
  xml:
    description:
      - Whether to add libvirt's node device XML to each parent and device.
      - The node device XML of a mediated device can be used for O(vfio.mdev.mdev_device#module:xml) and for
        C(virsh nodedev-create).
    type: bool
    default: false
  capacity:
    description:
      - Devices to check capacity for. RV(capacity) shows whether they would fit in addition to the existing devices.
        Nothing is created.
      - All entries are placed together, by the same rules as in M(vfio.mdev.mdev_set).
      - RV(types[].room) answers this for one type alone. If types share a card or parent, no sum over it can.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description: The type, an id or an exact name.
        type: str
        required: true
      count:
        description: The number of devices.
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
    description: How the kernel presents parents, types and devices.
    link: https://docs.kernel.org/driver-api/vfio-mediated-device.html
  - name: libvirt's node device XML
    description: The format of the XML in the result.
    link: https://libvirt.org/formatnode.html
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Retrieve all information about a host's mediated devices
  vfio.mdev.mdev_info:
  register: mdev

- name: Check whether a tenant's devices would fit
  vfio.mdev.mdev_info:
    gather: []
    capacity:
      - type: NVIDIA A100-8C
        count: 4
        placement: spread
        numa_node: 0
      - type: NVIDIA A100-40C
        exclude_parents:
          - "0000:65:00.0"
      - type: nvidia-471
        parent: "0000:41:00.0"
      - type: nvidia-472
        parents:
          - "0000:65:00.4"
          - "0000:65:00.5"
  register: answer

- name: Fail with the reasons if they would not fit
  ansible.builtin.assert:
    that: answer.capacity | rejectattr('fits') | length == 0
    fail_msg: "{{ answer.capacity | rejectattr('fits') | map(attribute='reasons') | flatten | join('; ') }}"

- name: Retrieve what is on one card with all its virtual functions, and what still fits
  vfio.mdev.mdev_info:
    parents: ["0000:41:00.0"]
    gather: [cards, types, users]
  register: card

- name: Show it in a few lines
  ansible.builtin.debug:
    var: card.summary

- name: Show how many more devices of each type really fit on the card
  ansible.builtin.debug:
    var: card.cards[0].room

- name: Find the guests that use devices of a type
  vfio.mdev.mdev_info:
    types: [NVIDIA A100-8C]
    gather: [devices, users]
  register: a100

- name: Show the names of these guests
  ansible.builtin.debug:
    msg: "{{ a100.devices | map(attribute='used_by') | flatten | map(attribute='guest') | unique }}"

- name: Retrieve the libvirt XML of one device
  vfio.mdev.mdev_info:
    uuids: [5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10]
    xml: true

- name: Read the host's sysfs and definitions from a container
  vfio.mdev.mdev_info:
    sysfs_path: /host/sys
    definitions_path: /host/etc/mdevctl.d

- name: Set the folder of definitions once for all modules of the action group
  module_defaults:
    group/vfio.mdev.mdev:
      definitions_path: /srv/mdevctl.d
  block:
    - name: Create a device
      vfio.mdev.mdev_device:
        name: web-1
        type: NVIDIA A100-8C

    - name: Retrieve the devices and definitions
      vfio.mdev.mdev_info:
        gather: [devices]
"""

RETURN = r"""
summary:
  description:
    - The host in a few lines for people. One line for each card (address, driver, NUMA node, virtual functions, devices
      by type and their use, what still fits), one line with totals, and one line for each thing that is wrong.
    - Do not parse the lines. All their facts are in the other return values.
  returned: success
  type: list
  elements: str
  sample:
    - "0000:41:00.0: nvidia (mdev), NUMA node 1, 16 of 16 functions, 3 x NVIDIA A100-8C (2 in use, 1 idle), room for 2 x
      NVIDIA A100-8C"
    - "Total: 1 card, 3 devices active (2 in use, 1 idle), 3 defined, room for 2 x NVIDIA A100-8C"
capacity:
  description: Whether the devices of each entry of O(capacity) would fit, in the same order.
  returned: success
  type: list
  elements: dict
  contains:
    type:
      description: The requested type.
      type: str
    count:
      description: The requested number of devices.
      type: int
    fits:
      description: Whether all of them fit.
      type: bool
    fitting:
      description: How many of them fit.
      type: int
    placements:
      description: The parents that would get devices, each with C(parent) and C(count).
      type: list
      elements: dict
    reasons:
      description:
        - Why the other devices do not fit, each with C(parent) and C(reason).
        - C(parent) is null if the reason is not about a single parent, for example if no parent offers the type.
      type: list
      elements: dict
  sample:
    - type: NVIDIA A100-8C
      count: 8
      fits: false
      fitting: 6
      placements:
        - {parent: "0000:41:00.4", count: 6}
      reasons:
        - parent: "0000:41:00.4"
          reason: has 6 of nvidia-471 left, and this run puts 6 of nvidia-471 there
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
framework:
  description:
    - How this host slices its devices.
    - V(mdev) if the host has parents of mediated devices, V(vendor_vfio) if it has no mediated devices because NVIDIA's
      driver uses its vendor VFIO framework, V(none) if it has neither.
  returned: success
  type: str
  sample: mdev
hints:
  description: Explanations of an empty or surprising result, and what to do about it.
  returned: success
  type: list
  elements: str
  sample: ["No parent has room for another device of any type."]
broken_definitions:
  description: Files in the definitions folders that are named by a UUID and are not valid definitions, or that users
    other than root can change. RV(hints) reports those because of which mdevctl lists no definitions at all. Other
    files are ignored, as mdevctl ignores them.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path of the file.
      type: str
    problem:
      description: Why the file is not a valid definition.
      type: str
  sample: []
unread:
  description: Files, folders and links that should have been readable but could not be read.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path of the file, folder or link.
      type: str
    error:
      description: The kernel's error, or what was wrong with the content.
      type: str
  sample: []
cards:
  description:
    - The cards whose parents are in the result, by address. A card is a PCI device with all its virtual functions, or a
      parent that stands alone.
    - Without O(parents), O(types) and O(uuids), also the graphics cards with SR-IOV that offer nothing now.
    - Null if O(gather) does not include them.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The PCI address of the card, or the name of the parent.
      type: str
    driver:
      description: The driver that the card is bound to. Null for virtual parents.
      type: str
    numa_node:
      description: The NUMA node of the card. Null if the host has none or does not report it.
      type: int
    pci_ids:
      description: What the card is, as C(vendor:device:subsystem vendor:subsystem device). Null for virtual parents.
      type: str
    function_pci_ids:
      description: The same for the virtual functions of the card. Null if none of them is a parent.
      type: str
    framework:
      description: See RV(parents[].framework). Null if the card offers nothing.
      type: str
    functions:
      description: The number of virtual functions of the card, C(enabled) and C(total). Null if it has no SR-IOV.
      type: dict
    serial:
      description: The serial number of an NVIDIA card. Null without C(nvidia-smi), or if the card does not report it.
      type: str
    mig:
      description: Whether an NVIDIA card is in MIG mode. Null without C(nvidia-smi), or if the card does not have it.
      type: bool
    gpu_instances:
      description: The profiles of the GPU instances of a card in MIG mode, by name.
      type: list
      elements: str
    mixed_sizes:
      description: Whether vGPUs of an NVIDIA card can have different framebuffer sizes. Null without C(nvidia-smi), or
        if the card does not report it, as in MIG mode.
      type: bool
    parents:
      description: The number of parents on the card, which are its virtual functions, or the card itself.
      type: int
    types:
      description:
        - What each virtual function of the card offers, unless RV(parents[].types) has other numbers. A mapping of the
          same form.
        - Null if the parent is no virtual function.
      type: dict
    room:
      description:
        - How many more devices really fit on the card, by the id of the type, if only devices of this type are created.
          Types without room are left out. Null if the number can't be read.
        - The same rules decide in M(vfio.mdev.mdev_set).
      type: dict
    devices:
      description: The number of devices by type, each with C(type) (null for half removed devices), C(active) (in the
        kernel now) and C(defined) (on disk).
      type: list
      elements: dict
    in_use:
      description: The number of devices that a process holds. Null if O(gather) does not include V(users).
      type: int
    idle:
      description: The number of devices in the kernel that no process holds. Null if O(gather) does not include
        V(users).
      type: int
    use_unknown:
      description: The number of devices for which it is unknown whether a process holds them, because not all processes
        could be examined. Run the module as root. Null if O(gather) does not include V(users).
      type: int
  sample:
    - address: "0000:41:00.0"
      driver: nvidia
      numa_node: 1
      pci_ids: 10de:20f1:10de:145f
      function_pci_ids: 10de:20f1:10de:145f
      framework: mdev
      functions: {enabled: 16, total: 16}
      serial: null
      mig: false
      gpu_instances: []
      mixed_sizes: false
      parents: 16
      types: {nvidia-471: 1}
      room: {nvidia-471: 2}
      devices:
        - {type: nvidia-471, active: 3, defined: 3}
      in_use: 2
      idle: 1
      use_unknown: 0
parents:
  description: The devices that offer mediated devices, by address. Null if O(gather) does not include them.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The name in sysfs, usually a PCI or CSS address.
      type: str
    nodedev:
      description: libvirt's name for the parent.
      type: str
    driver:
      description: The driver that the parent is bound to. Null for virtual parents.
      type: str
    numa_node:
      description: The NUMA node of the parent. Null if the host has none or does not report it.
      type: int
    physical_function:
      description: The PCI address of the card, if the parent is a virtual function.
      type: str
    iommu_group:
      description: The IOMMU group of the parent. Null if it has none.
      type: int
    vfs:
      description: The number of virtual functions of the parent, C(enabled) and C(total). Null if it has no SR-IOV.
      type: dict
    framework:
      description: V(mdev), or V(vendor_vfio) for a virtual function that takes one vGPU under NVIDIA's vendor VFIO
        framework.
      type: str
    current_type:
      description: The id of the type that is set on a V(vendor_vfio) function. Null if none is set, and for V(mdev).
      type: str
    types:
      description:
        - How many more devices the driver reports that the parent can create now (C(available_instances)), by the id of
          the type. Types without instances are left out. The number is null if it can't be read.
        - Null for a virtual function that offers the same as most functions of its card, see RV(cards[].types).
      type: dict
    devices:
      description: The UUIDs of the devices on the parent.
      type: list
      elements: str
    xml:
      description: libvirt's node device XML, if O(xml=true).
      type: str
  sample:
    - address: "0000:41:00.4"
      nodedev: pci_0000_41_00_4
      driver: nvidia
      numa_node: 1
      physical_function: "0000:41:00.0"
      iommu_group: 97
      vfs: null
      framework: mdev
      current_type: null
      types: {}
      devices: [5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10]
      xml: null
types:
  description: The types that the parents in the result offer, by id. Null if O(gather) does not include them.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The driver's id for the type.
      type: str
    name:
      description: The driver's name for the type. Null if the driver reports none.
      type: str
    description:
      description: The driver's description of the type. Null if the driver reports none.
      type: str
    driver:
      description: The driver of the parents that offer the type. Null for virtual parents.
      type: str
    device_api:
      description: How a guest sees devices of the type, V(vfio-pci), V(vfio-ccw) or V(vfio-ap).
      type: str
    framework:
      description: See RV(parents[].framework).
      type: str
    parents:
      description: The number of parents that offer the type.
      type: int
    available_instances:
      description: The driver's numbers, added up over the parents. More than really fits if parents share a card, since
        each parent reports what it could get alone. Null if none can be read.
      type: int
    limited:
      description: Whether RV(types[].available_instances) is a limit that a host can reach. V(false) for s390 AP
        devices, for which the driver reports the size of its table.
      type: bool
    room:
      description:
        - How many more devices really fit on these parents, if only devices of this type are created. The same rules
          decide in M(vfio.mdev.mdev_set). Null if no driver reports it.
        - Drivers under NVIDIA's vendor VFIO framework do not report how many devices fit on a card together. There, it
          is one for each virtual function that can get the type now, and an upper bound.
      type: int
    active:
      description: The number of devices in the kernel now.
      type: int
    defined:
      description: The number of devices that are defined on disk.
      type: int
  sample:
    - id: nvidia-471
      name: NVIDIA A100-8C
      description: "num_heads=1, frl_config=60, framebuffer=8192M, max_resolution=4096x2160, max_instance=5"
      driver: nvidia
      device_api: vfio-pci
      framework: mdev
      parents: 16
      available_instances: 13
      limited: true
      room: 2
      active: 3
      defined: 3
devices:
  description: The mediated devices that are active or defined, by parent and UUID. Null if O(gather) does not include
    them.
  returned: success
  type: list
  elements: dict
  contains:
    uuid:
      description: The UUID of the device. Null under NVIDIA's vendor VFIO framework.
      type: str
    nodedev:
      description: libvirt's name for the device.
      type: str
    framework:
      description: How the device is created, V(mdev), or V(vendor_vfio) for a vGPU that is set on a virtual function.
      type: str
    parent:
      description: The parent's name in sysfs.
      type: str
    parent_nodedev:
      description: libvirt's name for the parent.
      type: str
    type:
      description: The id of the type. Null for a half removed device.
      type: str
    type_name:
      description: The name of the type.
      type: str
    device_api:
      description: How a guest sees the device.
      type: str
    active:
      description: Whether the device is active in the kernel (and not being removed).
      type: bool
    defined:
      description: Whether the device is defined on disk.
      type: bool
    autostart:
      description: Whether the definition has the device started at boot.
      type: bool
    removing:
      description: Whether somebody removed the device while it was in use. The kernel keeps half of it until its user
        ends.
      type: bool
    attributes:
      description:
        - The attributes of the definition in order, each with C(name) and C(value).
        - For a device that is not defined, the attributes that the kernel reports, which it does only for s390 AP
          devices.
      type: list
      elements: dict
    iommu_group:
      description: The VFIO group. Null if no driver is bound.
      type: int
    numa_node:
      description: The NUMA node of the parent.
      type: int
    gpu_instance_id:
      description: The id of the GPU instance that holds a vGPU in MIG mode, under NVIDIA's vendor VFIO framework. Null
        if the driver does not report it.
      type: int
    placement_id:
      description: Where the driver has placed a vGPU on its card or in its GPU instance, under NVIDIA's vendor VFIO
        framework. Null if the driver does not report it.
      type: int
    in_use:
      description: Whether a process holds the device. Null if O(gather) does not include V(users), or if not all
        processes could be examined. Null never means unused. RV(hints) then says what to do.
      type: bool
    used_by:
      description: The processes that hold the device, each with C(pid), C(command) and C(guest) (null if the process is
        not QEMU).
      type: list
      elements: dict
    drift:
      description: Differences between the kernel and the definition, each with C(field), C(wanted) and C(actual).
        Attributes are compared only for s390 AP devices.
      type: list
      elements: dict
    xml:
      description: libvirt's node device XML, if O(xml=true).
      type: str
    hostdev_xml:
      description:
        - The XML element that adds the device to a guest. Null if the type of the device is unknown.
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
      gpu_instance_id: null
      placement_id: null
      in_use: true
      used_by:
        - {pid: 4711, command: qemu-system-x86_64, guest: web-1}
      drift: []
      xml: null
      hostdev_xml: |
        <hostdev mode="subsystem" type="mdev" model="vfio-pci">
          <source>
            <address uuid="5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10"/>
          </source>
        </hostdev>
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.vfio.mdev.plugins.module_utils._fleet.cordon import read_cordon
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.modes import with_modes
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.registry import host_framework, read_inventory
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._host.pci import read_hardware
from ansible_collections.vfio.mdev.plugins.module_utils._info.cards import SlicedCard, bare_cards, cards_of
from ansible_collections.vfio.mdev.plugins.module_utils._info.hints import about_use, hints, problems
from ansible_collections.vfio.mdev.plugins.module_utils._info.results import card_result, parent_result, type_results
from ansible_collections.vfio.mdev.plugins.module_utils._info.selection import Selection, select
from ansible_collections.vfio.mdev.plugins.module_utils._info.summary import summary
from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import (
    address_key,
    canonical_parent,
    parse_uuid,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.device_state import State
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Drift, Hardware, Inventory, Parent
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import CapacityQuery
from ansible_collections.vfio.mdev.plugins.module_utils._planning.drift import find_drift
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import (
    HOST_ARGUMENTS,
    PLACEMENT_ARGUMENTS,
    placement_options,
)
from ansible_collections.vfio.mdev.plugins.module_utils._runner.results import device_result
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module

PARTS = ["cards", "parents", "types", "devices", "users"]


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
    hardware = read_hardware(query.host, inventory)
    inventory = with_modes(query.host, inventory, hardware)
    selection = select(inventory, query.parents, query.types, query.uuids)
    cordon = read_cordon(query.host)
    missing = selection.unmatched
    unknown = about_use(inventory) if "users" in query.gather else []
    drift = {state: find_drift(state, inventory) for state in selection.states}
    shown = _cards(selection, query, inventory, hardware)
    wrong = [*missing, *problems(inventory, hardware), *unknown]
    return {
        "summary": summary(shown, inventory, drift, wrong, "users" in query.gather),
        "cordon": cordon.as_result() if cordon is not None else None,
        "framework": host_framework(inventory),
        "hints": [*missing, *hints(inventory, hardware), *unknown],
        "broken_definitions": [{"path": broken.path, "problem": broken.problem} for broken in inventory.broken],
        "unread": [{"path": unread.path, "error": unread.error} for unread in inventory.unread],
        "cards": [card_result(card, "users" in query.gather) for card in shown] if "cards" in query.gather else None,
        "parents": _parents(shown, selection, query) if "parents" in query.gather else None,
        "types": type_results(shown, selection.counted) if "types" in query.gather else None,
        "devices": _devices(drift, query, inventory) if "devices" in query.gather else None,
        "capacity": _capacity_answers(query, inventory) if query.capacity else [],
    }


def _cards(selection: Selection, query: Query, inventory: Inventory, hardware: Hardware) -> tuple[SlicedCard, ...]:
    """The cards of the selection. Without filters also those that offer nothing."""
    sliced = cards_of(inventory, hardware, selection.parents, selection.states)
    if query.parents or query.types or query.uuids:
        return sliced
    return tuple(sorted((*sliced, *bare_cards(inventory, hardware)), key=lambda card: address_key(card.address)))


def _parents(cards: Sequence[SlicedCard], selection: Selection, query: Query) -> list[dict[str, Any]]:
    on_cards = {parent.address: card for card in cards for parent in card.parents}
    return [
        parent_result(parent, selection.counted, on_cards[parent.address], _parent_xml(parent) if query.xml else None)
        for parent in selection.parents
    ]


def _devices(drift: Mapping[State, tuple[Drift, ...]], query: Query, inventory: Inventory) -> list[dict[str, Any]]:
    return [
        device_result(state, inventory, differences, _device_xml(state, inventory) if query.xml else None)
        for state, differences in drift.items()
    ]


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


def _device_xml(state: State, inventory: Inventory) -> Optional[str]:
    """The device's XML. None if its parent or type is missing."""
    from ansible_collections.vfio.mdev.plugins.module_utils._xml.nodedev import device_xml

    parent = inventory.parent(state.parent)
    return device_xml(state, parent) if parent is not None and state.type_id else None


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
