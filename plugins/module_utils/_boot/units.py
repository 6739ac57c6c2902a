# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The texts of the systemd units that run at boot. Pure.

The order at boot: driver, MIG mode, virtual functions, GPU instances, mixed sizes, units of the host that configure
these, devices, libvirt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .._host.autostart import DEVICES_UNIT
from .._model.errors import InvalidInput
from .._sriov.request import VfsRequest

VFS_UNIT = "vfio-mdev-vfs.service"
METRICS_UNIT = "vfio-mdev-metrics.service"
METRICS_TIMER = "vfio-mdev-metrics.timer"
# The units that prepare devices at boot.
BOOT_UNITS = (VFS_UNIT, DEVICES_UNIT)
# All units, with the target that starts each one. The timer starts its service.
WANTED_BY = {
    VFS_UNIT: "multi-user.target",
    DEVICES_UNIT: "multi-user.target",
    METRICS_UNIT: "",
    METRICS_TIMER: "timers.target",
}
UNITS = tuple(WANTED_BY)

# The files that the metrics unit writes to the folders of others.
METRICS_FILE = "vfio_mdev.prom"
FACTS_FILE = "vfio_mdev.fact"

# The name of the package on the host, in the program's folder.
PACKAGE = "vfio_mdev"

# Extra time after the deadline, for drivers that create devices slowly.
_SPARE_SECONDS = 60
_AFTER = ("local-fs.target", "systemd-modules-load.service", "systemd-udevd.service")
# Guests that start at boot need their devices.
_LIBVIRT = ("libvirtd.service", "virtqemud.service", "virtnodedevd.service", "libvirt-guests.service")

# Source: systemd.unit(5).
_UNIT_NAME = re.compile(
    r"[A-Za-z0-9:_.\\@-]+\.(?:service|socket|device|mount|automount|swap|target|path|timer|slice|scope)"
)

# The first words of each unit that this collection wrote. Others are not touched.
MARK = "# Written by the Ansible collection vfio.mdev"

# KillMode: a write that hangs in the kernel can't be killed. systemd would wait for it, and libvirt's daemons with it.
_TEXT = """\
{mark}, role boot. Changes will be overwritten: use a drop-in instead.
[Unit]
Description={description}
After={after}
Before={before}

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=PYTHONPATH={path}
ExecStart={python} -m {package}.{command} --wait {wait_timeout}{arguments}
TimeoutStartSec={timeout}
KillMode=process

[Install]
WantedBy=multi-user.target
"""

_METRICS_TEXT = """\
{mark}, role boot. Changes will be overwritten: use a drop-in instead.
[Unit]
Description=Publish mediated devices as metrics and local facts

[Service]
Type=oneshot
Environment=PYTHONPATH={path}
ExecStart={python} -m {package}._boot.publish{arguments}
TimeoutStartSec={timeout}
Nice=10
KillMode=process
"""

# A new run starts this long after the last one has ended.
_TIMER_TEXT = """\
{mark}, role boot. Changes will be overwritten: use a drop-in instead.
[Unit]
Description=Publish mediated devices regularly

[Timer]
OnActiveSec=1
OnUnitInactiveSec={interval}
AccuracySec=5

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True)
class Program:
    """The programs that the units run.

    path:         the folder on the host that has this package
    python:       the Python that runs it
    wait_timeout: seconds to wait for drivers, cards and parents, for all together
    """

    path: str
    python: str
    wait_timeout: int


@dataclass(frozen=True)
class UnitFile:
    """One unit: its name and the text of its file."""

    name: str
    text: str


def devices_unit(program: Program, after_units: Sequence[str] = ()) -> UnitFile:
    """The unit that starts devices. after_units: units that must finish first."""
    description = "Start mediated devices that are defined with autostart"
    return UnitFile(DEVICES_UNIT, _text(program, description, "_boot.start_devices", (), after_units, _LIBVIRT))


def vfs_unit(
    program: Program,
    cards: Sequence[VfsRequest],
    backend: str,
    after_units: Sequence[str] = (),
    before_units: Sequence[str] = (),
) -> UnitFile:
    """The unit that enables virtual functions.

    after_units:  units that load the driver
    before_units: units that need the functions
    """
    arguments = ("--backend", backend, *(str(card) for card in cards))
    description = "Enable the virtual functions that mediated devices need"
    return UnitFile(
        VFS_UNIT, _text(program, description, "_boot.enable_vfs", arguments, after_units, (DEVICES_UNIT, *before_units))
    )


def _check_name(unit: str) -> None:
    """Refuses what systemd would ignore with a line in its log, after which the order at boot is another one."""
    if not _UNIT_NAME.fullmatch(unit):
        raise InvalidInput(
            f"'{unit}' is not the name of a systemd unit: give it with its suffix, for example nvidia-vgpud.service",
            unit=unit,
        )


@dataclass(frozen=True)
class Publication:
    """What is published about the host, and where. A folder is empty if nothing should be written to it.

    interval: seconds between two runs
    """

    metrics_path: str
    facts_path: str
    interval: int


def metrics_units(program: Program, publication: Publication) -> list[UnitFile]:
    """The unit that writes metrics and facts, and its timer. None if nothing is published."""
    folders = {"--metrics": publication.metrics_path, "--facts": publication.facts_path}
    arguments = "".join(f" {option} {folder}" for option, folder in folders.items() if folder)
    if not arguments:
        return []
    service = _METRICS_TEXT.format(
        mark=MARK,
        path=program.path,
        python=program.python,
        package=PACKAGE,
        arguments=arguments,
        timeout=_SPARE_SECONDS,
    )
    timer = _TIMER_TEXT.format(mark=MARK, interval=publication.interval)
    return [UnitFile(METRICS_UNIT, service), UnitFile(METRICS_TIMER, timer)]


def published_files(unit_text: str) -> list[str]:
    """The files that a unit with this text writes."""
    names = {"--metrics": METRICS_FILE, "--facts": FACTS_FILE}
    command = next((line for line in unit_text.splitlines() if line.startswith("ExecStart=")), "")
    words = command.split()
    return [f"{folder}/{names[option]}" for option, folder in zip(words, words[1:]) if option in names]


def _text(
    program: Program,
    description: str,
    command: str,
    arguments: Sequence[str],
    after_units: Sequence[str],
    before_units: Sequence[str],
) -> str:
    for unit in (*after_units, *before_units):
        _check_name(unit)
    return _TEXT.format(
        mark=MARK,
        description=description,
        after=" ".join((*_AFTER, *after_units)),
        before=" ".join(before_units),
        path=program.path,
        python=program.python,
        package=PACKAGE,
        command=command,
        wait_timeout=program.wait_timeout,
        arguments="".join(f" {argument}" for argument in arguments),
        timeout=program.wait_timeout + _SPARE_SECONDS,
    )
