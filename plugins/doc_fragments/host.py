# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation that all modules of the collection share."""

from __future__ import annotations


class ModuleDocFragment:
    """Where the host's files are, and what the modules need and are."""

    DOCUMENTATION = r"""
options:
  sysfs_path:
    description:
      - Where the host's sysfs is mounted.
      - Give another place to manage a host from a container that has the host's file systems below one folder,
        for example V(/host/sys). The host's C(proc), C(dev) and C(etc/machine-id) are then expected beside it.
    type: path
    default: /sys
  definitions_path:
    description: Where definitions of devices are stored, mdevctl's folder as a rule.
    type: path
    default: /etc/mdevctl.d
notes:
  - Where NVIDIA's driver has its own VFIO framework instead of mediated devices (C(framework) is V(vendor_vfio)), each
    virtual function of a card is a parent that takes one vGPU. A type is set on the function to create it, and cleared
    to remove it.
  - Such a vGPU has no UUID and is known by its function. A request with this function as its only parent means what is
    on it, whoever made that. Other requests find what they made by notes in C(/run/vfio-mdev), which are gone after a
    boot as the vGPUs are. V(name) and V(uuid) tell requests apart, and are shown nowhere.
  - mdevctl and libvirt's node device API know nothing of such vGPUs. Their definitions are in C(/etc/vfio-mdev.d), and
    only C(vfio-mdev.service) of this collection sets them at boot.
  - The driver tells only which types a function could get now, and of a full card none. A type is then known where
    another function of such a card offers it, or where this collection set it.
requirements:
  - Linux with Python 3.9 or newer.
  - The Python library C(lxml), only where node device XML is read or written.
attributes:
  platform:
    description: The platforms that the module runs on.
    support: full
    platforms: linux
  action_group:
    description: The module is in the action group C(vfio.mdev.mdev), for C(module_defaults).
    support: full
    membership:
      - vfio.mdev.mdev
  check_mode:
    description: Runs in check mode and gives the same result, without changing anything.
    support: full
"""
