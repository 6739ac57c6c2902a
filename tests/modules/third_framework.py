# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A framework that no kernel has: a queue of a card takes a profile, and is the device then. One file is all of it."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.backend import Backend
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.base import HostFramework
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.device_files import DeviceFiles
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.sysfs_devices import read_device, read_parent
from ansible_collections.vfio.mdev.plugins.module_utils._host.definitions import DefinitionFiles
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._host.reader import Reader
from ansible_collections.vfio.mdev.plugins.module_utils._model.framework import HOSTDEV_MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Attribute,
    Device,
    Inventory,
    Parent,
    Type,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest

FREE = "none"


class QueueFramework(HostFramework):
    """A queue's file 'profile' holds 'none', or a profile and the UUID of its device."""

    name, hostdev_type, hidden_types, explanation = "queues", HOSTDEV_MDEV, "", ""
    parent_is_device, needs_boot_unit = False, True

    def device_id(self, key: str, parent: str) -> str:
        return key

    def label(self, device_id: str) -> str:
        return f"queue {device_id}"

    def uuid(self, device_id: str) -> str:
        return device_id

    def device_path(self, parent_path: str, device_id: str) -> str:
        return parent_path

    def nodedev(self, device_id: str, parent: str) -> str:
        return f"queue_{parent}"

    def capacity_rules(self, parent: Parent) -> tuple[()]:
        return ()

    def capacity_doubts(self, parent: Parent) -> tuple[()]:
        return ()

    def attribute_rules(self, device_api: str | None) -> None:
        return None

    def match_existing(self, requests: object, inventory: Inventory) -> list[DeviceRequest]:
        return list(requests)  # type: ignore[call-overload,no-any-return]

    def read(self, host: Host, reader: Reader) -> Inventory:
        folder = os.path.join(host.sys, "bus", "queues", "devices")
        parents, devices = [], []
        for name in sorted(reader.names(folder, optional=True)):
            profile, _space, key = (reader.text(f"{folder}/{name}/profile") or FREE).partition(" ")
            types = tuple(Type(size, f"Queue {size}", None, "vfio-pci", int(not key)) for size in ("big", "small"))
            parents.append(read_parent(reader, name, f"{folder}/{name}", [], types, self))
            if key:
                devices.append(read_device(reader, parents[-1], key, profile))
        definitions, broken = DefinitionFiles(f"{host.definitions_path}.queues", self).read(reader)
        return Inventory(tuple(parents), tuple(devices), definitions, broken)

    def definition_folders(self, host: Host) -> tuple[str, ...]:
        return (f"{host.definitions_path}.queues",)


QUEUES = QueueFramework()


class QueueBackend(Backend):
    """Writes the file."""

    def available_instances(self, parent: Parent, type_id: str) -> int:
        return int(Path(parent.path, "profile").read_text().strip() == FREE)

    def create(self, parent: Parent, type_id: str, key: str, attributes: tuple[Attribute, ...]) -> Device:
        Path(parent.path, "profile").write_text(f"{type_id} {key}\n")
        return read_device(Reader(), parent, key, type_id)

    def remove(self, device: Device) -> None:
        Path(device.path, "profile").write_text(f"{FREE}\n")


def choose_queue_backend(_choice: str, files: DeviceFiles, _uri: str) -> QueueBackend:
    return QueueBackend(files, DefinitionFiles(f"{files.host.definitions_path}.queues", QUEUES))
