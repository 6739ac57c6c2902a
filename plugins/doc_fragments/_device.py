# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of modules that manage devices."""

from __future__ import annotations


class ModuleDocFragment:
    """Where a device is placed, and which state it should have."""

    DOCUMENTATION = r"""
options:
  parent:
    description:
      - The only parent where the device may be placed.
      - A PCI address (with or without domain, in upper or lower case), a node device name, a sysfs name, a CSS address,
        or V(matrix).
      - If the virtual functions of a PCI card are the parents, the address of the card means any one of them.
      - Without O(parent) and O(parents), all parents of the host are candidates.
    type: str
  parents:
    description:
      - The candidates, in the same forms as O(parent). O(placement) decides which one is used.
      - If a candidate turns out to be full when the device is created, the next one is used.
    type: list
    elements: str
  exclude_parents:
    description: Parents that are not candidates, in the same forms as O(parent).
    type: list
    elements: str
    default: []
  placement:
    description:
      - How one of several candidates is chosen. A device that already exists stays where it is.
      - V(first) uses the first candidate that has room, in numerical order of addresses.
      - V(pack) uses the fullest card that has room, and prefers cards that hold devices of the same type, so that other
        cards stay free for other types.
      - V(spread) uses the card with the fewest devices, then the NUMA node and the virtual function with the fewest.
    type: str
    choices: [first, pack, spread]
    default: first
  numa_node:
    description: Only parents on this NUMA node are candidates.
    type: int
  attributes:
    description:
      - Attributes of the device in sysfs. They are written in this order after the device is created. If one fails,
        the device is removed again.
      - On an active device, attributes that are readable and have another value are written. Attributes that are not
        readable are left alone, since they were set when the device was created.
      - An s390 AP device reports its adapters, domains and control domains in C(matrix) and C(control_domains). On an
        active AP device, those that are not listed here are unassigned first, then the missing ones are assigned in
        this order. Values are numbers as the driver reads them, V(5), V(0x05) or (octal) V(05).
      - If the driver refuses to change an active device and O(persistent=true), only the definition gets the new value,
        and the module returns a warning. The value takes effect when the device is next started.
      - If this option is omitted, the attributes of a definition and the assignments of an AP device stay as they are.
        V([]) means no attributes.
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
    description: Whether the device should exist.
    type: str
    choices: [present, absent]
    default: present
  active:
    description:
      - Whether the device should be in the kernel now.
      - "V(false) requires O(persistent=true): a device must be active, defined, or both."
    type: bool
    default: true
  persistent:
    description:
      - Whether the device should be defined on disk. A definition with another type, other attributes or another
        autostart setting is corrected. V(false) removes the definition.
      - A definition can remain for a parent that is currently missing.
    type: bool
    default: true
  autostart:
    description:
      - Whether the device should be started when the host boots. This applies only with O(persistent=true).
      - If nothing on the host would start the device, the module fails. Either C(vfio-mdev.service) of this collection
        must be enabled, or mdevctl's own udev rule must work, which it does not as shipped by Debian and Ubuntu.
    type: bool
    default: true
  recreate:
    description:
      - Whether to remove and recreate a device that exists under this UUID with another type or on another parent.
      - A device in use is never replaced. If the new device cannot be created, the old one is created again, with the
        default attributes of its driver.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait for parents, types and room that are not available yet because a driver is still starting, or
        because virtual functions or MIG instances appear late. Nothing is changed until all of them are available.
      - With V(0), anything that is missing is an error immediately.
    type: float
    default: 0
  name_scope:
    description:
      - V(host) derives different UUIDs on each host, V(global) the same UUIDs on all hosts.
      - The kernel requires UUIDs to be unique on a host. Guests that migrate under the same UUID require the same UUID
        on source and destination.
    type: str
    choices: [host, global]
    default: host
"""
