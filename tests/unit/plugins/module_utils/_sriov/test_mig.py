# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPU instances that wanted devices need."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.drivers.nvidia_smi_text import VgpuType
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import NoRoom, NotFound
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.mig import WantedType, wanted_types, with_instances
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.request import VfsRequest

A, B = "0000:41:00.0", "0000:c1:00.0"
A100 = (
    VgpuType(471, "NVIDIA A100-8C", 8192, 5),
    VgpuType(476, "NVIDIA A100-1-5C", 4864, 7, "19", 1),
    VgpuType(477, "NVIDIA A100-2-10C", 9984, 3, "14", 1),
    VgpuType(478, "NVIDIA A100-3-20C", 20224, 2, "9", 1),
)
PRO = (
    VgpuType(1550, "DC-1-12Q", 12288, 8, "47", 2),
    VgpuType(1551, "DC-1-12A", 12288, 8, "47", 2),
    VgpuType(1561, "DC-1-24Q", 24576, 4, "47", 1),
)
AUTO = (VfsRequest(A, mig_auto=True), VfsRequest(B, mig_auto=True))

PLANS: dict[str, tuple[tuple[VgpuType, ...], list[WantedType], list[tuple[str, ...] | None]]] = {
    "nothing": (A100, [], [None, None]),
    "no type that needs MIG": (A100, [WantedType("NVIDIA A100-8C", 4)], [None, None]),
    "by name": (A100, [WantedType("NVIDIA A100-1-5C", 2)], [("19", "19"), None]),
    "by id, on the second card": (A100, [WantedType("nvidia-478", 1, (B,))], [None, ("9",)]),
    "on a function of the second card": (A100, [WantedType("478", 1, ("0000:c1:00.4",))], [None, ("9",)]),
    "big ones first": (A100, [WantedType("476", 1), WantedType("478", 1)], [("9", "19"), None]),
    "the next card": (A100, [WantedType("478", 3)], [("9", "9"), ("9",)]),
    "no place beside two big ones": (A100, [WantedType("478", 2), WantedType("476", 1)], [("9", "9"), ("19",)]),
    # Its memory would do for four.
    "no more than the maximum": (A100, [WantedType("477", 4)], [("14",) * 3, ("14",)]),
    # One instance holds two of this size, of any series, but not of another size.
    "several in one instance": (PRO, [WantedType("1550", 2), WantedType("DC-1-12A", 1)], [("47", "47"), None]),
    "one size in an instance": (PRO, [WantedType("1550", 1), WantedType("1561", 1)], [("47", "47"), None]),
}


@pytest.mark.parametrize(("types", "wanted", "profiles"), PLANS.values(), ids=PLANS)
def test_instances(
    types: tuple[VgpuType, ...], wanted: list[WantedType], profiles: list[tuple[str, ...] | None]
) -> None:
    functions = {"0000:41:00.4": A, "0000:c1:00.4": B}
    requests = with_instances(AUTO, wanted, {A: types, B: types}, functions)
    assert [request.mig for request in requests] == profiles
    assert all(request.mig_at_least and not request.mig_auto for request in requests)


def test_more_than_the_cards_hold() -> None:
    with pytest.raises(NoRoom, match="finds place for 4 of 5 devices of type '478'"):
        with_instances(AUTO, [WantedType("478", 5)], {A: A100, B: A100}, {})


def test_a_card_without_types_is_an_error() -> None:
    with pytest.raises(NotFound, match=f"mig of card {B} is 'auto', but nvidia-smi lists no vGPU types"):
        with_instances(AUTO, [], {A: A100}, {})


def test_other_cards_stay_as_requested() -> None:
    other = VfsRequest(B, mig=("1g.5gb",))
    assert with_instances((AUTO[0], other), [WantedType("476", 1)], {A: A100}, {})[1] == other


SETS: dict[str, tuple[dict[str, Any], list[WantedType]]] = {
    "an entry": ({"devices": [{"type": "a", "count": 2}]}, [WantedType("a", 2)]),
    "options of the set": (
        {"type": "a", "parent": A, "devices": [{"name": "x"}, {"type": "b", "parents": [B], "parent": None}]},
        [WantedType("a", 1, (A,)), WantedType("b", 1, (A,))],
    ),
    "absent": ({"devices": [{"type": "a", "state": "absent"}, {"uuid": "x"}]}, []),
    "no devices": ({"devices": []}, []),
}


@pytest.mark.parametrize(("device_set", "wanted"), SETS.values(), ids=SETS)
def test_wanted_types(device_set: dict[str, Any], wanted: list[WantedType]) -> None:
    assert list(wanted_types([device_set])) == wanted
