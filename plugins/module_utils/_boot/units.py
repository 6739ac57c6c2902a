# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The systemd units of a host's boot, as text. Pure.

The order is: driver, virtual functions, whatever the host's own units do with these (MIG), devices, libvirt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._host.autostart import DEVICES_UNIT
from .._sriov.plan import WantedVfs

VFS_UNIT = "vfio-mdev-vfs.service"
UNITS = (VFS_UNIT, DEVICES_UNIT)

# The package's name on the host, below the program's folder.
PACKAGE = "vfio_mdev"

# After the deadline: for a driver that takes long to create devices.
_SPARE_SECONDS = 60
_AFTER = ("local-fs.target", "systemd-modules-load.service", "systemd-udevd.service")
# Guests that start at boot need their devices.
_LIBVIRT = ("libvirtd.service", "virtqemud.service", "virtnodedevd.service", "libvirt-guests.service")

_TEXT = """\
# Written by the Ansible collection vfio.mdev, role boot. Changes are overwritten: use a drop-in.
[Unit]
Description={description}
After={after}
Before={before}

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=PYTHONPATH={folder}
ExecStart={python} -m {package}.{command} --wait {wait_seconds}{arguments}
TimeoutStartSec={timeout}

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Program:
    """What the units run: this package, put on the host. wait_seconds: for what comes late, all together."""

    folder: str
    python: str
    wait_seconds: int


@dataclass(frozen=True)
class UnitFile:
    """One unit: its name and the text of its file."""

    name: str
    text: str


def devices_unit(program: Program, after: Sequence[str] = ()) -> UnitFile:
    """Starts what is defined with autostart. after: units that must be done before."""
    description = "Start mediated devices that are defined with autostart"
    return UnitFile(DEVICES_UNIT, _text(program, description, "_boot.start_devices", (), after, _LIBVIRT))


def vfs_unit(
    program: Program, cards: Sequence[WantedVfs], tool: str, after: Sequence[str] = (), before: Sequence[str] = ()
) -> UnitFile:
    """Enables the virtual functions of cards. after: units that bring the driver. before: units that need functions."""
    words = ("--tool", tool, *(str(one) for one in cards))
    description = "Enable the virtual functions that mediated devices need"
    return UnitFile(VFS_UNIT, _text(program, description, "_boot.enable_vfs", words, after, (DEVICES_UNIT, *before)))


def _text(
    program: Program,
    description: str,
    command: str,
    arguments: Sequence[str],
    after: Sequence[str],
    before: Sequence[str],
) -> str:
    return _TEXT.format(
        description=description,
        after=" ".join((*_AFTER, *after)),
        before=" ".join(before),
        folder=program.folder,
        python=program.python,
        package=PACKAGE,
        command=command,
        wait_seconds=program.wait_seconds,
        arguments="".join(f" {one}" for one in arguments),
        timeout=program.wait_seconds + _SPARE_SECONDS,
    )
