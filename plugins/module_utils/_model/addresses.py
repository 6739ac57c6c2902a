# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of devices and parents: UUIDs, sysfs names, libvirt's node device names, and conversions between them.

Pure text, no host needed. Sources: kernel Documentation/ABI/testing/sysfs-bus-pci (addresses), uuid_is_valid() in
lib/uuid.c (the UUIDs that the mdev core accepts), libvirt's nodeDeviceGenerateName() (node device names), RFC 9562
(UUIDs).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Optional

from .errors import InvalidInput

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
NIL_UUID = "00000000-0000-0000-0000-000000000000"

_PCI = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])", re.IGNORECASE)
_PCI_NODEDEV = re.compile(r"pci_([0-9a-f]{4,8})_([0-9a-f]{2})_([01][0-9a-f])_([0-7])", re.IGNORECASE)
_CSS = re.compile(r"([0-9a-f]{1,2})\.([0-3])\.([0-9a-f]{4})", re.IGNORECASE)
_CSS_NODEDEV = re.compile(r"css_([0-9a-f]{1,2})_([0-3])_([0-9a-f]{4})", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]+)?")
_NOT_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]")
_AP_MATRIX = ("matrix", "ap_matrix")

AddressKey = tuple[int, tuple[int, ...], str]


def parse_uuid(text: str) -> str:
    """The UUID in lower case. Only the form with 36 characters is accepted, as in the kernel.

    The nil UUID is accepted as well: the kernel creates devices with it, and these must have a name. DeviceRequest
    refuses it for new devices, because it stands for "no UUID" (RFC 9562, 5.9).
    """
    value = text.strip().lower()
    if not _UUID.fullmatch(value):
        raise InvalidInput(
            f"'{text}' is not a UUID: give 36 characters like 5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10", uuid=text
        )
    return value


def is_uuid(text: str) -> bool:
    """Whether the name of a folder in sysfs is a device's UUID."""
    return _UUID.fullmatch(text) is not None


def pci_address(text: str) -> Optional[str]:
    """A PCI address as sysfs writes it (0000:41:00.4), from any usual form, or None.

    Accepted are 41:00.4, 0000:41:00.4, 00000000:41:00.4 (as nvidia-smi prints it) and pci_0000_41_00_4, in any case.
    """
    match = _PCI.fullmatch(text) or _PCI_NODEDEV.fullmatch(text)
    if match is None:
        return None
    domain, bus, slot, function = (int(part or "0", 16) for part in match.groups())
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:d}"


def refuse_number(text: str) -> None:
    """Refuses a number in place of an address.

    YAML 1.1 reads digits with colons as a number to base 60: 0000:41:00.4 without quotes is 2460.4.
    """
    if not _NUMBER.fullmatch(text.strip()):
        return
    whole, _point, function = text.strip().partition(".")
    total, slot = divmod(int(whole), 60)
    domain, bus = divmod(total, 60)
    address = f"{domain:04d}:{bus:02d}:{slot:02d}.{function or 0}"
    raise InvalidInput(
        f"{text} is a number, not an address. It is what YAML makes of {address} without quotes: quote it",
        address=text,
    )


def css_address(text: str) -> Optional[str]:
    """An s390 channel subsystem address as sysfs writes it (0.0.0052), also from css_0_0_0052, or None."""
    match = _CSS.fullmatch(text) or _CSS_NODEDEV.fullmatch(text)
    if match is None:
        return None
    cssid, ssid, devno = (int(part, 16) for part in match.groups())
    return f"{cssid:x}.{ssid:x}.{devno:04x}"


def canonical_parent(text: str) -> str:
    """A parent's name as sysfs writes it, if the text alone determines that; other names stay unchanged."""
    refuse_number(text)
    value = text.strip()
    if not value or "/" in value or value in (".", ".."):
        raise InvalidInput(
            f"'{text}' is not a valid parent name: give a PCI address, a node device name, a sysfs name, "
            "a CSS address or 'matrix'",
            parent=text,
        )
    if value.lower() in _AP_MATRIX:
        return "matrix"
    return pci_address(value) or css_address(value) or value


def parent_nodedev(subsystem: str, sysfs_name: str) -> str:
    """libvirt's name for a parent: subsystem and sysfs name, with '_' for everything except letters and digits."""
    if sysfs_name == "matrix":
        return "ap_matrix"
    return _nodedev_text(f"{subsystem}_{sysfs_name}")


def device_nodedev(uuid: str, parent: str) -> str:
    """libvirt's name for a mediated device: mdev_<uuid>_<parent>."""
    return _nodedev_text(f"mdev_{uuid}_{parent}")


def _nodedev_text(text: str) -> str:
    return _NOT_ALPHANUMERIC.sub("_", text)


# Python 3.8 must come as far as the sentence in errors.py, and has no functools.cache.
@lru_cache(maxsize=None)  # noqa: UP033
def address_key(address: str) -> AddressKey:
    """Sorts addresses by their numbers (0000:9:… before 0000:10:…), other names after them by number, then text."""
    pci = _PCI.fullmatch(address)
    if pci is not None:
        return (0, tuple(int(part or "0", 16) for part in pci.groups()), address)
    css = _CSS.fullmatch(address)
    if css is not None:
        return (1, tuple(int(part, 16) for part in css.groups()), address)
    return (2, (), re.sub(r"\d+", lambda match: match.group().zfill(12), address))
