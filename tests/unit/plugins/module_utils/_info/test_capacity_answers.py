# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from builders import inventory, kind, parent

from ansible_collections.vfio.mdev.plugins.module_utils._info.capacity_answers import Fit, would_fit
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import Ask

HOST = inventory(
    parent("0000:01:00.0", kind("t", 2), kind("s", 4), numa_node=0),
    parent("0000:02:00.0", kind("t", 2), kind("s", 4), numa_node=1),
)
FIRST, SECOND = "0000:01:00.0", "0000:02:00.0"


@pytest.mark.parametrize(
    ("asks", "fitting"),
    [
        ([Ask("t", 4)], [4]),
        ([Ask("t", 5)], [4]),
        ([Ask("t", 0)], [0]),
        ([Ask("t", 2), Ask("s", 4)], [2, 4]),
        ([Ask("t", 3), Ask("s", 3)], [3, 2]),
        ([Ask("t", 2, parents=(SECOND,)), Ask("t", 2)], [2, 2]),
        ([Ask("t", 3, excluded=(SECOND,))], [2]),
        ([Ask("t", 3, numa_node=1)], [2]),
        ([Ask("no-such", 1), Ask("t", 1)], [0, 1]),
    ],
)
def test_all_are_placed_together(asks: list[Ask], fitting: list[int]) -> None:
    assert [one.fitting for one in would_fit(asks, HOST)] == fitting


def test_what_is_said_of_one_that_fits() -> None:
    ask = Ask("t", 3, placement="spread")
    assert would_fit([ask], HOST) == (Fit(ask, 3, ((FIRST, 2), (SECOND, 1))),)


def test_why_one_does_not_fit() -> None:
    [full, unknown] = would_fit([Ask("t", 5), Ask("no-such")], HOST)
    assert {one.parent: one.reason for one in full.rejected} == {
        FIRST: "has 2 of t left, and this run puts 2 of t there",
        SECOND: "has 2 of t left, and this run puts 2 of t there",
    }
    assert (full.refused, unknown.rejected) == ("", ())
    assert "no-such" in unknown.refused
