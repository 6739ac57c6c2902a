# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A device's two existences side by side, in the kernel and on disk, and where they disagree. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .addresses import address_key, device_nodedev, parent_nodedev
from .inventory import VENDOR_VFIO, Attribute, Definition, Device, Inventory, words_for


@dataclass(frozen=True)
class State:
    """A device in both existences; either may be missing."""

    device: Optional[Device] = None
    definition: Optional[Definition] = None

    @property
    def exists(self) -> bool:
        """Whether it is anywhere."""
        return self.device is not None or self.definition is not None

    @property
    def uuid(self) -> str:
        """The UUID, empty where there is nothing."""
        return self._either("uuid")

    @property
    def parent(self) -> str:
        """The parent's address; that of the active device where both exist."""
        return self._either("parent")

    @property
    def type_id(self) -> str:
        """The type's id; that of the active device where both exist. Empty for a half removed device."""
        return self._either("type_id")

    @property
    def framework(self) -> str:
        """How the device is made: as a mediated device, or in the vendor's own way."""
        return self._either("framework")

    @property
    def nodedev(self) -> str:
        """libvirt's name for the device. A virtual function with a vGPU is an ordinary PCI device to it."""
        if self.framework == VENDOR_VFIO:
            return parent_nodedev("pci", self.parent)
        return device_nodedev(self.uuid, self.parent)

    @property
    def words(self) -> str:
        """How messages call it."""
        return words_for(self.framework, self.uuid, self.parent)

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Those of the definition. The kernel mostly does not tell which attributes configure a device."""
        if self.definition is not None:
            return self.definition.attributes
        return self.device.attributes if self.device is not None else ()

    def _either(self, field: str) -> str:
        one = self.device if self.device is not None else self.definition
        return str(getattr(one, field) or "") if one is not None else ""


NOWHERE = State()


def states(inventory: Inventory) -> tuple[State, ...]:
    """All devices by parent and UUID. A definition and an active device are one where UUID and parent are the same."""
    definitions = {(one.parent, one.uuid): one for one in inventory.definitions}
    devices = {(one.parent, one.uuid): one for one in inventory.devices}
    keys = sorted(set(definitions) | set(devices), key=lambda key: (address_key(key[0]), key[1]))
    return tuple(State(devices.get(key), definitions.get(key)) for key in keys)
