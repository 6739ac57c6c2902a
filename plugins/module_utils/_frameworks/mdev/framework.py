# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mediated devices: the kernel's mdev bus (Documentation/driver-api/vfio-mediated-device.rst)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from ..._host.definitions import DefinitionFiles
from ..._host.paths import Host
from ..._host.reader import Reader
from ..._model.addresses import device_nodedev
from ..._model.framework import HOSTDEV_MDEV, AttributeRules, CapacityRule
from ..._model.inventory import Inventory, Parent, Type
from ..._model.request import DeviceRequest
from ..base import HostFramework
from .reader import MdevReader

# device_api of s390 AP devices (vfio_ap).
_AP_API = "vfio-ap"
_NVIDIA = "nvidia"


class MdevFramework(HostFramework):
    """Each device has a UUID, a folder below its parent, and is a node device to libvirt."""

    name = "mdev"
    hostdev_type = HOSTDEV_MDEV
    parent_is_device = False
    hidden_types = ""
    needs_boot_unit = False
    explanation = ""

    def device_id(self, key: str, parent: str) -> str:
        """The UUID, which is also the key that requests find it by."""
        return key

    def label(self, device_id: str) -> str:
        """How messages call a device."""
        return f"device {device_id}"

    def uuid(self, device_id: str) -> Optional[str]:
        """The device's UUID."""
        return device_id

    def device_path(self, parent_path: str, device_id: str) -> str:
        """The device's folder in sysfs."""
        return f"{parent_path}/{device_id}"

    def nodedev(self, device_id: str, parent: str) -> str:
        """libvirt's name for the device."""
        return device_nodedev(device_id, parent)

    def capacity_rules(self, parent: Parent) -> tuple[CapacityRule, ...]:
        """The rules of the parent's driver."""
        if parent.driver != _NVIDIA:
            return ()
        # Imported here so that modules that only read don't load it.
        from ..drivers import nvidia

        return (nvidia.max_instance, nvidia.equal_sizes_only, nvidia.one_device_per_function)

    def capacity_doubts(self, parent: Parent) -> tuple[CapacityRule, ...]:
        """The rules that a mode of the parent's card can switch off, which can't always be read."""
        if parent.driver != _NVIDIA:
            return ()
        from ..drivers import nvidia

        return (nvidia.one_size_per_card,)

    def is_limited(self, mdev_type: Type) -> bool:
        """Not for AP devices: their number is that of the driver's table (MAX_ZDEV_ENTRIES_EXT in vfio_ap_ops.c)."""
        return mdev_type.device_api != _AP_API

    def attribute_rules(self, device_api: Optional[str]) -> Optional[AttributeRules]:
        """Those of AP devices."""
        if device_api != _AP_API:
            return None
        # Imported here so that hosts of other architectures don't load it.
        from ..drivers.ap_matrix import MATRIX_RULES

        return MATRIX_RULES

    def match_existing(self, requests: Sequence[DeviceRequest], inventory: Inventory) -> list[DeviceRequest]:
        """The requests as they are: a UUID is the only name that a device has."""
        return list(requests)

    def read(self, host: Host, reader: Reader) -> Inventory:
        """The parents and devices in sysfs, and mdevctl's definitions."""
        inventory = MdevReader(host, reader, self).inventory()
        definitions, broken = DefinitionFiles(host.definitions_path, self).read(reader)
        return replace(inventory, definitions=definitions, broken=broken)

    def definition_folders(self, host: Host) -> tuple[str, ...]:
        """The folder of mdevctl."""
        return (host.definitions_path,)


MDEV = MdevFramework()
