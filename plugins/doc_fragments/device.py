# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of what modules that create devices share."""

from __future__ import annotations


class ModuleDocFragment:
    """Where a device goes and in which states it is to be."""

    DOCUMENTATION = r"""
options:
  parent:
    description:
      - The parent on which the device is to be, and no other.
      - A PCI address (with or without domain, in any case), a node device name, a sysfs name, a CSS address, or
        V(matrix).
      - A PCI card whose virtual functions are the parents means one of these.
      - Without O(parent) and O(parents), all parents of the host are candidates.
    type: str
  parents:
    description:
      - Candidates, written like O(parent). O(placement) says which of them is taken.
      - A candidate that turns out full when the device is created is replaced by the next.
    type: list
    elements: str
  exclude_parents:
    description: Parents that are no candidates, written like O(parent).
    type: list
    elements: str
    default: []
  placement:
    description:
      - How one of several candidates is chosen. A device that exists stays where it is.
      - V(first) takes the first that has room, in address order (by number).
      - V(pack) takes the fullest card that has room, one that holds devices of the same type before others, so that
        other cards stay free for other types.
      - V(spread) takes the card with the fewest devices, then the NUMA node and the virtual function with the fewest.
    type: str
    choices: [first, pack, spread]
    default: first
  numa_node:
    description: Only parents on this NUMA node are candidates.
    type: int
  attributes:
    description:
      - Attributes of the device in sysfs, written in this order after it is created. When one fails, the device is
        removed again.
      - On a device that is active, those that can be read and read otherwise are written. Those that can't be
        read are left alone, since they were set when the device was created.
      - An s390 AP device tells in C(matrix) and C(control_domains) which adapters, domains and control domains it has.
        On one that is active, what is not wanted any more is un-assigned first, then what is missing is assigned in
        this order. Values are numbers as the driver reads them, V(5), V(0x05) or (octal) V(05).
      - Where the driver refuses the change of an active device and O(persistent=true), only the definition gets the
        new value, with a warning. It takes effect when the device is next started.
      - Leave it out to keep what a definition says and what an AP device has. V([]) means none.
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
  wait_seconds:
    description:
      - How many seconds to wait for parents, types and room that are not there yet, because a driver is starting or
        virtual functions or MIG come late. Nothing is done until all of it is there.
      - With V(0), what is missing is an error at once.
    type: float
    default: 0
  name_scope:
    description:
      - V(host) derives other UUIDs on other hosts, V(global) the same on all hosts.
      - The kernel wants UUIDs to be unique on a host. Guests that migrate under the same UUID want them equal on
        source and destination.
    type: str
    choices: [host, global]
    default: host
"""
