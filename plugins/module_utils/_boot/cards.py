# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The PCI ids of the cards that a unit enables, which show that another card is at an address."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from .._host.paths import Host
from .._host.pci import pci_ids
from .._model.errors import InvalidInput
from .._sriov.request import VfsRequest
from .install import BootPlan
from .units import VFS_UNIT

# A card on the command line of the unit, with its ids.
_NOTED = re.compile(r" ([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])=\S*,id=([0-9a-f:]+)")


def with_ids(host: Host, requests: Sequence[VfsRequest]) -> tuple[VfsRequest, ...]:
    """The requests with the ids of the cards that are there now."""
    for request in requests:
        if request.mig_auto:
            raise InvalidInput(
                f"mig of card {request.address} is 'auto', which is not possible at boot. Give the profiles, "
                "which mdev_vfs returns in boot_cards",
                card=request.address,
            )
    return tuple(replace(request, ids=pci_ids(host, request.address)) for request in requests)


def moved_cards(plan: BootPlan) -> list[str]:
    """A warning for each card whose noted ids change."""
    change = next((change for change in plan.unit_files if os.path.basename(change.path) == VFS_UNIT), None)
    if change is None:
        return []
    before, after = _noted(change.before), _noted(change.after)
    return [
        f"another card is at {address} since the unit was written: {after[address]}, but it was {ids}"
        + _elsewhere(address, ids, after)
        for address, ids in before.items()
        if address in after and after[address] != ids
    ]


def _elsewhere(address: str, ids: str, noted: dict[str, str]) -> str:
    places = [other for other, other_ids in noted.items() if other_ids == ids and other != address]
    return f". Cards with the old ids are now at {', '.join(places)}" if places else ""


def _noted(text: Optional[bytes]) -> dict[str, str]:
    return dict(_NOTED.findall((text or b"").decode("utf-8", "replace")))
