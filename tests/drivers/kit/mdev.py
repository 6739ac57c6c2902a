# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A parent of mediated devices as the kernel's mdev core shows it: the part that all drivers have in common.

Source: drivers/vfio/mdev/mdev_core.c and mdev_sysfs.c, Documentation/ABI/testing/sysfs-bus-vfio-mdev, and the
answers of the sample drivers on Linux 6.12.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.kit.kernel import Kernel, MdevDevice
from drivers.kit.nodes import Node, Nodes, below, line_file, link, refuse

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UUID_LENGTH = 36


@dataclass(frozen=True)
class MdevType:
    """A type that a parent offers. Some drivers have no name or no description for it."""

    id: str
    name: str | None = None
    description: str | None = None
    api: str = "vfio-pci"


class MdevParent:
    """One parent. A driver defines its types, their available instances, what it accepts and what it adds.

    address: the parent's name in sysfs; place: its path below /sys/devices; subsystem: its bus or class below /sys;
    driver: the driver it is bound to; device_driver: the driver that its mediated devices are bound to.
    """

    def __init__(self, address: str, place: str, subsystem: str, driver: str | None, device_driver: str) -> None:
        self.address = address
        self.folder = f"sys/devices/{place}"
        self.subsystem = f"sys/{subsystem}"
        self.driver = driver
        self.device_driver = device_driver
        self.kernel = Kernel(changed=lambda: None)

    # Implemented by the drivers.

    def types(self) -> Sequence[MdevType]:
        raise NotImplementedError

    def left(self, type_id: str) -> int:
        """The value of available_instances."""
        raise NotImplementedError

    def probe(self, type_id: str, uuid: str) -> None:
        """Accept a new device, or refuse it."""
        raise NotImplementedError

    def forget(self, device: MdevDevice) -> None:
        """Called after a device was removed."""

    def attributes(self, device: MdevDevice) -> Nodes:
        """Files that the driver adds to a device's folder."""
        return {}

    def around(self) -> Nodes:
        """Further nodes around the parent: files of its bus, its neighbors."""
        return {}

    # Done by the mdev core.

    def plug(self, kernel: Kernel) -> None:
        """Load the driver on this host."""
        self.kernel = kernel

    def devices(self) -> list[MdevDevice]:
        """The devices on this parent, also half removed ones: their instances stay taken."""
        return [device for device in self.kernel.devices.values() if device.parent == self.address]

    def nodes(self) -> Nodes:
        nodes = {
            **below(self.folder, {}),
            **link(f"sys/class/mdev_bus/{self.address}", self.folder),
            **below(self.subsystem, {}),
            **link(f"{self.folder}/subsystem", self.subsystem),
            **below(f"{self.folder}/mdev_supported_types", {}),
            **self.around(),
        }
        if self.driver is not None:
            nodes.update(link(f"{self.folder}/driver", f"{self.subsystem}/drivers/{self.driver}"))
        for mdev_type in self.types():
            nodes.update(self._type(mdev_type))
        for device in self.devices():
            nodes.update(self._device(device))
        return nodes

    def _type(self, mdev_type: MdevType) -> Nodes:
        optional = {"name": mdev_type.name, "description": mdev_type.description}
        return below(
            self._type_folder(mdev_type.id),
            {
                "device_api": line_file(mdev_type.api),
                "available_instances": Node(read=lambda: f"{self.left(mdev_type.id)}\n"),
                "create": Node(write=lambda text: self._create(mdev_type.id, text)),
                "devices": Node(),
                **{name: line_file(text) for name, text in optional.items() if text is not None},
            },
        )

    def _type_folder(self, type_id: str) -> str:
        return f"{self.folder}/mdev_supported_types/{type_id}"

    def _create(self, type_id: str, text: str) -> None:
        uuid = text[:_UUID_LENGTH].lower()
        # The kernel accepts a trailing newline, and any other single character.
        if len(text) > _UUID_LENGTH + 1 or _UUID.fullmatch(uuid) is None:
            refuse(errno.EINVAL)
        if uuid in self.kernel.devices:
            refuse(errno.EEXIST)
        self.probe(type_id, uuid)
        self.add(type_id, uuid)

    def add(self, type_id: str, uuid: str) -> None:
        """Add the device to the kernel."""
        self.kernel.devices[uuid] = MdevDevice(uuid, self.address, type_id, self.kernel.new_group())
        self.kernel.changed()

    def _device(self, device: MdevDevice) -> Nodes:
        folder = f"{self.folder}/{device.uuid}"
        nodes = {**below(folder, {}), **self.kernel.vfio(folder, device.uuid, device.group)}
        # The core removes the links first and then waits for the user.
        if device.removing:
            return nodes
        return {
            **nodes,
            **link(f"sys/bus/mdev/devices/{device.uuid}", folder),
            **link(f"{self._type_folder(device.type_id)}/devices/{device.uuid}", folder),
            **link(f"{folder}/mdev_type", self._type_folder(device.type_id)),
            **link(f"{folder}/subsystem", "sys/bus/mdev"),
            **link(f"{folder}/driver", f"sys/bus/mdev/drivers/{self.device_driver}"),
            f"{folder}/remove": Node(write=lambda text: self._remove(device, text)),
            **below(f"{folder}/vfio-dev", {f"vfio{device.group}": Node()}),
            **{f"{folder}/{name}": node for name, node in self.attributes(device).items()},
        }

    def _remove(self, device: MdevDevice, text: str) -> None:
        if not number(text):
            return
        device.removing = True
        self.kernel.changed()
        self.kernel.wait_for_user()
        self.kernel.devices.pop(device.uuid, None)
        self.forget(device)
        self.kernel.changed()


def number(text: str) -> int:
    """A number as the kernel parses it: decimal, hexadecimal or octal, one trailing newline (kstrtoul, base 0)."""
    digits = text.removesuffix("\n").removeprefix("+")
    try:
        if re.fullmatch(r"0[xX][0-9a-fA-F]+", digits):
            return int(digits, 16)
        if re.fullmatch(r"0[0-7]+", digits):
            return int(digits, 8)
        return int(digits) if digits.isascii() and digits.isdigit() else refuse(errno.EINVAL)
    except ValueError:
        refuse(errno.EINVAL)
