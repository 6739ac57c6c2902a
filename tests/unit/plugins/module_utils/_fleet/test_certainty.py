# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver certainly accepts, on parents with several types and on cards with several functions."""

from __future__ import annotations

from typing import Optional

import pytest
from builders import device, inventory, mdev_type, parent

from ansible_collections.vfio.mdev.plugins.module_utils._fleet.certainty import uncertainty
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Inventory, Type
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest
from ansible_collections.vfio.mdev.plugins.module_utils._planning.planner import plan_devices

CARD = "0000:41:00.0"


def problem(here: Inventory, *types: str) -> str:
    """Why devices of these types may not fit."""
    requests = [
        DeviceRequest(f"{number:08x}-2222-3333-4444-555555555555", type=mdev_type, label=f"device {number}")
        for number, mdev_type in enumerate(types, start=1)
    ]
    return uncertainty(plan_devices(requests, here).steps, here)


def card(maximum: Optional[int], used: str = "") -> Inventory:
    """Four functions of a card for sizes 8 and 20; the first has a device. 20 is twice on the card at most."""
    description = f"max_instance={maximum}" if maximum else None
    types = (Type("t-8", "8", description, None, 1), Type("t-20", "20", "max_instance=2", None, 1))
    functions = [parent(f"0000:41:00.{number}", *types, physical_function=CARD) for number in range(4, 8)]
    existing = [device(on=functions[0].address, type_id=used)] if used else []
    free = functions[1:] if used else functions
    taken = [parent(functions[0].address, physical_function=CARD)] if used else []
    return inventory(*taken, *free, devices=existing)


@pytest.mark.parametrize(
    ("here", "types", "is_certain"),
    [
        # 5 units: t-1 costs one, t-2 up to 2.5, t-4 up to 5.
        (inventory(parent("p", mdev_type("t-1", 5), mdev_type("t-2", 2), mdev_type("t-4", 1))), ["t-2", "t-2"], True),
        (inventory(parent("p", mdev_type("t-1", 5), mdev_type("t-2", 2), mdev_type("t-4", 1))), ["t-4"], True),
        (inventory(parent("p", mdev_type("t-1", 5), mdev_type("t-2", 2), mdev_type("t-4", 1))), ["t-2", "t-4"], False),
        (card(5), ["t-8", "t-8", "t-8"], True),
        # A device of size 20 takes half of the card.
        (card(5, "t-20"), ["t-8", "t-8", "t-8"], False),
        # Only the first is certain.
        (card(None), ["t-8"], True),
        (card(None), ["t-8", "t-8"], False),
    ],
)
def test_devices_are_certain_if_their_shares_fit(here: Inventory, types: list[str], is_certain: bool) -> None:
    text = problem(here, *types)
    assert (not text) == is_certain, text
    assert is_certain or "together is not certain before some of them exist" in text
