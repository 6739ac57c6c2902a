# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The attributes of an active device before it is removed or recreated, so that a rollback can restore their values."""

from __future__ import annotations

import os

from .._model.inventory import Attribute, Device
from .device_files import DeviceFiles

# Folders of the driver core in a device's folder. All others hold the attributes of the device's driver.
_CORE_FOLDERS = frozenset({"power", "iommu", "msi_irqs"})


def current_attributes(
    device_files: DeviceFiles, device: Device, stored: tuple[Attribute, ...]
) -> tuple[Attribute, ...]:
    """The attributes with their current values. stored: those that it was started with, as far as this is known.

    Of those that can't be read, the stored values count.
    """
    if device.attributes:
        return device.attributes
    names = tuple(attribute.name for attribute in stored)
    live = {attribute.name: attribute for attribute in readable_attributes(device_files, device, names)}
    known = tuple(live.get(attribute.name, attribute) for attribute in stored)
    return (*known, *(attribute for name, attribute in live.items() if name not in names))


def readable_attributes(device_files: DeviceFiles, device: Device, names: tuple[str, ...]) -> tuple[Attribute, ...]:
    """The attributes of a device that can be read and set again, with their current values.

    The kernel reports the configuration of AP devices itself. Of others, which files configure the device can't be
    seen: these names, and the files that can be read and written in the folders of its driver.
    """
    if device.attributes:
        return device.attributes
    return tuple(
        Attribute(attribute.name, attribute.value)
        for attribute in device_files.live_attributes(device, (*names, *_in_folders(device)))
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
