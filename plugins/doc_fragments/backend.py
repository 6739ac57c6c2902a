# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the ways to act on a host."""

from __future__ import annotations


class ModuleDocFragment:
    """How changes are made, and how long another run is waited for."""

    DOCUMENTATION = r"""
options:
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
      - It makes no difference to vGPUs under NVIDIA's own VFIO framework, which no tool knows.
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
"""
