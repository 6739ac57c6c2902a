# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan is made of: steps, the devices that they are for, and what is told about them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional, Union

from .._model.device_state import NOWHERE, State
from .._model.inventory import Attribute, AttributeChange, Definition, Device, Drift
from .placement import Choice, Placement, Rejection, distinct


@dataclass(frozen=True)
class CreateDevice:
    """Create a device on the first of the choices that takes it, with its attributes in order."""

    uuid: str
    choices: tuple[Choice, ...]
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True)
class RemoveDevice:
    """Remove an unused device from the kernel. may_stay: one that is used by now is left alone instead of an error."""

    device: Device
    may_stay: bool = False

    @property
    def uuid(self) -> str:
        """Of which device."""
        return self.device.uuid


@dataclass(frozen=True)
class WriteAttribute:
    """Change an attribute of an active device.

    may_wait: when the driver refuses, the definition has the new value, and it takes effect at the next start.
    """

    device: Device
    change: AttributeChange
    may_wait: bool = False

    @property
    def uuid(self) -> str:
        """Of which device."""
        return self.device.uuid


@dataclass(frozen=True)
class Define:
    """Write a definition, new or in place of the one before.

    follows: the parent and type are those that this run's CreateDevice ends up with.
    """

    definition: Definition
    before: Optional[Definition] = None
    follows: bool = False

    @property
    def uuid(self) -> str:
        """Of which device."""
        return self.definition.uuid


@dataclass(frozen=True)
class Undefine:
    """Remove a definition."""

    definition: Definition

    @property
    def uuid(self) -> str:
        """Of which device."""
        return self.definition.uuid


Step = Union[CreateDevice, RemoveDevice, WriteAttribute, Define, Undefine]


@dataclass(frozen=True)
class DevicePlan:
    """What becomes of one device.

    going:     steps that take something away, done before any device is created, so that its room can be used
    coming:    all others
    drift:     what is not as wanted
    placement: how its parent was chosen, where it was
    left:      the device that was to go and stays, since it is in use
    label:     what the operator calls it
    """

    uuid: str
    going: tuple[Step, ...] = ()
    coming: tuple[Step, ...] = ()
    before: State = NOWHERE
    after: State = NOWHERE
    drift: tuple[Drift, ...] = ()
    placement: Optional[Placement] = None
    left: Optional[Device] = None
    label: str = ""


@dataclass(frozen=True)
class Plan:
    """All devices of a request, in its order."""

    devices: tuple[DevicePlan, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """What to do, in order."""
        return tuple(self._steps())

    def _steps(self) -> Iterator[Step]:
        for one in self.devices:
            yield from one.going
        for one in self.devices:
            yield from one.coming

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """Why other parents were passed over, where parents were chosen."""
        return distinct(each for one in self.devices if one.placement for each in one.placement.rejected)
