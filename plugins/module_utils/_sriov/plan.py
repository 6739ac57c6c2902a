# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans the steps that give cards the requested virtual functions (SR-IOV) and modes. Pure.

The kernel accepts a new number only if the current one is zero. So all functions of a card are removed first, with all
devices on them, and then the new ones are created (sriov_numvfs_store() in drivers/pci/iov.c). Modes are in modes.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional, Union

from .._frameworks.drivers import nvidia
from .._model.errors import HasDevices, InUse, InvalidInput, MdevError, NotFound, Problem, combine_errors
from .._model.inventory import User, Vfs
from .._model.refusals import users_text
from .modes import CardState, SetMode, after_functions, before_functions, changes_mig
from .request import MAX, CardIdentity, VfsRequest

AUTO = "auto"
SYSFS = "sysfs"
SRIOV_MANAGE = "sriov-manage"
BACKENDS = (AUTO, SYSFS, SRIOV_MANAGE)


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
    """A PCI card.

    vfs:       None without SR-IOV
    identity:  which card it is
    state:     its modes, None if nothing can report them; only read if the request says anything about modes
    occupants: only read if anything should change
    """

    address: str
    vendor: str = ""
    driver: Optional[str] = None
    vfs: Optional[Vfs] = None
    functions: tuple[str, ...] = ()
    identity: CardIdentity = field(default_factory=CardIdentity)
    state: Optional[CardState] = None
    occupants: tuple[Occupant, ...] = ()


@dataclass(frozen=True)
class Cards:
    """The requested cards that exist, and the identities of all cards with SR-IOV by address."""

    requested: tuple[SriovCard, ...] = ()
    with_sriov: Mapping[str, CardIdentity] = field(default_factory=dict)

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
    action: str = "set_vfs"


CardStep = Union[SetVfs, SetMode]


def plan_vfs(requests: Sequence[VfsRequest], cards: Cards, backend: str, has_manager: bool) -> tuple[CardStep, ...]:
    """The steps for all cards. The problems of all cards are one error. has_manager: whether sriov-manage exists."""
    steps: list[CardStep] = []
    problems: list[Problem] = []
    for request in requests:
        try:
            steps += _checked_steps(request, cards, backend, has_manager)
        except MdevError as error:
            problems.append(Problem(request.address, error))
    if problems:
        raise combine_errors(problems)
    return tuple(steps)


def card_steps(request: VfsRequest, card: SriovCard, vfs: Vfs, backend: str) -> list[CardStep]:
    """The steps for one card, in order: MIG mode can only change without functions, and these end all other modes."""
    num_vfs = request.on(vfs)
    mode_changes = changes_mig(request, card.state)
    goes_by_zero = vfs.enabled > 0 and (mode_changes or num_vfs != vfs.enabled)
    steps: list[CardStep] = []
    if goes_by_zero:
        steps.append(SetVfs(card.address, vfs.enabled, 0, backend))
    steps += before_functions(request, card.state, keeps_instances=not goes_by_zero)
    now = 0 if goes_by_zero else vfs.enabled
    if num_vfs != now:
        steps.append(SetVfs(card.address, now, num_vfs, backend))
    return [*steps, *after_functions(request, card.state, is_new=bool(steps))]


def limits(request: VfsRequest, card: SriovCard) -> Optional[Vfs]:
    """The card's numbers of functions. A card without SR-IOV has none, and can still have modes."""
    if card.vfs is None and request.has_modes and request.num_vfs is None:
        return Vfs(0, 0)
    return card.vfs


