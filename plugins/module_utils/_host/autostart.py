# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would start definitions at the host's next boot: our unit, or mdevctl's udev rule where it works."""

from __future__ import annotations

import os
import re
from typing import Optional

from .._model.errors import NoAutostart
from .paths import Host
from .reader import read_bytes

_WANTED_BY = "etc/systemd/system/multi-user.target.wants"
_RULE = "60-mdevctl.rules"
_RULE_FOLDERS = ("etc/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d")
_PROGRAM = re.compile(r"(/[\w./-]*/mdevctl)\b")


def starter(host: Host) -> Optional[str]:
    """In words who starts definitions at boot. None where nothing does."""
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


def is_enabled(host: Host, unit: str) -> bool:
    """Whether systemd starts a unit of ours at boot."""
    return os.path.lexists(host.beside(_WANTED_BY, unit))


def require_starter(host: Host) -> None:
    """Refuses to promise a start at boot where nothing would do it."""
    if starter(host) is None:
        raise NoAutostart(
            f"nothing on this host starts defined devices at boot: {DEVICES_UNIT} is not enabled, and mdevctl's udev "
            "rule is missing or runs a command that is not there (as on Debian and Ubuntu). Nothing was changed. "
            "Install the unit with role vfio.mdev.boot, or set autostart: false, or persistent: false for a device "
            "that is to last until the next reboot",
            unit=DEVICES_UNIT,
        )


def require_unit(host: Host) -> None:
    """Refuses to promise that a vGPU is set at boot where our unit does not do it. mdevctl does not know of them."""
    if not is_enabled(host, DEVICES_UNIT):
        raise NoAutostart(
            f"nothing on this host sets vGPU types at boot, and the driver forgets them: {DEVICES_UNIT} is not "
            "enabled. Nothing was changed. Install the unit with role vfio.mdev.boot, or set autostart: false, "
            "or persistent: false for a vGPU that is to last until the next reboot",
            unit=DEVICES_UNIT,
        )


def _rule_works(text: str, host: Host) -> bool:
    """Debian and Ubuntu ship a rule that runs /usr/sbin/mdevctl, and the command in /usr/bin (mdevctl issue 82)."""
    programs = set(_PROGRAM.findall(text))
    return bool(programs) and all(os.access(host.beside(one.lstrip("/")), os.X_OK) for one in programs)


DEVICES_UNIT = "vfio-mdev.service"
