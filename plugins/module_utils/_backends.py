# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backend acts. The choice of 'auto' is made here and nowhere else."""

from __future__ import annotations

from ._backend import Backend
from ._definitions import DefinitionFiles
from ._direct import DirectBackend
from ._kernel import Kernel
from ._libvirt import libvirt_backend
from ._mdevctl import mdevctl_backend, scripts_installed

CHOICES = ("auto", "sysfs", "mdevctl", "libvirt")


def chosen_backend(asked: str, kernel: Kernel, files: DefinitionFiles, uri: str) -> Backend:
    """The backend that was asked for.

    auto: mdevctl where it has callout or notification scripts, since these must run; else sysfs, which is some twenty
    times faster than a process per step.
    """
    if asked == "libvirt":
        return libvirt_backend(kernel, uri)
    if asked == "mdevctl" or (asked == "auto" and scripts_installed(kernel.paths)):
        return mdevctl_backend(kernel)
    return DirectBackend(kernel, files)
