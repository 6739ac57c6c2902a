# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many virtual functions (SR-IOV) cards are to have, and in which steps that is reached. Pure.

The kernel takes another number only from zero: all functions of a card go before new ones come, and with them all
that is on them (sriov_numvfs_store() in drivers/pci/iov.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from .._model.addresses import pci_address
from .._model.errors import HasDevices, InUse, InvalidInput, MdevError, NotFound, several, users_text
from .._model.inventory import User, Vfs

MAX = "max"
AUTO = "auto"
SYSFS = "sysfs"
SRIOV_MANAGE = "sriov-manage"
TOOLS = (AUTO, SYSFS, SRIOV_MANAGE)

_NVIDIA = "0x10de"


@dataclass(frozen=True)
class WantedVfs:
    """A card and its number of virtual functions. number is None for as many as the card can have."""

    address: str
    number: Optional[int] = None

    def on(self, vfs: Vfs) -> int:
        """The number on a card that can have so many."""
        return vfs.total if self.number is None else self.number

    def __str__(self) -> str:
        return f"{self.address}={MAX if self.number is None else self.number}"


@dataclass(frozen=True)
class Occupant:
    """What would go with a card's functions, in words. users is None where not all processes could be looked at."""

    name: str
    users: Optional[tuple[User, ...]] = ()

    @property
    def in_use(self) -> bool:
        """Whether somebody holds it, as far as one can be sure."""
        return self.users is None or bool(self.users)


@dataclass(frozen=True)
class SriovCard:
    """A PCI card. vfs is None without SR-IOV; occupants are looked for where the number is to change."""

    address: str
    vendor: str = ""
    driver: Optional[str] = None
    vfs: Optional[Vfs] = None
    functions: tuple[str, ...] = ()
    occupants: tuple[Occupant, ...] = ()


@dataclass(frozen=True)
class Cards:
    """The cards that are asked for, as far as they are there, and the addresses of all that have SR-IOV."""

    found: tuple[SriovCard, ...] = ()
    with_sriov: tuple[str, ...] = ()

    def card(self, address: str) -> Optional[SriovCard]:
        """The card with this address."""
        return next((one for one in self.found if one.address == address), None)


@dataclass(frozen=True)
class SetVfs:
    """Give a card another number of virtual functions, with a tool."""

    address: str
    before: int
    after: int
    tool: str


def wanted_vfs(address: str, number: str) -> WantedVfs:
    """What is asked for one card."""
    canonical = pci_address(address.strip())
    if canonical is None:
        raise InvalidInput(f"'{address}' is no PCI address: one like 0000:41:00.0 is wanted", address=address)
    if number.strip() == MAX:
        return WantedVfs(canonical)
    if not number.strip().isdecimal():
        raise InvalidInput(f"vfs of card {canonical} is '{number}': a number or '{MAX}' is wanted", vfs=number)
    return WantedVfs(canonical, int(number))


def check_once(wanted: Sequence[WantedVfs]) -> None:
    """Refuses a card that is asked for twice."""
    addresses = [one.address for one in wanted]
    twice = sorted({one for one in addresses if addresses.count(one) > 1})
    if twice:
        raise InvalidInput(f"listed more than once: {', '.join(twice)}", addresses=twice)


def plan_vfs(wanted: Sequence[WantedVfs], cards: Cards, tool: str, has_manager: bool) -> tuple[SetVfs, ...]:
    """The steps for all cards. What speaks against any of them is one error. has_manager: sriov-manage is there."""
    steps: list[SetVfs] = []
    problems: list[tuple[str, MdevError]] = []
    for one in wanted:
        try:
            steps += _steps(one, cards, tool, has_manager)
        except MdevError as error:
            problems.append((one.address, error))
    if problems:
        raise several(problems)
    return tuple(steps)


def _steps(wanted: WantedVfs, cards: Cards, asked: str, has_manager: bool) -> list[SetVfs]:
    card, vfs = _with_sriov(wanted, cards)
    number = wanted.on(vfs)
    if number == vfs.enabled:
        return []
    if number > vfs.total:
        raise InvalidInput(
            f"{number} virtual functions are asked for, and the card can have {vfs.total}",
            card=card.address,
            vfs=number,
            total=vfs.total,
        )
    tool = _tool(asked, card, has_manager)
    if tool == SRIOV_MANAGE and number not in (0, vfs.total):
        raise InvalidInput(
            f"{number} virtual functions are asked for, and sriov-manage only enables all {vfs.total}: "
            f"ask for '{MAX}', or set tool to '{SYSFS}' if the driver can do with fewer",
            card=card.address,
            vfs=number,
            total=vfs.total,
        )
    _refuse_occupied(card, vfs, number)
    numbers = [vfs.enabled, *([0] if vfs.enabled and number else []), number]
    return [SetVfs(card.address, before, after, tool) for before, after in zip(numbers, numbers[1:])]


def _with_sriov(wanted: WantedVfs, cards: Cards) -> tuple[SriovCard, Vfs]:
    card = cards.card(wanted.address)
    if card is not None and card.vfs is not None:
        return card, card.vfs
    known = ", ".join(cards.with_sriov) or "none"
    missing = "there is no such PCI device" if card is None else "the device has no SR-IOV, or is a virtual function"
    raise NotFound(
        f"{missing}. Devices with SR-IOV here: {known}. Where the card is missing there, see its firmware's "
        "settings for SR-IOV",
        card=wanted.address,
        cards=list(cards.with_sriov),
    )


def _tool(asked: str, card: SriovCard, has_manager: bool) -> str:
    if asked != AUTO:
        return asked
    return SRIOV_MANAGE if card.vendor == _NVIDIA and has_manager else SYSFS


def _refuse_occupied(card: SriovCard, vfs: Vfs, number: int) -> None:
    held = [one for one in card.occupants if one.in_use]
    change = f"to get from {vfs.enabled} to {number} virtual functions, all that the card has now would go"
    if held:
        names = "; ".join(f"{one.name}, used by {users_text(one.users)}" for one in held)
        raise InUse(
            f"{change}, and some is in use: {names}. Nothing was changed. Shut the guests down or detach it first",
            card=card.address,
            devices=[one.name for one in held],
        )
    if card.occupants:
        names = "; ".join(one.name for one in card.occupants)
        raise HasDevices(
            f"{change}, and with it: {names}. Nothing was changed. Remove that first, or ask for {vfs.enabled}",
            card=card.address,
            devices=[one.name for one in card.occupants],
        )
