# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two halves of a device side by side: the active one in the kernel and its definition on disk. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

from .addresses import address_key
from .framework import Framework
from .inventory import Attribute, Definition, Device, Inventory


@dataclass(frozen=True)
class State:
    """A device: its active half and its definition. Either may be missing."""

    device: Optional[Device] = None
    definition: Optional[Definition] = None

    @property
    def exists(self) -> bool:
        """Whether it is active or defined."""
        return self.device is not None or self.definition is not None

    @property
    def id(self) -> str:
        """The id of the device on the host. Empty if it is neither active nor defined."""
        return self._either("id")

    @property
    def uuid(self) -> Optional[str]:
        """The UUID. None for a vGPU on a virtual function."""
        return self.framework.uuid(self.id)

    @property
    def parent(self) -> str:
        """The parent's address; that of the active device if both exist."""
        return self._either("parent")

    @property
    def type_id(self) -> str:
        """The type's id; that of the active device if both exist. Empty for a half removed device."""
        return self._either("type_id")

    @property
    def framework(self) -> Framework:
        """The framework of the device, which must exist."""
        half = self._half
        if half is None:
            raise LookupError("a device that is neither active nor defined has no framework")
        return half.framework

    @property
    def nodedev(self) -> str:
        """libvirt's name for the device."""
        return self.framework.nodedev(self.id, self.parent)

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Those of the definition if there is one: for most devices the kernel does not report their configuration."""
        if self.definition is not None:
            return self.definition.attributes
        return self.device.attributes if self.device is not None else ()

    @property
    def _half(self) -> Union[Device, Definition, None]:
        return self.device if self.device is not None else self.definition

    def _either(self, field: str) -> str:
        return str(getattr(self._half, field, None) or "")


NOWHERE = State()


def states(inventory: Inventory) -> tuple[State, ...]:
    """All devices by parent and id. A definition and an active device belong together if both are the same."""
    definitions = {(definition.parent, definition.id): definition for definition in inventory.definitions}
    devices = {(device.parent, device.id): device for device in inventory.devices}
    keys = sorted(set(definitions) | set(devices), key=lambda key: (address_key(key[0]), key[1]))
    return tuple(State(devices.get(key), definitions.get(key)) for key in keys)
