# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hints about hosts without usable mediated devices."""

from __future__ import annotations

import re

import pytest
from builders import device, inventory, mdev_type, parent

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.registry import host_framework
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._info.hints import hints
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Card, Hardware, Inventory

NVIDIA = Card("0000:41:00.0", "0x10de", "nvidia", is_vf=False)
NOTHING = inventory()


@pytest.mark.parametrize(
    ("host", "hardware", "words"),
    [
        (NOTHING, Hardware(), ["module mdev is not loaded and no graphics card"]),
        (NOTHING, Hardware(modules=frozenset({"mdev"})), ["no driver has registered a parent"]),
        (NOTHING, Hardware(cards=(Card("0000:41:00.0", "0x10de", "nouveau", False),)), ["driver nouveau. vGPUs need"]),
        (NOTHING, Hardware(cards=(Card("0000:41:00.0", "0x10de", None, False),)), ["driver none. vGPUs need"]),
        (
            NOTHING,
            Hardware(cards=(Card("0000:41:00.0", "0x10de", "nvidia", False, vfs_enabled=0, vfs_total=16),)),
            ["0 of 16 virtual functions .SR-IOV. enabled, and these are the parents.*sriov-manage -e 0000:41:00.0"],
        ),
        (NOTHING, Hardware(cards=(NVIDIA,)), ["nvidia_vgpu_vfio is not loaded"]),
        (NOTHING, Hardware(cards=(NVIDIA,), modules=frozenset({"nvidia_vgpu_vfio"})), ["offers no type"]),
        (NOTHING, Hardware(cards=(Card("0000:00:02.0", "0x8086", "i915", False),)), ["load module kvmgt"]),
        (NOTHING, Hardware(ap=True), ["load module vfio_ap"]),
        (NOTHING, Hardware(css=True), ["module vfio_ccw"]),
        (
            inventory(parent("0000:41:00.4", mdev_type("1428", 1), framework=VENDOR_VFIO)),
            Hardware(),
            ["no mediated devices.*0000:41:00.4"],
        ),
        (inventory(parent("a", mdev_type("t-1", 1))), Hardware(), []),
        (inventory(parent("a", mdev_type("t-1", 0))), Hardware(), ["No parent has room"]),
        (inventory(parent("a"), parent("b", mdev_type("t", 1))), Hardware(), ["Parent a offers no types"]),
        (
            inventory(parent("a", mdev_type("t-1", 1)), devices=(device(on="a", removing=True, type_id=None),)),
            Hardware(),
            ["half removed"],
        ),
        (
            inventory(parent("a", mdev_type("t-1", 1)), devices=(device(on="a", driver=None),)),
            Hardware(),
            ["has no VFIO driver"],
        ),
    ],
)
def test_hints(host: Inventory, hardware: Hardware, words: list[str]) -> None:
    texts = hints(host, hardware)
    assert len(texts) == len(words)
    for hint, pattern in zip(texts, words):
        assert re.search(pattern, hint), hint


@pytest.mark.parametrize(
    ("host", "framework"),
    [
        (NOTHING, "none"),
        (inventory(parent("0000:41:00.4", framework=VENDOR_VFIO)), "vendor_vfio"),
        (inventory(parent("a")), "mdev"),
        (inventory(parent("a"), parent("0000:41:00.4", framework=VENDOR_VFIO)), "mdev"),
    ],
)
def test_framework(host: Inventory, framework: str) -> None:
    assert host_framework(host) == framework
