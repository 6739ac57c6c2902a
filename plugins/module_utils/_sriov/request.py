# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a card should be: its number of virtual functions, its MIG mode and GPU instances, and mixed sizes. Pure.

A request has two forms: the options of modules, and a word on the command line of the program at boot, such as
``0000:41:00.0=max,mixed_sizes=true`` or ``0000:41:00.0=16,mig=1g.5gb/1g.5gb,id=10de:20b0:10de:1450``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from .._model.addresses import pci_address, refuse_number
from .._model.errors import InvalidInput
from .._model.inventory import Vfs

MAX = "max"
AUTO_MIG = "auto"
# Names (1g.5gb+me) and ids (19) of GPU instance profiles.
_PROFILE = re.compile(r"[0-9A-Za-z.+-]+")
_IDS = re.compile(r"[0-9a-f]{4}(:[0-9a-f]{4}){1,3}")
_SERIAL = re.compile(r"[0-9A-Za-z._-]+")
_BETWEEN_PROFILES = "/"
_SWITCH = {"true": True, "false": False}


@dataclass(frozen=True)
class CardIdentity:
    """Which card it is. Empty texts: unknown.

    ids:    its PCI ids, as 10de:20b0:10de:1450, which all cards of a model have
    serial: its serial number, if its driver reports one
    """

    ids: str = ""
    serial: str = ""

    def is_other_model(self, other: CardIdentity) -> bool:
        """Whether it is certainly a card of another model."""
        return bool(self.ids and other.ids) and self.ids != other.ids

    def is_other_card(self, other: CardIdentity) -> bool:
        """Whether it is certainly another card."""
        return self.is_other_model(other) or (bool(self.serial and other.serial) and self.serial != other.serial)

    def places(self, known: Mapping[str, CardIdentity]) -> list[str]:
        """The addresses where this card is, or cards of its model if serial numbers are unknown."""
        return [
            place
            for place, other in known.items()
            if self.ids and other.ids == self.ids and not self.is_other_card(other)
        ]

    def __str__(self) -> str:
        return f"{self.ids} with serial number {self.serial}" if self.serial else self.ids


@dataclass(frozen=True)
class VfsRequest:
    """A card and what it should be.

    num_vfs:     the number of virtual functions; None for as many as the card can have
    mig:         the profiles of its GPU instances; empty: MIG mode off; None: as it is
    mig_auto:    whether the profiles should be derived from the devices that are wanted, which mig.py does
    mig_at_least: whether GPU instances beside these may stay
    mixed_sizes: whether its vGPUs can have several sizes; None: as it is
    identity:    the card that was declared
    """

    address: str
    num_vfs: Optional[int] = None
    mig: Optional[tuple[str, ...]] = None
    mig_auto: bool = False
    mig_at_least: bool = False
    mixed_sizes: Optional[bool] = None
    identity: CardIdentity = field(default_factory=CardIdentity)

    def on(self, vfs: Vfs) -> int:
        """The requested number for a card with these limits."""
        return vfs.total if self.num_vfs is None else self.num_vfs

    @property
    def has_modes(self) -> bool:
        """Whether it says anything about modes, which only the vendor's tool can read and set."""
        return self.mig is not None or self.mig_auto or self.mixed_sizes is not None

    def __str__(self) -> str:
        words = [f"{self.address}={MAX if self.num_vfs is None else self.num_vfs}"]
        if self.mig is not None:
            words.append(f"mig={_BETWEEN_PROFILES.join(self.mig)}")
        if self.mixed_sizes is not None:
            words.append(f"mixed_sizes={str(self.mixed_sizes).lower()}")
        identity = {"id": self.identity.ids, "serial": self.identity.serial}
        return ",".join([*words, *(f"{name}={value}" for name, value in identity.items() if value)])


