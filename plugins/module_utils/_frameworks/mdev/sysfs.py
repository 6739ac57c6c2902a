# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Acting directly: the kernel through sysfs, definitions as files. No process is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ..._host.definitions import DefinitionFiles
from ..._model.errors import MdevError
from ..._model.inventory import Attribute, Definition, Device, Parent
from ..base import Backend
from .kernel import Kernel


@dataclass(frozen=True)
class DirectBackend:
    """The backend 'sysfs'."""

    kernel: Kernel
    files: DefinitionFiles

    def available_instances(self, parent: Parent, type_id: str) -> Optional[int]:
        """How many devices of the type the parent has left now. None where it can't be read."""
        return self.kernel.available_instances(parent, type_id)

    def create(self, parent: Parent, type_id: str, uuid: str, attributes: tuple[Attribute, ...]) -> Device:
        """Creates a device and writes its attributes in order. When one fails, the device is removed again."""
        device = self.kernel.create(parent, type_id, uuid)
        give_attributes(self, device, attributes)
        return device

    def remove(self, device: Device) -> None:
        """Removes an unused device."""
        self.kernel.remove(device)

    def write_attribute(self, device: Device, attribute: Attribute) -> None:
        """Writes an attribute of an active device."""
        self.kernel.write_attribute(device, attribute)

    def define(self, definition: Definition, before: Optional[Definition]) -> None:
        """Writes a definition, new or in place of the one before."""
        self.files.write(definition)

    def undefine(self, definition: Definition) -> None:
        """Removes a definition."""
        self.files.remove(definition)


def give_attributes(backend: Backend, device: Device, attributes: tuple[Attribute, ...]) -> None:
    """Writes a new device's attributes in order. When one fails, the device is removed again."""
    try:
        for attribute in attributes:
            backend.write_attribute(device, attribute)
    except MdevError as error:
        backend.remove(device)
        raise type(error)(f"{error.message}. The new device was removed again", **error.facts) from error
