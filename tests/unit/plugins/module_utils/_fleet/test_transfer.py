# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory that was carried as plain data gives the same plan."""

from __future__ import annotations

import json
from dataclasses import replace

from builders import GUEST, OTHER, UUID, define, device, inventory, mdev_type, parent

from ansible_collections.vfio.mdev.plugins.module_utils._fleet.transfer import (
    inventory_data,
    inventory_of,
    request_data,
    request_of,
)
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Attribute, BrokenDefinition
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest
from ansible_collections.vfio.mdev.plugins.module_utils._planning.planner import plan_devices

FOUR, FIVE, SIX = (f"0000:41:00.{number}" for number in "456")
TYPES = (mdev_type("t-1", 2), mdev_type("t-2", None))
FULL = replace(
    inventory(
        parent(FOUR, *TYPES, driver="nvidia", numa_node=1, physical_function="0000:41:00.0"),
        parent(FIVE, *TYPES),
        parent(SIX, mdev_type("t-3", 1), framework=VENDOR_VFIO),
        devices=[
            device(UUID, FOUR, users=(GUEST,)),
            device(OTHER, FIVE, None, removing=True, users=None),
            device("33333333-2222-3333-4444-555555555555", SIX, "t-3", VENDOR_VFIO),
        ],
        definitions=[define(UUID, FOUR, attributes=(Attribute("a", "1"),), autostart=True)],
    ),
    broken=(BrokenDefinition("/etc/x", "it is empty", UUID),),
)


def test_an_inventory_comes_back_as_it_was_as_far_as_it_is_carried() -> None:
    data = json.loads(json.dumps(inventory_data(FULL)))
    back = inventory_of(data)
    assert inventory_data(back) == data
    assert [offering.types for offering in back.parents] == [offering.types for offering in FULL.parents]
    assert [offering.card for offering in back.parents] == ["0000:41:00.0", FIVE, SIX]
    assert [device.framework for device in back.devices] == [device.framework for device in FULL.devices]
    assert [device.users for device in back.devices] == [device.users for device in FULL.devices]
    assert (list(back.broken), list(back.definitions)) == (list(FULL.broken), list(FULL.definitions))


def test_equal_offers_are_carried_once() -> None:
    functions = [parent(f"0000:41:{n // 8:02x}.{n % 8}", *TYPES) for n in range(100)]
    assert len(inventory_data(inventory(*functions))["offers"]) == 1


def test_a_request_gives_the_same_plan() -> None:
    request = DeviceRequest(
        OTHER, type="t-1", parents=(FIVE,), excluded=(FOUR,), attributes=(Attribute("a", "1"),), label="guest web"
    )
    assert request_of(json.loads(json.dumps(request_data(request)))) == request
    plain = replace(request, attributes=None)
    assert request_of(json.loads(json.dumps(request_data(plain)))) == plain
    here = inventory(parent(FOUR, *TYPES), parent(FIVE, *TYPES))
    [there] = plan_devices([request], inventory_of(inventory_data(here))).devices
    assert there.placement is not None or there.additions
    assert there.after.parent == FIVE
