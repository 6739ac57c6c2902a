# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans the steps that give cards the requested numbers of virtual functions (SR-IOV). Pure.

The kernel accepts a new number only if the current one is zero. So all functions of a card are removed first, with all
devices on them, and then the new ones are created (sriov_numvfs_store() in drivers/pci/iov.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from .._frameworks.drivers import nvidia
from .._model.addresses import pci_address, refuse_number
from .._model.errors import HasDevices, InUse, InvalidInput, MdevError, NotFound, Problem, combine_errors
from .._model.inventory import User, Vfs
from .._model.refusals import users_text

MAX = "max"
AUTO = "auto"
SYSFS = "sysfs"
SRIOV_MANAGE = "sriov-manage"
BACKENDS = (AUTO, SYSFS, SRIOV_MANAGE)


@dataclass(frozen=True)
class VfsRequest:
    """A card and the requested number of virtual functions. num_vfs: None for as many as the card can have."""

    address: str
    num_vfs: Optional[int] = None

    def on(self, vfs: Vfs) -> int:
        """The requested number for a card with these limits."""
        return vfs.total if self.num_vfs is None else self.num_vfs

    def __str__(self) -> str:
        return f"{self.address}={MAX if self.num_vfs is None else self.num_vfs}"


@dataclass(frozen=True)
class Occupant:
    """A device or function that would be removed with a card's functions.

    name:  as messages show it
    users: processes that hold it for a guest. None if some processes could not be checked
    host:  what the host itself does with it, in words
    """

    name: str
    users: Optional[tuple[User, ...]] = ()
    host: tuple[str, ...] = ()

    @property
    def in_use(self) -> bool:
        """Whether it is in use, or could be."""
        return self.users is None or bool(self.users or self.host)

    @property
    def use(self) -> str:
        """Who uses it, in words."""
        guests = (users_text(self.users),) if self.users else ()
        return ", ".join((*guests, *self.host))


@dataclass(frozen=True)
class SriovCard:
    """A PCI card. vfs: None without SR-IOV. occupants: only read if the number of functions should change."""

    address: str
    vendor: str = ""
    driver: Optional[str] = None
    vfs: Optional[Vfs] = None
    functions: tuple[str, ...] = ()
    occupants: tuple[Occupant, ...] = ()


@dataclass(frozen=True)
class Cards:
    """The requested cards that exist, and the addresses of all cards with SR-IOV."""

    requested: tuple[SriovCard, ...] = ()
    with_sriov: tuple[str, ...] = ()

    def card(self, address: str) -> Optional[SriovCard]:
        """The card with this address."""
        return next((card for card in self.requested if card.address == address), None)


@dataclass(frozen=True)
class SetVfs:
    """Give a card another number of virtual functions. backend: SYSFS or SRIOV_MANAGE."""

    address: str
    before: int
    after: int
    backend: str


def vfs_request(address: str, num_vfs: str) -> VfsRequest:
    """The request for one card, from its options."""
    refuse_number(address)
    canonical = pci_address(address.strip())
    if canonical is None:
        raise InvalidInput(
            f"'{address}' is not a PCI address. Give an address in the form 0000:41:00.0", address=address
        )
    if num_vfs.strip() == MAX:
        return VfsRequest(canonical)
    if not num_vfs.strip().isdecimal():
        raise InvalidInput(
            f"num_vfs of card {canonical} is '{num_vfs}': it must be a whole number or '{MAX}'", num_vfs=num_vfs
        )
    return VfsRequest(canonical, int(num_vfs))


def refuse_twice(requests: Sequence[VfsRequest]) -> None:
    """Refuse a card that is requested twice."""
    addresses = [request.address for request in requests]
    twice = sorted({address for address in addresses if addresses.count(address) > 1})
    if twice:
        raise InvalidInput(f"cards listed more than once: {', '.join(twice)}. List each card once", addresses=twice)


def plan_vfs(requests: Sequence[VfsRequest], cards: Cards, backend: str, has_manager: bool) -> tuple[SetVfs, ...]:
    """The steps for all cards. The problems of all cards are one error. has_manager: whether sriov-manage exists."""
    steps: list[SetVfs] = []
    problems: list[Problem] = []
    for request in requests:
        try:
            steps += _steps(request, cards, backend, has_manager)
        except MdevError as error:
            problems.append(Problem(request.address, error))
    if problems:
        raise combine_errors(problems)
    return tuple(steps)


def _steps(request: VfsRequest, cards: Cards, choice: str, has_manager: bool) -> list[SetVfs]:
    card, vfs = _with_sriov(request, cards)
    num_vfs = request.on(vfs)
    if num_vfs == vfs.enabled:
        return []
    if num_vfs > vfs.total:
        raise InvalidInput(
            f"{num_vfs} virtual functions are requested, but the card can have at most {vfs.total}",
            card=card.address,
            num_vfs=num_vfs,
            total=vfs.total,
        )
    backend = _backend(choice, card, has_manager)
    if backend == SRIOV_MANAGE and num_vfs not in (0, vfs.total):
        raise InvalidInput(
            f"{num_vfs} virtual functions are requested, but sriov-manage can only enable all {vfs.total}. "
            f"Request '{MAX}', or set backend to '{SYSFS}' if the driver supports fewer",
            card=card.address,
            num_vfs=num_vfs,
            total=vfs.total,
        )
    _refuse_occupied(card, vfs, num_vfs)
    numbers = [vfs.enabled, *([0] if vfs.enabled and num_vfs else []), num_vfs]
    return [SetVfs(card.address, before, after, backend) for before, after in zip(numbers, numbers[1:])]


def _with_sriov(request: VfsRequest, cards: Cards) -> tuple[SriovCard, Vfs]:
    card = cards.card(request.address)
    if card is not None and card.vfs is not None:
        return card, card.vfs
    known = ", ".join(cards.with_sriov) or "none"
    missing = (
        "this host has no such PCI device"
        if card is None
        else "the device does not support SR-IOV, or is a virtual function"
    )
    raise NotFound(
        f"{missing}. Devices with SR-IOV on this host: {known}. If the card is missing from this list, check the "
        "SR-IOV settings of its firmware",
        card=request.address,
        cards=list(cards.with_sriov),
    )


def _backend(choice: str, card: SriovCard, has_manager: bool) -> str:
    if choice != AUTO:
        return choice
    return SRIOV_MANAGE if card.vendor == nvidia.PCI_VENDOR and has_manager else SYSFS


def _refuse_occupied(card: SriovCard, vfs: Vfs, num_vfs: int) -> None:
    held = [occupant for occupant in card.occupants if occupant.in_use]
    change = f"changing the number of virtual functions from {vfs.enabled} to {num_vfs} removes all existing ones first"
    if held:
        known = [occupant for occupant in held if occupant.users or occupant.host]
        names = "; ".join(f"{occupant.name}, used by {occupant.use}" for occupant in known)
        unknown = ", ".join(occupant.name for occupant in held if occupant not in known)
        texts = [f"in use: {names}"] if known else []
        if unknown:
            texts.append(
                f"it is unknown whether these are in use: {unknown}. Some processes in /proc could not be examined: "
                "run as root, on the host itself or with its /proc"
            )
        raise InUse(
            f"{change}; {'; '.join(texts)}. Nothing was changed. "
            "Shut down the guests, and end other uses or detach the devices first",
            card=card.address,
            devices=[occupant.name for occupant in held],
        )
    if card.occupants:
        names = "; ".join(occupant.name for occupant in card.occupants)
        raise HasDevices(
            f"{change}, and with them: {names}. Nothing was changed. Remove these first, or request {vfs.enabled}",
            card=card.address,
            devices=[occupant.name for occupant in card.occupants],
        )
