# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One way to act on the devices of a framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .._host.definitions import DefinitionFiles
from .._model.errors import MdevError, Unexpected
from .._model.inventory import Attribute, Definition, Device, Parent
from .device_files import DeviceFiles


@dataclass(frozen=True)
class Backend:
    """One way to act. Each method completes its work, or raises an error and leaves nothing half done.

    By default, attributes are written to sysfs, and this collection writes the definition files.
    """

    device_files: DeviceFiles
    definitions: DefinitionFiles

    def available_instances(self, parent: Parent, type_id: str) -> Optional[int]:
        """How many devices of the type the parent has left now. None if it can't be read."""
        raise NotImplementedError

    def create(self, parent: Parent, type_id: str, key: str, attributes: tuple[Attribute, ...]) -> Device:
        """Creates a device and writes its attributes in order. When one fails, the device is removed again."""
        raise NotImplementedError

    def remove(self, device: Device) -> None:
        """Removes an unused device."""
        raise NotImplementedError

    def noted_attributes(self, device: Device) -> tuple[Attribute, ...]:
        """The attributes that a device without a definition was created with, if anything notes them."""
        return ()

    def write_attribute(self, device: Device, attribute: Attribute) -> None:
        """Writes an attribute of an active device."""
        self.device_files.write_attribute(device, attribute)

    def define(self, definition: Definition, before: Optional[Definition]) -> None:
        """Writes a definition. before: the definition that it replaces."""
        self.definitions.write(definition)

    def undefine(self, definition: Definition) -> None:
        """Removes a definition."""
        self.definitions.remove(definition)

    def set_attributes(self, device: Device, attributes: tuple[Attribute, ...]) -> None:
        """Writes a new device's attributes in order. When one fails, the device is removed again."""
        try:
            for attribute in attributes:
                self.write_attribute(device, attribute)
        except Exception as error:
            known = error if isinstance(error, MdevError) else Unexpected.from_exception(error)
            raise self._remove_again(device, known) from error

    def _remove_again(self, device: Device, error: MdevError) -> MdevError:
        """The error, with what became of the new device."""
        try:
            self.remove(device)
        except Exception as problem:
            text = f". NOT rolled back: the new {device.label} could not be removed again: {problem}"
            return error.extended(after=text, rolled_back=False)
        return error.extended(after=". The new device was removed again")
