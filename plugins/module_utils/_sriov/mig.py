# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The GPU instances that wanted devices need (mig: auto). Pure.

Which profile a type needs, and how many of it fit in one GPU instance, are what nvidia-smi reports for the type
("GPU Instance Profile ID", "Max Instances Per GI"), also while MIG mode is off. The number of slices is also in the
type's name (A100-1-5C), but names are not taken apart. One GPU instance takes types of one framebuffer size
(bigstack-oss/cubecos #905, config_gpu.cpp).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from .._frameworks.drivers.nvidia_smi_text import VgpuType
from .._model.errors import NoRoom, NotFound
from .request import VfsRequest

# The GPU instances of one shape: the id of the profile, and the framebuffer of the types that share them.
_Shape = tuple[str, int]


@dataclass(frozen=True)
class WantedType:
    """Devices that will be created. parents: the only candidates, as given; empty for any."""

    type: str
    count: int
    parents: tuple[str, ...] = ()


def wanted_types(sets: Sequence[Mapping[str, Any]]) -> tuple[WantedType, ...]:
    """The devices of sets, with the arguments of vfio.mdev.mdev_set."""
    return tuple(wanted for device_set in sets for wanted in _of_set(device_set))


def _of_set(device_set: Mapping[str, Any]) -> Iterator[WantedType]:
    for entry in device_set.get("devices") or ():
        merged = {**device_set, **{name: value for name, value in entry.items() if value is not None}}
        if merged.get("state", "present") == "present" and merged.get("type"):
            parents = [merged["parent"]] if merged.get("parent") else merged.get("parents") or []
            yield WantedType(str(merged["type"]), int(entry.get("count") or 1), tuple(map(str, parents)))


def with_instances(
    requests: Sequence[VfsRequest],
    wanted: Sequence[WantedType],
    types: Mapping[str, Sequence[VgpuType]],
    functions: Mapping[str, str],
) -> tuple[VfsRequest, ...]:
    """The requests with the profiles of those that leave them to this. Cards are filled one after the other.

    GPU instances that nothing needs any more may stay: the devices on them are removed later, or belong to others.

    functions: the card of each virtual function
    """
    automatic = [request.address for request in requests if request.mig_auto]
    if not automatic:
        return tuple(requests)
    for address in automatic:
        if not types.get(address):
            raise NotFound(
                f"mig of card {address} is 'auto', but nvidia-smi lists no vGPU types of this card. Load NVIDIA's vGPU "
                "driver first, or list the GPU instance profiles",
                card=address,
            )
    cards = {address: _Card(address, types[address]) for address in automatic}
    for entry in wanted:
        _place(entry, cards, functions)
    return tuple(
        replace(request, mig=cards[request.address].profiles or None, mig_auto=False, mig_at_least=True)
        if request.mig_auto
        else request
        for request in requests
    )


def _place(entry: WantedType, cards: Mapping[str, _Card], functions: Mapping[str, str]) -> None:
    """Finds GPU instances for the devices of one entry. Types that do not need MIG are none of our concern."""
    named = {functions.get(parent, parent) for parent in entry.parents}
    candidates = [card for card in cards.values() if not named or card.address in named]
    backed = [card for card in candidates if card.type(entry.type) is not None]
    for index in range(entry.count if backed else 0):
        if not any(card.take(entry.type) for card in backed):
            raise NoRoom(
                f"mig: auto finds place for {index} of {entry.count} devices of type '{entry.type}' on "
                f"{', '.join(card.address for card in backed)}. Request fewer, or list the GPU instance profiles of "
                "each card",
                type=entry.type,
            )


class _Card:
    """One card, and the GPU instances that the devices so far need."""

    def __init__(self, address: str, types: Sequence[VgpuType]) -> None:
        self.address = address
        self._types = [mdev_type for mdev_type in types if mdev_type.profile is not None]
        self._counts: dict[_Shape, int] = {}
        self._capacity: dict[_Shape, int] = {}
        # In MiB: what all GPU instances together can hold.
        self._memory = max((_size(mdev_type) * _most(mdev_type) for mdev_type in self._types), default=0)

    def type(self, named: str) -> Optional[VgpuType]:
        """The type with this id or name, if it needs a GPU instance."""
        return next((mdev_type for mdev_type in self._types if mdev_type.is_named(named)), None)

    def take(self, named: str) -> bool:
        """Takes one more device of this type. Returns False if no more GPU instances fit."""
        mdev_type = self.type(named)
        if mdev_type is None:
            return False
        shape = (mdev_type.profile or "", mdev_type.framebuffer)
        count = self._counts.get(shape, 0) + 1
        if count > self._capacity.get(shape, 0) and not self._add_instance(shape, mdev_type):
            return False
        self._counts[shape] = count
        return True

    def _add_instance(self, shape: _Shape, mdev_type: VgpuType) -> bool:
        """Adds a GPU instance if the card may take it beside the others. In the end, the driver decides."""
        number = sum(self._instances(other) for other in self._capacity if other[0] == shape[0])
        used = sum(self._instances(other) * self._size_of(other) for other in self._capacity)
        if number + 1 > _most(mdev_type) or used + _size(mdev_type) > self._memory:
            return False
        self._capacity[shape] = self._capacity.get(shape, 0) + mdev_type.per_instance
        return True

    def _instances(self, shape: _Shape) -> int:
        return self._capacity[shape] // self._of(shape).per_instance

    def _size_of(self, shape: _Shape) -> int:
        return _size(self._of(shape))

    def _of(self, shape: _Shape) -> VgpuType:
        return next(mdev_type for mdev_type in self._types if (mdev_type.profile, mdev_type.framebuffer) == shape)

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles of all GPU instances, by id. Bigger ones first: small ones fill the remaining places."""
        shapes = sorted(self._capacity, key=lambda shape: (-self._size_of(shape), shape))
        return tuple(shape[0] for shape in shapes for _instance in range(self._instances(shape)))


def _size(mdev_type: VgpuType) -> int:
    """The memory of a GPU instance that holds this type, at least."""
    return mdev_type.framebuffer * mdev_type.per_instance


def _most(mdev_type: VgpuType) -> int:
    """How many GPU instances of its profile the card can have (config_gpu.cpp: verified for all types of a card)."""
    return mdev_type.maximum // mdev_type.per_instance
