# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The element of a guest's XML that gives it a device (libvirt's domain.rng), written without lxml. Pure."""

from __future__ import annotations

import re
from typing import Optional

from .._model.device_state import State
from .._model.framework import HOSTDEV_MDEV

PCI_PARTS = ("domain", "bus", "slot", "function")
# XML 1.0 has no way to write these, whatever a driver puts into a name. As a regular expression, the ranges would take
# 3 ms to compile, for each task on each host.
NOT_XML = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], "?")

# And the escapes that lxml writes in attributes.
_ESCAPES = {
    **NOT_XML,
    **str.maketrans(
        {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
    ),
}


def hostdev_xml(state: State, device_api: Optional[str]) -> str:
    """The <hostdev> element of a device."""
    hostdev = {"mode": "subsystem", "type": state.framework.hostdev_type}
    if state.framework.hostdev_type == HOSTDEV_MDEV:
        hostdev["model"] = device_api or "vfio-pci"
        address = {"uuid": state.id}
    else:
        # libvirt must leave the function with the driver that made the vGPU.
        hostdev["managed"] = "no"
        address = {name: f"0x{digits}" for name, digits in zip(PCI_PARTS, re.split("[:.]", state.parent))}
    return (
        f"<hostdev{_attributes(hostdev)}>\n  <source>\n    <address{_attributes(address)}/>\n  </source>\n</hostdev>\n"
    )


def _attributes(values: dict[str, str]) -> str:
    return "".join(f' {name}="{value.translate(_ESCAPES)}"' for name, value in values.items())
