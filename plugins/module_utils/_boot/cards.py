# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notes in a unit of which cards it enables, which show that another card is at an address."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from .._host.paths import Host
from .._model.errors import InvalidInput
from .._sriov.cards import Sriov
from .._sriov.request import CardIdentity, VfsRequest
from .install import BootPlan
from .units import VFS_UNIT

# A card on the command line of the unit, with its PCI ids and its serial number.
_NOTED = re.compile(r" ([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])=\S*,id=([0-9a-f:]+)(?:,serial=(\S+))?")


def with_identities(host: Host, requests: Sequence[VfsRequest]) -> tuple[VfsRequest, ...]:
    """The requests with the identities of the cards that are there now."""
    for request in requests:
        if request.mig_auto:
            raise InvalidInput(
                f"mig of card {request.address} is 'auto', which is not possible at boot. Give the profiles, "
                "which mdev_vfs returns in boot_cards",
                card=request.address,
            )
    identities = Sriov(host, 0).identities([request.address for request in requests])
    return tuple(replace(request, identity=identities[request.address]) for request in requests)


def moved_cards(plan: BootPlan) -> list[str]:
    """A warning for each card that is another than the unit has noted."""
    change = next((change for change in plan.unit_files if os.path.basename(change.path) == VFS_UNIT), None)
    if change is None:
        return []
    before, after = _noted(change.before), _noted(change.after)
    return [
        f"another card is at {address} since the unit was written: {after[address]}, but it was {identity}"
        + _elsewhere(identity, after)
        for address, identity in before.items()
        if address in after and identity.is_other_card(after[address])
    ]


def _elsewhere(identity: CardIdentity, noted: dict[str, CardIdentity]) -> str:
    places = identity.places(noted)
    return f". That card, or one of its model, is now at {', '.join(places)}" if places else ""


def _noted(text: Optional[bytes]) -> dict[str, CardIdentity]:
    cards = _NOTED.findall((text or b"").decode("utf-8", "replace"))
    return {address: CardIdentity(ids, serial) for address, ids, serial in cards}
