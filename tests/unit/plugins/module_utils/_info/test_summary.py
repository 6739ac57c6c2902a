# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary: what a person sees of a host at a glance."""

from __future__ import annotations

import pytest
from builders import GUEST, OTHER, UUID, define, device, inventory, mdev_type, parent

from ansible_collections.vfio.mdev.plugins.module_utils._info.cards import bare_cards, cards_of
from ansible_collections.vfio.mdev.plugins.module_utils._info.summary import summary
from ansible_collections.vfio.mdev.plugins.module_utils._model.device_state import states
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Card, Hardware, Inventory, Type, Unread
from ansible_collections.vfio.mdev.plugins.module_utils._planning.drift import find_drift


def lines(
    host: Inventory, hardware: Hardware | None = None, problems: tuple[str, ...] = (), users_read: bool = True
) -> list[str]:
    drift = {state: find_drift(state, host) for state in states(host)}
    hardware = hardware or Hardware()
    cards = (*cards_of(host, hardware, host.parents, tuple(drift)), *bare_cards(host, hardware))
    return summary(cards, host, drift, problems, users_read)


def functions(count: int, *types: Type) -> list[object]:
    return [
        parent(f"0000:41:00.{number}", *types, driver="nvidia", physical_function="0000:41:00.0", numa_node=1)
        for number in range(1, count + 1)
    ]


CARD = Hardware((Card("0000:41:00.0", "0x10de", "nvidia", False, 16, 16),))
SERIAL = mdev_type("mtty-1", 24, "Serial")


def test_the_functions_of_a_card_are_one_line() -> None:
    host = inventory(*functions(4, mdev_type("t-1", 1, "A100-8C"), mdev_type("t-2", 0, "A100-40C")))  # type: ignore[arg-type]
    assert lines(host, CARD) == [
        "0000:41:00.0: nvidia (mdev), NUMA node 1, 16 of 16 functions, room for 4 x A100-8C",
        "Total: 1 card, 0 devices active, 0 defined, room for 4 x A100-8C",
    ]


@pytest.mark.parametrize(
    ("users", "users_read", "text"),
    [
        ((GUEST,), True, "1 in use"),
        ((), True, "1 idle"),
        (None, True, "1 use unknown"),
        (None, False, "use not read"),
    ],
)
def test_unknown_use_is_neither_used_nor_idle(users: object, users_read: bool, text: str) -> None:
    host = inventory(parent("mtty", SERIAL), devices=(device(on="mtty", type_id="mtty-1", users=users),))
    assert lines(host, users_read=users_read) == [
        f"mtty: virtual (mdev), 1 x Serial ({text}), room for 24 x Serial",
        f"Total: 1 card, 1 device active ({text}), 0 defined, room for 24 x Serial",
    ]


@pytest.mark.parametrize(
    ("offer", "text"),
    [
        (mdev_type("t", 0), "full"),
        (mdev_type("t", None), "room unknown"),
        (Type("t", "AP", None, "vfio-ap", 65535), "room for any number of AP"),
    ],
)
def test_what_still_fits(offer: Type, text: str) -> None:
    assert lines(inventory(parent("p", offer)))[0] == f"p: virtual (mdev), {text}"


def test_many_types_are_folded() -> None:
    first = lines(inventory(parent("p", *(mdev_type(f"t-{n}", 9 - n, f"T{n}") for n in range(8)))))[0]
    assert first.endswith("room for 9 x T0 or 8 x T1 or 7 x T2 or 6 x T3 or 5 x T4 or 3 more types")


def test_what_is_wrong_has_a_line_each() -> None:
    host = inventory(
        parent("mtty", SERIAL),
        devices=(device(UUID, "mtty", None, removing=True), device(OTHER, "mtty", "mtty-1")),
        definitions=(define(OTHER, "mtty", "mtty-2"), define("33333333-2222-3333-4444-555555555555", "gone", "x")),
        unread=tuple(Unread(f"/sys/{number}", "EIO") for number in range(5)),
    )
    shown = lines(host, problems=("A problem.",))
    assert shown[0].startswith("mtty: virtual (mdev), 1 half removed, 1 x Serial (2 idle)")
    assert shown[2:] == [
        "A problem.",
        f"Drift of device {OTHER} on mtty: type is mtty-1 instead of mtty-2.",
        "Could not be read: /sys/0 (EIO), /sys/1 (EIO), /sys/2 (EIO) and 2 more.",
    ]


def test_a_card_that_offers_nothing() -> None:
    off = Hardware((Card("0000:41:00.0", "0x10de", None, False, 0, 16),))
    assert lines(inventory(), off)[0] == "0000:41:00.0: no driver, 0 of 16 functions, offers nothing"