def _checked_steps(request: VfsRequest, cards: Cards, choice: str, has_manager: bool) -> list[CardStep]:
    card, vfs = _with_sriov(request, cards)
    _refuse_other_card(request, card, cards)
    num_vfs = request.on(vfs)
    if num_vfs != vfs.enabled and num_vfs > vfs.total:
        raise InvalidInput(
            f"{num_vfs} virtual functions are requested, but the card can have at most {vfs.total}",
            card=card.address,
            num_vfs=num_vfs,
            total=vfs.total,
        )
    _require_modes(request, card)
    steps = card_steps(request, card, vfs, _backend(choice, card, has_manager))
    partial = [step for step in steps if step.backend == SRIOV_MANAGE and step.after not in (0, vfs.total)]
    if partial:
        raise InvalidInput(
            f"{num_vfs} virtual functions are requested, but sriov-manage can only enable all {vfs.total}. "
            f"Request '{MAX}', or set backend to '{SYSFS}' if the driver supports fewer",
            card=card.address,
            num_vfs=num_vfs,
            total=vfs.total,
        )
    if steps:
        _refuse_occupied(card, vfs, num_vfs, steps)
    return steps


def _require_modes(request: VfsRequest, card: SriovCard) -> None:
    if request.has_modes and card.vendor != nvidia.PCI_VENDOR:
        raise InvalidInput(
            f"mig and mixed_sizes are modes of NVIDIA's cards, and card {card.address} is from vendor {card.vendor}",
            card=card.address,
        )
    if request.has_modes and card.state is None:
        raise NotFound(
            f"mig and mixed_sizes of card {card.address} need nvidia-smi, which is not installed. It is part of "
            "NVIDIA's vGPU driver. Nothing was changed",
            card=card.address,
        )
    if request.mixed_sizes and request.mig is None and card.state is not None and card.state.mig:
        raise InvalidInput(
            f"card {card.address} is in MIG mode, where mixed_sizes is not possible. Nothing was changed. Add mig: [] "
            "to turn MIG mode off, or remove mixed_sizes",
            card=card.address,
        )


def _refuse_other_card(request: VfsRequest, card: SriovCard, cards: Cards) -> None:
    """Refuses a card of another model than the one that was declared at this address."""
    if not request.identity.is_other_model(card.identity):
        return
    raise NotFound(
        f"another card is at this address: {card.identity}, but {request.identity} was declared"
        f"{_elsewhere(request, cards)}. Nothing was changed. Correct the addresses in the playbook and run it again",
        card=card.address,
        ids=card.identity.ids,
        declared_ids=request.identity.ids,
    )


def _elsewhere(request: VfsRequest, cards: Cards) -> str:
    places = request.identity.places(cards.with_sriov)
    return f". The declared card, or one of its model, is at {', '.join(places)}" if places else ""


def exchanged_text(request: VfsRequest, cards: Cards) -> str:
    """That another card of the same model is at the address, in words. It serves as well, so this is no error."""
    card = cards.card(request.address)
    if card is None or not request.identity.is_other_card(card.identity):
        return ""
    return (
        f"card {card.address}: another card of this model is at the address: {card.identity}, but {request.identity} "
        f"was declared{_elsewhere(request, cards)}. Run the playbook again to note it"
    )


def _with_sriov(request: VfsRequest, cards: Cards) -> tuple[SriovCard, Vfs]:
    card = cards.card(request.address)
    vfs = limits(request, card) if card is not None else None
    if card is not None and vfs is not None:
        return card, vfs
    known = ", ".join(cards.with_sriov) or "none"
    missing = (
        f"this host has no such PCI device{_elsewhere(request, cards)}"
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


def _change_text(steps: Sequence[CardStep], vfs: Vfs, num_vfs: int) -> str:
    """What the steps do, in words."""
    if num_vfs != vfs.enabled:
        return (
            f"changing the number of virtual functions from {vfs.enabled} to {num_vfs} removes all existing ones first"
        )
    changes = ", ".join(step.change_text for step in steps if isinstance(step, SetMode))
    return f"{changes} is only possible while the card has no device"


def _refuse_occupied(card: SriovCard, vfs: Vfs, num_vfs: int, steps: Sequence[CardStep]) -> None:
    held = [occupant for occupant in card.occupants if occupant.in_use]
    change = _change_text(steps, vfs, num_vfs)
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
            f"{change}, and with them: {names}. Nothing was changed. Remove these first, or request {vfs.enabled}"
            if num_vfs != vfs.enabled
            else f"{change}, and it has: {names}. Nothing was changed. Remove these first",
            card=card.address,
            devices=[occupant.name for occupant in card.occupants],
        )
