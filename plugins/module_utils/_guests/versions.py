# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The versions on which migrations depend: kernel, libvirt, QEMU and the drivers of mediated devices."""

from __future__ import annotations

import os
import re
from typing import Optional

from .._host.paths import Host
from .._host.reader import Reader
from .._model.versions import Versions
from .virsh import Virsh


def read_versions(host: Host, virsh: Virsh) -> Versions:
    """All versions. A driver's version is that of its module (modinfo(8)). Built-in drivers have none."""
    libvirt, qemu = virsh.versions()
    release = Reader().text(host.beside("proc", "sys", "kernel", "osrelease"), optional=True)
    return Versions(_kernel(release or ""), libvirt, qemu, _drivers(host))


def _kernel(release: str) -> Optional[str]:
    match = re.match(r"\d+\.\d+(\.\d+)?", release)
    return match.group() if match else None


def _drivers(host: Host) -> dict[str, str]:
    mdev, pci = (os.path.join(host.sys, "bus", bus, "drivers") for bus in ("mdev", "pci"))
    reader = Reader()
    folders = {name: os.path.join(mdev, name) for name in reader.names(mdev, optional=True)}
    # In NVIDIA's own VFIO framework, its driver is the driver of the functions themselves.
    folders.setdefault("nvidia", os.path.join(pci, "nvidia"))
    versions = {
        name: reader.text(os.path.join(folder, "module", "version"), optional=True) for name, folder in folders.items()
    }
    return {name: version for name, version in versions.items() if version is not None}
