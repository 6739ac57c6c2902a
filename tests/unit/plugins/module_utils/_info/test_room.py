# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The room of a type is what the real planner can place there, and one more is refused."""

from __future__ import annotations

from typing import Optional

import pytest
from builders import device, inventory, parent
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.framework import MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._info.cards import SlicedCard, cards_of
from ansible_collections.vfio.mdev.plugins.module_utils._info.room import add_room
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import NoRoom
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Hardware, Inventory, Parent, Type
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest
from ansible_collections.vfio.mdev.plugins.module_utils._planning.planner import plan_devices

SIZES = {"t-4": (4, 5), "t-8": (8, 3), "t-8q": (8, 3), "t-40": (40, 1)}


def offered(type_id: str, left: Optional[int]) -> Type:
    size, most = SIZES[type_id]
    return Type(type_id, f"NVIDIA {type_id}", f"framebuffer={size}M, max_instance={most}", "vfio-pci", left)


def function(number: int, *types: Type) -> Parent:
    return parent(f"0000:41:00.{number}", *types, driver="nvidia", physical_function="0000:41:00.0")


def cards(host: Inventory) -> tuple[SlicedCard, ...]:
    return cards_of(host, Hardware(), host.parents, ())


def room(host: Inventory, type_id: str) -> Optional[int]:
    return add_room([(card.room or {}).get(type_id) for card in cards(host)])


def fits(host: Inventory, type_id: str, count: int) -> bool:
    keys = [f"00000000-0000-4000-8000-{number:012x}" for number in range(count)]
    try:
        plan_devices([DeviceRequest(key=key, type=type_id, persistent=False, autostart=False) for key in keys], host)
    except NoRoom:
        return False
    return True


@st.composite
def parents(draw: st.DrawFn) -> list[Parent]:
    found: list[Parent] = []
    for card in range(draw(st.integers(1, 3))):
        physical = f"0000:4{card}:00.0"
        functions = draw(st.integers(0, 6))
        addresses = [f"0000:4{card}:00.{number}" for number in range(1, functions + 1)] or [physical]
        for address in addresses:
            most = st.none() | st.integers(0, 1 if functions else 6)
            found.append(
                parent(
                    address,
                    *(offered(type_id, draw(most)) for type_id in SIZES),
                    driver=draw(st.sampled_from(["nvidia", "nvidia", "other"])),
                    physical_function=physical if functions else None,
                    framework=draw(st.sampled_from([MDEV, VENDOR_VFIO])) if functions else MDEV,
                )
            )
    return found


@given(st.data())
def test_room_is_what_the_planner_places(data: st.DataObject) -> None:
    found = data.draw(parents())
    holders = data.draw(st.lists(st.sampled_from(found), unique_by=lambda holder: holder.address, max_size=4))
    devices = tuple(
        device(
            f"{number:08d}-2222-3333-4444-555555555555",
            holder.address,
            data.draw(st.sampled_from([*SIZES, None])),
            framework=holder.framework,
        )
        for number, holder in enumerate(holders)
    )
    host = inventory(*found, devices=devices)
    for type_id in SIZES:
        count = room(host, type_id)
        assert fits(host, type_id, count or 0)
        assert not fits(host, type_id, (count or 0) + 1)


def test_a_card_with_one_place_left_has_room_for_one() -> None:
    """Each of its free functions still reports an instance."""
    functions = [
        parent(
            f"0000:41:00.{number}", offered("t-4", int(number > 4)), driver="nvidia", physical_function="0000:41:00.0"
        )
        for number in range(1, 8)
    ]
    on_card = tuple(
        device(f"{number:08d}-2222-3333-4444-555555555555", f"0000:41:00.{number}", "t-4") for number in range(1, 5)
    )
    assert room(inventory(*functions, devices=on_card), "t-4") == 1


def test_a_parent_that_was_not_selected_takes_part_of_the_card() -> None:
    functions = [
        parent(
            f"0000:41:00.{number}", offered("t-40", int(number > 1)), driver="nvidia", physical_function="0000:41:00.0"
        )
        for number in range(1, 4)
    ]
    host = inventory(*functions, devices=(device(on="0000:41:00.1", type_id="t-40"),))
    [card] = cards_of(host, Hardware(), functions[1:], ())
    assert card.room == {"t-40": 0}


def test_a_number_that_nothing_reaches_is_not_counted_up() -> None:
    matrix = parent("matrix", Type("vfio_ap-passthrough", "AP", None, "vfio-ap", 65535))
    assert room(inventory(matrix), "vfio_ap-passthrough") == 65535
    assert not MDEV.is_limited(matrix.types[0])


@pytest.mark.parametrize("driver", ["nvidia", "other"])
def test_less_than_nothing_is_nothing(driver: str) -> None:
    odd = inventory(parent("0000:41:00.0", offered("t-4", -1), driver=driver))
    assert room(odd, "t-4") == 0
