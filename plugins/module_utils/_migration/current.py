# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The attributes of an active device before it is recreated, so that a rollback can restore their values."""

from __future__ import annotations

import os

from .._frameworks.device_files import DeviceFiles
from .._model.inventory import Attribute, Device, Inventory

# Folders of the driver core in a device's folder. All others hold the attributes of the device's driver.
_CORE_FOLDERS = frozenset({"power", "iommu", "msi_irqs"})


def current_attributes(
    device_files: DeviceFiles, device: Device, inventory: Inventory, names: tuple[str, ...]
) -> tuple[Attribute, ...]:
    """The current values of the attributes of a device. names: further attributes, if the device has them.

    The kernel reports the configuration of AP devices itself. For others, it can't be seen which files configure the
    device: those of its definition, and those that can be read and written in the folders of its driver.
    """
    if device.attributes:
        return device.attributes
    defined = [attribute.name for stored in inventory.definitions_of(device.key) for attribute in stored.attributes]
    live = device_files.live_attributes(device, (*defined, *names, *_in_folders(device)))
    return tuple(
        Attribute(attribute.name, attribute.value)
        for attribute in live
        if attribute.readable and attribute.writable and attribute.value is not None and "\n" not in attribute.value
    )


def _in_folders(device: Device) -> tuple[str, ...]:
    """The files in the folders of a mediated device. A virtual function has many that are not the vGPU's."""
    if device.framework.parent_is_device:
        return ()
    try:
        with os.scandir(device.path) as entries:
            folders = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return tuple(
            os.path.join(folder, name)
            for folder in folders
            if folder not in _CORE_FOLDERS
            for name in sorted(os.listdir(os.path.join(device.path, folder)))
            if os.path.isfile(os.path.join(device.path, folder, name))
        )
    except OSError:
        return ()
