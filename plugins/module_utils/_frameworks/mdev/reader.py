# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's view, read from sysfs: parents with their types, mediated devices on them.

Source: kernel Documentation/ABI/testing/sysfs-bus-vfio-mdev. Every file is opened once.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from typing import Optional

from ..._host.paths import Host
from ..._host.reader import Reader, is_gone
from ..._model.addresses import address_key, is_uuid
from ..._model.framework import Framework
from ..._model.inventory import Device, Hidden, Inventory, Parent, Type
from ..sysfs_devices import read_device, read_parent

# A device that is being created also lacks its links for a moment: look again before reporting it as half removed.
_SETTLE_TRIES = 5
_SETTLE_SECONDS = 0.02

_Texts = tuple[Optional[str], Optional[str], Optional[str]]


@dataclass(frozen=True)
class MdevReader:
    """Reads the parents and devices of one host. The reader notes the files that could not be read.

    texts: the descriptions of types that were read, by card and type
    """

    host: Host
    reader: Reader
    framework: Framework
    texts: dict[tuple[Optional[str], str], _Texts] = field(default_factory=dict)

    def inventory(self) -> Inventory:
        """All parents and devices."""
        parents: list[Parent] = []
        devices: list[Device] = []
        hidden: list[Hidden] = []
        for name in sorted(
            self._names(os.path.join(self.host.sys, "class", "mdev_bus"), None, hidden), key=address_key
        ):
            folder = self._parent_folder(name)
            if folder is None:
                continue
            entries = self._names(folder, name, hidden)
            bare = read_parent(self.reader, name, folder, entries, (), self.framework)
            parent = replace(bare, types=self._types(bare))
            parents.append(parent)
            uuids = sorted(entry for entry in entries if is_uuid(entry))
            on_parent = (read_mdev(self.reader, parent, uuid) for uuid in uuids)
            devices.extend(device for device in on_parent if device is not None)
        return Inventory(tuple(parents), tuple(devices), hidden=tuple(hidden))

    def _names(self, folder: str, parent: Optional[str], hidden: list[Hidden]) -> list[str]:
        """The names in a folder of parents or devices. hidden: gets the folder if it can't be read."""
        noted = len(self.reader.unread)
        names = self.reader.names(folder, optional=True)
        hidden.extend(Hidden(unread.path, unread.error, parent) for unread in self.reader.unread[noted:])
        return names

    def _parent_folder(self, name: str) -> Optional[str]:
        """The parent's folder in the device tree. A dangling link belongs to a parent that was removed meanwhile."""
        link = os.path.join(self.host.sys, "class", "mdev_bus", name)
        folder = os.path.realpath(link)
        if is_gone(folder):
            self.reader.note(link, FileNotFoundError(2, "gone"))
            return None
        return folder

    def _types(self, parent: Parent) -> tuple[Type, ...]:
        folder = os.path.join(parent.path, "mdev_supported_types")
        names = sorted(self.reader.names(folder), key=address_key)
        return tuple(self._type(f"{folder}/{name}", name, parent.physical_function) for name in names)

    def _type(self, folder: str, type_id: str, card: Optional[str]) -> Type:
        """One type. Only its number differs between the virtual functions of a card: a driver describes its types."""
        texts = self.texts.get((card, type_id)) or self._texts(folder)
        if card is not None and None not in texts:
            self.texts[card, type_id] = texts
        return Type(type_id, *texts, self.reader.number(f"{folder}/available_instances"))

    def _texts(self, folder: str) -> _Texts:
        """Name, description and device API."""
        # name and description are optional in the kernel's ABI: mtty has no description, GVT-g no name.
        return (
            self.reader.text(f"{folder}/name", optional=True),
            self.reader.text(f"{folder}/description", optional=True),
            self.reader.text(f"{folder}/device_api"),
        )


def read_mdev(reader: Reader, parent: Parent, uuid: str) -> Optional[Device]:
    """The device with this UUID on the parent. None if it does not exist."""
    folder = f"{parent.path}/{uuid}"
    type_id = reader.link_name(f"{folder}/mdev_type")
    if type_id is None:
        type_id = _settled_type(reader, folder)
    if type_id is None and _is_no_device(folder):
        return None
    device = read_device(reader, parent, uuid, type_id)
    rules = parent.framework.attribute_rules(device.device_api)
    if rules is None:
        return device
    texts = [reader.text(f"{folder}/{name}", optional=True) for name in rules.files]
    return replace(device, attributes=rules.reported(texts))


def _is_no_device(folder: str) -> bool:
    return is_gone(folder) or os.path.isfile(folder)


def _settled_type(reader: Reader, folder: str) -> Optional[str]:
    """The type of a device that has none yet, as soon as it appears. None if it does not, or if the device is gone."""
    for _attempt in range(_SETTLE_TRIES):
        time.sleep(_SETTLE_SECONDS)
        if _is_no_device(folder):
            return None
        type_id = reader.link_name(os.path.join(folder, "mdev_type"))
        if type_id is not None:
            return type_id
    return None
