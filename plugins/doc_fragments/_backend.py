# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of modules that change devices."""

from __future__ import annotations


class ModuleDocFragment:
    """How changes are made, and how long the module waits for another run."""

    DOCUMENTATION = r"""
options:
  backend:
    description:
      - How changes are made. Reading always uses the kernel and the definition files.
      - V(sysfs) writes to sysfs and to the definition files directly, and needs nothing else on the host. It is about
        twenty times faster than starting a process for each step.
      - V(mdevctl) runs the C(mdevctl) command. Its callout and notification scripts run, and if a script refuses a
        change, the task fails with the script's message.
      - V(libvirt) uses libvirt's node device API through C(python3-libvirt). Parents that libvirt does not list as node
        devices cannot be used.
      - V(auto) selects V(mdevctl) if a callout or notification script is installed, since these scripts must run, and
        V(sysfs) otherwise.
      - The backend makes no difference to vGPUs under NVIDIA's vendor VFIO framework, which no tool supports.
      - mdevctl and libvirt drop fields of a definition that they do not know. V(sysfs) keeps them.
    type: str
    choices: [auto, sysfs, mdevctl, libvirt]
    default: auto
  uri:
    description: The libvirt connection for O(backend=libvirt).
    type: str
    default: qemu:///system
  lock_timeout:
    description:
      - Seconds to wait for the host lock if another run holds it. On timeout, the module fails without changing
        anything.
      - The lock is C(vfio-mdev/lock) in the C(/run) beside O(sysfs_path). Only root can open it.
    type: float
    default: 60
"""
