# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that starts definitions at the host's next boot: our unit, or mdevctl's udev rule if it works."""

from __future__ import annotations

import os
import re
from typing import Optional

from .._model.errors import NoAutostart
from .paths import Host
from .reader import read_bytes

DEVICES_UNIT = "vfio-mdev.service"

_UNIT_FOLDER = "etc/systemd/system"
_RULE = "60-mdevctl.rules"
_RULE_FOLDERS = ("etc/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d")
_PROGRAM = re.compile(r"(/[\w./-]*/mdevctl)\b")


def starter(host: Host) -> Optional[str]:
    """The program that starts definitions at boot, in words. None if there is none."""
    if is_enabled(host, DEVICES_UNIT):
        return DEVICES_UNIT
    for folder in _RULE_FOLDERS:
        path = host.beside(folder, _RULE)
        try:
            text = read_bytes(path).decode("utf-8", "replace")
        except OSError:
            continue
        return f"mdevctl's udev rule {path}" if _rule_works(text, host) else None
    return None


def is_enabled(host: Host, unit: str, target: str = "multi-user.target") -> bool:
    """Whether systemd starts a unit of ours at boot. target: the one that wants it."""
    return os.path.lexists(host.beside(_UNIT_FOLDER, f"{target}.wants", unit))


def require_starter(host: Host) -> None:
    """Raises NoAutostart if nothing would start a defined device at boot."""
    if starter(host) is None:
        raise NoAutostart(
            f"nothing on this host starts defined devices at boot: {DEVICES_UNIT} is not enabled, and mdevctl's udev "
            "rule is missing or runs a command that does not exist (as on Debian and Ubuntu). Nothing was changed. "
            "Install the unit with role vfio.mdev.boot, or set autostart: false, or persistent: false for a device "
            "that should last only until the next reboot",
            unit=DEVICES_UNIT,
        )


def require_unit(host: Host) -> None:
    """Raises NoAutostart if our unit would not set vGPU types at boot. mdevctl does not know vGPUs."""
    if not is_enabled(host, DEVICES_UNIT):
        raise NoAutostart(
            f"nothing on this host sets vGPU types at boot, and the driver forgets them: {DEVICES_UNIT} is not "
            "enabled. Nothing was changed. Install the unit with role vfio.mdev.boot, or set autostart: false, "
            "or persistent: false for a vGPU that should last only until the next reboot",
            unit=DEVICES_UNIT,
        )


def _rule_works(text: str, host: Host) -> bool:
    """Whether the rule's commands exist.

    Debian and Ubuntu ship a rule that runs /usr/sbin/mdevctl, but the command is in /usr/bin (mdevctl issue 82).
    """
    programs = set(_PROGRAM.findall(text))
    return bool(programs) and all(os.access(host.beside(program.lstrip("/")), os.X_OK) for program in programs)
