# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How devices and their parents are called: UUIDs, sysfs names, libvirt's node device names, and one into the other.

Pure text, no host needed. Sources: kernel Documentation/ABI/testing/sysfs-bus-pci (addresses), uuid_is_valid() in
lib/uuid.c (what the mdev core takes as a UUID), libvirt's nodeDeviceGenerateName() (node device names), RFC 9562
(UUIDs).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Optional

from .errors import InvalidInput

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NIL = "00000000-0000-0000-0000-000000000000"

_PCI = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])", re.IGNORECASE)
_PCI_NODEDEV = re.compile(r"pci_([0-9a-f]{4,8})_([0-9a-f]{2})_([01][0-9a-f])_([0-7])", re.IGNORECASE)
_CSS = re.compile(r"([0-9a-f]{1,2})\.([0-3])\.([0-9a-f]{4})", re.IGNORECASE)
_CSS_NODEDEV = re.compile(r"css_([0-9a-f]{1,2})_([0-3])_([0-9a-f]{4})", re.IGNORECASE)
_NOT_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]")
_AP_MATRIX = ("matrix", "ap_matrix")

AddressKey = tuple[int, tuple[int, ...], str]


def parse_uuid(text: str) -> str:
    """The UUID in lower case. Only the 36 character form is taken, as the kernel does.

    The nil UUID is refused though the kernel takes it: it stands for "no UUID" (RFC 9562, 5.9).
    """
    value = text.strip().lower()
    if not _UUID.fullmatch(value):
        raise InvalidInput(
            f"'{text}' is not a UUID: 36 characters like 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10 are wanted", uuid=text
        )
    if value == _NIL:
        raise InvalidInput("the nil UUID can't name a device: leave uuid out to have one derived", uuid=text)
    return value


def is_uuid(text: str) -> bool:
    """Whether a sysfs folder name is that of a device."""
    return _UUID.fullmatch(text) is not None


def pci_address(text: str) -> Optional[str]:
    """A PCI address as sysfs writes it (0000:41:00.4), from any usual form, or None.

    Taken are 41:00.4, 0000:41:00.4, 00000000:41:00.4 (as nvidia-smi prints it) and pci_0000_41_00_4, in any case.
    """
    match = _PCI.fullmatch(text) or _PCI_NODEDEV.fullmatch(text)
    if match is None:
        return None
    domain, bus, slot, function = (int(part or "0", 16) for part in match.groups())
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:d}"


def css_address(text: str) -> Optional[str]:
    """An s390 channel subsystem address as sysfs writes it (0.0.0052), also from css_0_0_0052, or None."""
    match = _CSS.fullmatch(text) or _CSS_NODEDEV.fullmatch(text)
    if match is None:
        return None
    cssid, ssid, number = (int(part, 16) for part in match.groups())
    return f"{cssid:x}.{ssid:x}.{number:04x}"


def canonical_parent(text: str) -> str:
    """What the user calls a parent, as sysfs writes it where the text alone tells; other names stay as they are."""
    value = text.strip()
    if not value or "/" in value or value in (".", ".."):
        raise InvalidInput(
            f"'{text}' can't name a parent: give a PCI address, a node device name, a sysfs name, "
            "a CSS address or 'matrix'",
            parent=text,
        )
    if value.lower() in _AP_MATRIX:
        return "matrix"
    return pci_address(value) or css_address(value) or value


def parent_nodedev(subsystem: str, sysfs_name: str) -> str:
    """libvirt's name for a parent: subsystem and sysfs name, all but letters and digits turned into '_'."""
    if sysfs_name == "matrix":
        return "ap_matrix"
    return _nodedev_text(f"{subsystem}_{sysfs_name}")


def device_nodedev(uuid: str, parent: str) -> str:
    """libvirt's name for a mediated device: mdev_<uuid>_<parent>."""
    return _nodedev_text(f"mdev_{uuid}_{parent}")


def _nodedev_text(text: str) -> str:
    return _NOT_ALPHANUMERIC.sub("_", text)


@cache
def address_key(address: str) -> AddressKey:
    """Sorts addresses by their numbers (0000:9:… before 0000:10:…), other names after them by number, then text."""
    pci = _PCI.fullmatch(address)
    if pci is not None:
        return (0, tuple(int(part or "0", 16) for part in pci.groups()), address)
    css = _CSS.fullmatch(address)
    if css is not None:
        return (1, tuple(int(part, 16) for part in css.groups()), address)
    return (2, (), re.sub(r"\d+", lambda number: number.group().zfill(12), address))
