# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The size of mdev_info's result, and that a fact stands in it once."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tree import Tree

CARDS, FUNCTIONS, TYPES, DEVICES = 8, 20, 24, 40
MOST_BYTES = 100_000


CARD_IDS = {"vendor": "0x10de", "device": "0x20f1", "subsystem_vendor": "0x10de", "subsystem_device": "0x145f"}
FUNCTION_IDS = {**CARD_IDS, "subsystem_device": "0x0000"}


def big_host(tree: Tree) -> None:
    """Eight cards of twenty functions, and five devices on each card."""
    for card in range(CARDS):
        bus = f"{0x40 + card:02x}"
        _pci_device(tree, f"0000:{bus}:00.0", CARD_IDS)
        for number in range(FUNCTIONS):
            _function(tree, card, f"0000:{bus}:{(number + 4) >> 3:02x}.{(number + 4) & 7}", number)


def _function(tree: Tree, card: int, address: str, number: int) -> None:
    is_taken = number < DEVICES // CARDS
    folder = tree.parent(address, "pci")
    _pci_device(tree, address, {"numa_node": str(card % 2), **FUNCTION_IDS})
    tree.link(f"{folder}/iommu_group", f"sys/kernel/iommu_groups/{1000 + card * FUNCTIONS + number}")
    tree.link(f"{folder}/physfn", f"sys/devices/pci/0000:{0x40 + card:02x}:00.0")
    tree.link(f"{folder}/driver", "sys/bus/pci/drivers/nvidia")
    for type_number in range(TYPES):
        path = tree.type(folder, f"nvidia-{400 + type_number}", "0" if is_taken else "1")
        tree.write(f"{path}/name", f"NVIDIA A100-{type_number}C\n")
        tree.write(
            f"{path}/description",
            "num_heads=1, frl_config=60, framebuffer=4096M, max_resolution=5120x2880, max_instance=10\n",
        )
    if is_taken:
        key = str(uuid.uuid5(uuid.NAMESPACE_OID, address))
        tree.device(folder, key, f"nvidia-{400 + number}", group=card * FUNCTIONS + number)


def _pci_device(tree: Tree, address: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        tree.write(f"sys/devices/pci/{address}/{name}", f"{text}\n")
    tree.link(f"sys/bus/pci/devices/{address}", f"sys/devices/pci/{address}")


def test_a_big_host_answers_in_100_kb(tree: Tree, info: Any) -> None:
    big_host(tree)
    result = info()
    assert [len(result[part]) for part in ("cards", "parents", "types", "devices")] == [
        CARDS,
        CARDS * FUNCTIONS,
        TYPES,
        DEVICES,
    ]
    assert len(json.dumps(result)) <= MOST_BYTES
    assert len(result["summary"]) == CARDS + 1
    text = json.dumps(result)
    assert text.count("max_resolution") == TYPES
    ids = {(card["pci_ids"], card["function_pci_ids"]) for card in result["cards"]}
    assert ids == {("10de:20f1:10de:145f", "10de:20f1:10de:0000")}
    # Five of ten are taken, and fifteen functions report an instance each.
    assert {(row["available_instances"], row["room"]) for row in result["types"]} == {(120, 40)}


def test_functions_show_only_what_differs_from_their_card(tree: Tree, info: Any) -> None:
    big_host(tree)
    result = info(parents=["0000:40:00.0"], types=["nvidia-400"])
    [card] = result["cards"]
    assert card["types"] == {"nvidia-400": 1}
    assert [parent["types"] for parent in result["parents"]] == [{}] * 5 + [None] * 15
    assert card["room"] == {"nvidia-400": 5}


def test_filters_without_a_match_do_not_deny_the_cards(tree: Tree, info: Any) -> None:
    big_host(tree)
    none, total, why = info(types=["nvidia A100-3c"])["summary"]
    assert none == "No card of this host matches the filters."
    assert total == "Total: 0 cards, 0 devices active, 0 defined"
    assert "Did you mean 'NVIDIA A100-3C'?" in why


def test_an_empty_host_has_three_lines(info: Any) -> None:
    none, total, why = info()["summary"]
    assert none == "No card offers mediated devices or vGPUs."
    assert total == "Total: 0 cards, 0 devices active, 0 defined"
    assert why.startswith("No driver offers mediated devices")