def vfs_request(
    address: str,
    num_vfs: str = MAX,
    mig: Optional[Sequence[str]] = None,
    mixed_sizes: Optional[bool] = None,
) -> VfsRequest:
    """The request for one card, from its options."""
    refuse_number(address)
    canonical = pci_address(address.strip())
    if canonical is None:
        raise InvalidInput(
            f"'{address}' is not a PCI address. Give an address in the form 0000:41:00.0", address=address
        )
    if num_vfs.strip() != MAX and not num_vfs.strip().isdecimal():
        raise InvalidInput(
            f"num_vfs of card {canonical} is '{num_vfs}': it must be a whole number or '{MAX}'", num_vfs=num_vfs
        )
    number = None if num_vfs.strip() == MAX else int(num_vfs)
    is_auto = mig is not None and list(mig) == [AUTO_MIG]
    profiles = None if mig is None or is_auto else _profiles(canonical, mig)
    if mixed_sizes and (is_auto or profiles):
        # Source: NVML, nvmlDeviceSetVgpuHeterogeneousMode(): not supported in MIG mode.
        raise InvalidInput(
            f"card {canonical} can't have mixed_sizes and mig: in MIG mode, sizes are those of the GPU instances",
            card=canonical,
        )
    if number == 0 and (is_auto or profiles or mixed_sizes):
        raise InvalidInput(
            f"card {canonical} should have no virtual functions, so mig and mixed_sizes have no effect", card=canonical
        )
    return VfsRequest(canonical, number, profiles, mig_auto=is_auto, mixed_sizes=mixed_sizes)


def _profiles(address: str, mig: Sequence[str]) -> tuple[str, ...]:
    profiles = tuple(profile.removeprefix("MIG ").strip() for profile in mig)
    for profile in profiles:
        if profile == AUTO_MIG or _PROFILE.fullmatch(profile) is None:
            raise InvalidInput(
                f"mig of card {address} has '{profile}': give '{AUTO_MIG}' alone, or GPU instance profiles by name "
                "(1g.5gb) or id (19), as nvidia-smi mig -lgip lists them",
                card=address,
            )
    return profiles


def parse_request(word: str) -> VfsRequest:
    """The request from a word on the command line. At boot, GPU instances that exist already may stay."""
    first, *others = word.split(",")
    address, _equals, number = first.rpartition("=")
    options = dict(other.partition("=")[::2] for other in others)
    known = {"mig", "mixed_sizes", "id", "serial"}
    mixed = options.get("mixed_sizes")
    if set(options) - known or (mixed is not None and mixed not in _SWITCH):
        raise InvalidInput(
            f"'{word}' is not a card: give ADDRESS=NUMBER, and after commas mig, mixed_sizes, id and serial"
        )
    mig = options.get("mig")
    profiles = None if mig is None else [profile for profile in mig.split(_BETWEEN_PROFILES) if profile]
    request = vfs_request(address or number, number if address else "", profiles, _SWITCH.get(mixed or ""))
    identity = CardIdentity(options.get("id", ""), options.get("serial", ""))
    if identity.ids and _IDS.fullmatch(identity.ids) is None:
        raise InvalidInput(f"card {request.address}: '{identity.ids}' is not the PCI ids of a card")
    return replace(request, mig_at_least=bool(request.mig), identity=identity)


def known_identity(ids: str, serial: str) -> CardIdentity:
    """The identity of a card that was read. A serial number that can't be noted in a unit counts as unknown."""
    return CardIdentity(ids, serial if _SERIAL.fullmatch(serial) else "")


def vfs_requests(cards: Sequence[Mapping[str, Any]]) -> tuple[VfsRequest, ...]:
    """The requests from the options of modules."""
    requests = tuple(
        vfs_request(card["address"], card["num_vfs"], card.get("mig"), card.get("mixed_sizes")) for card in cards
    )
    refuse_twice(requests)
    return requests


def refuse_twice(requests: Sequence[VfsRequest]) -> None:
    """Refuse a card that is requested twice."""
    addresses = [request.address for request in requests]
    twice = sorted({address for address in addresses if addresses.count(address) > 1})
    if twice:
        raise InvalidInput(f"cards listed more than once: {', '.join(twice)}. List each card once", addresses=twice)
