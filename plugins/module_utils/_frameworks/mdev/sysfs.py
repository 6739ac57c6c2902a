# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Acting directly, through sysfs and definition files. No process is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ..._model.inventory import Attribute, Device, Parent
from ..backend import Backend
from .kernel import MdevKernel


@dataclass(frozen=True)
class SysfsBackend(Backend):
    """The backend 'sysfs'."""

    @property
    def kernel(self) -> MdevKernel:
        """Creates and removes devices."""
        return MdevKernel(self.device_files)

    def available_instances(self, parent: Parent, type_id: str) -> Optional[int]:
        """How many devices of the type the parent has left now. None if it can't be read."""
        return self.kernel.available_instances(parent, type_id)

    def create(self, parent: Parent, type_id: str, key: str, attributes: tuple[Attribute, ...]) -> Device:
        """Creates a device and writes its attributes in order. When one fails, the device is removed again."""
        device = self.kernel.create(parent, type_id, key)
        self.set_attributes(device, attributes)
        return device

    def remove(self, device: Device) -> None:
        """Removes an unused device."""
        self.kernel.remove(device)
