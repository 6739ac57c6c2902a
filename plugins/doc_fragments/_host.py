# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of modules that read a host's files."""

from __future__ import annotations


class ModuleDocFragment:
    """Where the host's files are, and what the modules need."""

    SYSFS = r"""
options:
  sysfs_path:
    description:
      - The path where the host's sysfs is mounted.
      - To manage a host from a container, set the path in the container, for example V(/host/sys). The container must
        have the host's file systems below one folder, with the host's C(proc), C(dev) and C(etc/machine-id) beside
        C(sys).
    type: path
    default: /sys
"""

    DOCUMENTATION = r"""
options:
  sysfs_path:
    description:
      - The path where the host's sysfs is mounted.
      - To manage a host from a container, set the path in the container, for example V(/host/sys). The container must
        have the host's file systems below one folder, with the host's C(proc), C(dev) and C(etc/machine-id) beside
        C(sys).
    type: path
    default: /sys
  definitions_path:
    description:
      - The folder where device definitions are stored, usually mdevctl's folder.
      - It applies to both frameworks. Definitions of vGPUs under NVIDIA's vendor VFIO framework are in the folder
        C(vfio-mdev.d) beside it. With the default, the folders are C(/etc/mdevctl.d) and C(/etc/vfio-mdev.d).
    type: path
    default: /etc/mdevctl.d
notes:
  - On newer cards and kernels, NVIDIA's driver has its own VFIO framework instead of mediated devices. See
    R(NVIDIA vGPU on virtual functions, ansible_collections.vfio.mdev.docsite.guide_vendor_vfio).
requirements:
  - Linux with Python 3.9 or newer
  - The Python library C(lxml), only if node device XML is read or written
"""
