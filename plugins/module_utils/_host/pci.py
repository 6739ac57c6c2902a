# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hardware that offers mediated devices or vGPUs, or could: read to describe cards, and why one offers nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from .._model.addresses import address_key
from .._model.inventory import Card, Hardware, Inventory
from .paths import Host
from .reader import Reader

# PCI base class 03 is a display controller (PCI Code and ID Assignment Specification).
_DISPLAY_CLASS = "0x03"

_DEVICES = ("bus", "pci", "devices")
_ID_FILES = ("vendor", "device", "subsystem_vendor", "subsystem_device")
# The kernel modules that hints need.
_MODULES = ("mdev", "nvidia", "nvidia_vgpu_vfio", "i915", "kvmgt", "vfio_ap", "vfio_ccw")


def read_hardware(host: Host, inventory: Inventory) -> Hardware:
    """Cards, loaded modules and s390 buses. Unreadable files are left out: hints are help, not results."""
    reader = Reader()
    return Hardware(
        cards=tuple(_cards(host, reader, inventory)),
        modules=frozenset(module for module in _MODULES if os.path.isdir(os.path.join(host.sys, "module", module))),
        css=os.path.isdir(os.path.join(host.sys, "bus", "css", "devices")),
        ap=os.path.isdir(os.path.join(host.sys, "bus", "ap", "devices")),
    )


def _cards(host: Host, reader: Reader, inventory: Inventory) -> list[Card]:
    """The cards of the parents, and all display controllers. Functions that are parents need no look of their own."""
    folder = os.path.join(host.sys, *_DEVICES)
    offering = {parent.card for parent in inventory.parents}
    # All functions of a card have the same ids: the kernel reads those of the first (drivers/pci/probe.c, iov.c).
    examples = {parent.card: parent.address for parent in inventory.parents if parent.physical_function is not None}
    functions = {parent.address for parent in inventory.parents if parent.physical_function is not None}
    cards = []
    for address in sorted({*reader.names(folder, optional=True)} - functions, key=address_key):
        device = os.path.join(folder, address)
        if address in offering or (reader.text(f"{device}/class", optional=True) or "").startswith(_DISPLAY_CLASS):
            function = examples.get(address)
            ids = _id_texts(host, address)
            function_ids = pci_ids(host, function) or None if function is not None else None
            cards.append(replace(_card(host, address, ids[0]), ids=_joined(ids) or None, function_ids=function_ids))
    return cards


def read_card(host: Host, address: str) -> Card:
    """One PCI device of any class. Values that it does not have are empty or None."""
    return _card(host, address, Reader().text(os.path.join(_folder(host, address), "vendor"), optional=True))


def _card(host: Host, address: str, vendor: Optional[str]) -> Card:
    device = _folder(host, address)
    reader = Reader()
    numa_node = reader.number(os.path.join(device, "numa_node"), optional=True)
    return Card(
        address=address,
        vendor=vendor or "",
        driver=reader.link_name(os.path.join(device, "driver")),
        is_vf=os.path.islink(os.path.join(device, "physfn")),
        vfs_enabled=reader.number(os.path.join(device, "sriov_numvfs"), optional=True),
        vfs_total=reader.number(os.path.join(device, "sriov_totalvfs"), optional=True),
        numa_node=numa_node if numa_node is not None and numa_node >= 0 else None,
    )


def pci_ids(host: Host, address: str) -> str:
    """What a PCI device is, as vendor:device:subsystem vendor:subsystem, without 0x. Empty if it can't be read.

    Source: kernel Documentation/ABI/testing/sysfs-bus-pci, lspci(8).
    """
    return _joined(_id_texts(host, address))


def _id_texts(host: Host, address: str) -> list[Optional[str]]:
    return [Reader().text(os.path.join(_folder(host, address), name), optional=True) for name in _ID_FILES]


def _joined(ids: Sequence[Optional[str]]) -> str:
    known = [text.removeprefix("0x").lower() for text in ids if text]
    return ":".join(known) if len(known) > 1 else ""


def _folder(host: Host, address: str) -> str:
    return os.path.join(host.sys, *_DEVICES, address)
