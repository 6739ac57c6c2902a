# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verbs that every way to act has. Reading is always from the kernel and the definition files."""

from __future__ import annotations

from typing import Optional, Protocol

from .._model.inventory import Attribute, Definition, Device, Parent


class Backend(Protocol):
    """One way to act on a host. Each verb does its work whole or raises an error and leaves nothing half done."""

    def available_instances(self, parent: Parent, type_id: str) -> Optional[int]:
        """How many devices of the type the parent has left now. None where it can't be read."""

    def create(self, parent: Parent, type_id: str, uuid: str, attributes: tuple[Attribute, ...]) -> Device:
        """Creates a device and writes its attributes in order. When one fails, the device is removed again."""

    def remove(self, device: Device) -> None:
        """Removes an unused device."""

    def write_attribute(self, device: Device, attribute: Attribute) -> None:
        """Writes an attribute of an active device."""

    def define(self, definition: Definition, before: Optional[Definition]) -> None:
        """Writes a definition, new or in place of the one before."""

    def undefine(self, definition: Definition) -> None:
        """Removes a definition."""
