# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's devices in numbers, from the result of mdev_info. Pure.

The fleet's page and files on the controller and the metrics on the host all count with these functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Use:
    """Devices in the kernel by their use. Half removed devices count: they still take an instance.

    unknown: nobody looked, or not all processes could be examined. Such a device is never idle
    """

    in_use: int = 0
    unknown: int = 0
    idle: int = 0

    @property
    def active(self) -> int:
        """All devices in the kernel."""
        return self.in_use + self.unknown + self.idle


@dataclass(frozen=True)
class TypeCounts:
    """A type on one host. inactive: devices that are defined only. room: None if no driver reports it."""

    id: str
    name: Optional[str]
    use: Use
    inactive: int
    defined: int
    room: Optional[int]


@dataclass(frozen=True)
class HostCounts:
    """A host. orphaned: active devices that nothing defines and nobody uses."""

    framework: str
    types: tuple[TypeCounts, ...]
    drifted: int
    orphaned: int
    half_removed: int
    broken_definitions: int
    unread: int


def counts_of(answer: Result) -> HostCounts:
    """The numbers of one host. answer: of mdev_info, with types, devices and users."""
    devices = answer["devices"]
    return HostCounts(
        framework=answer["framework"],
        types=tuple(type_counts(mdev_type, devices) for mdev_type in answer["types"]),
        drifted=sum(bool(device["drift"]) for device in devices),
        orphaned=sum(is_orphaned(device) for device in devices),
        half_removed=sum(bool(device["removing"]) for device in devices),
        broken_definitions=len(answer["broken_definitions"]),
        unread=len(answer["unread"]),
    )


def type_counts(mdev_type: Result, devices: Iterable[Result]) -> TypeCounts:
    """The numbers of one type among these devices of its host."""
    of_type = [device for device in devices if device["type"] == mdev_type["id"]]
    return TypeCounts(
        id=mdev_type["id"],
        name=mdev_type["name"],
        use=use_of(of_type),
        inactive=sum(not in_kernel(device) for device in of_type),
        defined=sum(bool(device["defined"]) for device in of_type),
        room=mdev_type["room"],
    )


def use_of(devices: Iterable[Result]) -> Use:
    """The use of these devices. Those that are only defined do not count."""
    uses = [device["in_use"] for device in devices if in_kernel(device)]
    return Use(in_use=uses.count(True), unknown=uses.count(None), idle=uses.count(False))


def in_kernel(device: Result) -> bool:
    """Whether the device takes an instance. A half removed device still does."""
    return bool(device["active"] or device["removing"])


def is_orphaned(device: Result) -> bool:
    """Whether the device is active, and nothing defines or uses it. Unknown use is not unused."""
    return bool(device["active"]) and not device["defined"] and device["in_use"] is False
