# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of a plan: steps, the devices that they are for, and the facts that are reported about them. Pure."""

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

    key: str
    choices: tuple[Choice, ...]
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True)
class RemoveDevice:
    """Remove an unused device from the kernel. may_stay: if it is in use by then, it stays, and this is no error."""

    device: Device
    may_stay: bool = False

    @property
    def key(self) -> str:
        """The device's key."""
        return self.device.key


@dataclass(frozen=True)
class WriteAttribute:
    """Change an attribute of an active device.

    may_wait: if the driver refuses, this is no error: the definition has the new value for the next start.
    """

    device: Device
    change: AttributeChange
    may_wait: bool = False

    @property
    def key(self) -> str:
        """The device's key."""
        return self.device.key


@dataclass(frozen=True)
class Define:
    """Write a new definition or replace the one before.

    follows: parent and type are taken from the device that this run creates.
    """

    definition: Definition
    before: Optional[Definition] = None
    follows: bool = False

    @property
    def key(self) -> str:
        """The device's key."""
        return self.definition.key


@dataclass(frozen=True)
class Undefine:
    """Remove a definition."""

    definition: Definition

    @property
    def key(self) -> str:
        """The device's key."""
        return self.definition.key


Step = Union[CreateDevice, RemoveDevice, WriteAttribute, Define, Undefine]


@dataclass(frozen=True)
class DevicePlan:
    """The plan for one device.

    key:       the key of its request
    removals:  steps that remove something. They run before any device is created, so that their capacity can be used
    additions: all other steps
    drift:     how the device differs from the request
    placement: how its parent was chosen, if it was
    kept:      the device that should be removed but stays because it is in use
    label:     the name of the request in messages
    """

    key: str
    removals: tuple[Step, ...] = ()
    additions: tuple[Step, ...] = ()
    before: State = NOWHERE
    after: State = NOWHERE
    drift: tuple[Drift, ...] = ()
    placement: Optional[Placement] = None
    kept: Optional[Device] = None
    label: str = ""


@dataclass(frozen=True)
class Plan:
    """The plans for all requested devices, in the order of the requests."""

    devices: tuple[DevicePlan, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in the order in which they run."""
        return tuple(self._steps())

    def _steps(self) -> Iterator[Step]:
        for planned in self.devices:
            yield from planned.removals
        for planned in self.devices:
            yield from planned.additions

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """Why other parents were passed over, for all devices whose parent was chosen."""
        return distinct(
            rejection for planned in self.devices if planned.placement for rejection in planned.placement.rejected
        )
