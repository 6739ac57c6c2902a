# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vGPUs on virtual functions, in NVIDIA's vendor VFIO framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ..._host.paths import Host
from ..._host.reader import Reader
from ..._model.addresses import parent_nodedev
from ..._model.framework import HOSTDEV_PCI, AttributeRules, CapacityRule
from ..._model.inventory import Inventory, Parent
from ..._model.request import DeviceRequest
from ..base import HostFramework
from .reader import VendorVfioReader, definition_files, forget_stale_notes, note_files
from .rules import NAME, match_functions


class VendorVfioFramework(HostFramework):
    """A parent is a virtual function. Its device is the vGPU that is set on it, and is identified by the function."""

    name = NAME
    hostdev_type = HOSTDEV_PCI
    parent_is_device = True
    hidden_types = (
        "NVIDIA's driver hides the types that a card has no memory for, and those of another size than its vGPUs have: "
        "remove vGPUs of the card first to see all"
    )
    needs_boot_unit = True
    explanation = (
        "This kernel has no mediated devices for these cards: NVIDIA's driver uses its own VFIO framework here. "
        "A vGPU has no UUID, and mdevctl does not see it. Guests get its virtual function as "
        "<hostdev type='pci' managed='no'>"
    )

    def device_id(self, key: str, parent: str) -> str:
        """The function."""
        return parent

    def label(self, device_id: str) -> str:
        """How messages call a vGPU."""
        return "vGPU"

    def uuid(self, device_id: str) -> Optional[str]:
        """A vGPU has none."""
        return None

    def device_path(self, parent_path: str, device_id: str) -> str:
        """The function's folder in sysfs."""
        return parent_path

    def nodedev(self, device_id: str, parent: str) -> str:
        """libvirt's name for the function."""
        return parent_nodedev("pci", parent)

    def capacity_rules(self, parent: Parent) -> tuple[CapacityRule, ...]:
        """Sizes are known if nvidia-smi reports them."""
        # Imported here so that modules that only read don't load it.
        from ..drivers import nvidia

        return (nvidia.max_instance, nvidia.equal_sizes_only, nvidia.one_device_per_function)

    def capacity_doubts(self, parent: Parent) -> tuple[CapacityRule, ...]:
        """The rules that a mode of the card can switch off, as far as sizes are known."""
        from ..drivers import nvidia

        return (nvidia.one_size_per_card,)

    def attribute_rules(self, device_api: Optional[str]) -> Optional[AttributeRules]:
        """All attributes are read as they are written."""
        return None

    def match_existing(self, requests: Sequence[DeviceRequest], inventory: Inventory) -> list[DeviceRequest]:
        """Requests that name one function mean the vGPU on it."""
        return match_functions(requests, inventory)

    def read(self, host: Host, reader: Reader) -> Inventory:
        """The functions as parents, the vGPUs on them as devices, and the definitions."""
        return VendorVfioReader(host, reader, self).inventory()

    def definition_folders(self, host: Host) -> tuple[str, ...]:
        """Of definitions, and of notes."""
        return (definition_files(host, self).folder, note_files(host, self).folder)

    def forget_stale(self, host: Host) -> None:
        """The notes of vGPUs."""
        forget_stale_notes(host, self)


VENDOR_VFIO = VendorVfioFramework()
