# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers to capacity queries."""

from __future__ import annotations

import pytest
from builders import inventory, mdev_type, parent

from ansible_collections.vfio.mdev.plugins.module_utils._info.capacity_answers import CapacityAnswer, answer_queries
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import CapacityQuery

HOST = inventory(
    parent("0000:01:00.0", mdev_type("t", 2), mdev_type("s", 4), numa_node=0),
    parent("0000:02:00.0", mdev_type("t", 2), mdev_type("s", 4), numa_node=1),
)
FIRST, SECOND = "0000:01:00.0", "0000:02:00.0"


@pytest.mark.parametrize(
    ("queries", "fitting"),
    [
        ([CapacityQuery("t", 4)], [4]),
        ([CapacityQuery("t", 5)], [4]),
        ([CapacityQuery("t", 0)], [0]),
        ([CapacityQuery("t", 2), CapacityQuery("s", 4)], [2, 4]),
        ([CapacityQuery("t", 3), CapacityQuery("s", 3)], [3, 2]),
        ([CapacityQuery("t", 2, parents=(SECOND,)), CapacityQuery("t", 2)], [2, 2]),
        ([CapacityQuery("t", 3, excluded=(SECOND,))], [2]),
        ([CapacityQuery("t", 3, numa_node=1)], [2]),
        ([CapacityQuery("no-such", 1), CapacityQuery("t", 1)], [0, 1]),
    ],
)
def test_all_queries_are_placed_together(queries: list[CapacityQuery], fitting: list[int]) -> None:
    assert [answer.fitting for answer in answer_queries(queries, HOST)] == fitting


def test_the_answer_to_a_query_that_fits() -> None:
    query = CapacityQuery("t", 3, placement="spread")
    assert answer_queries([query], HOST) == (CapacityAnswer(query, 3, ((FIRST, 2), (SECOND, 1))),)


def test_the_reasons_if_a_query_does_not_fit() -> None:
    [full, unknown] = answer_queries([CapacityQuery("t", 5), CapacityQuery("no-such")], HOST)
    assert {rejection.parent: rejection.reason for rejection in full.rejected} == {
        FIRST: "has 2 of t left, and this run puts 2 of t there",
        SECOND: "has 2 of t left, and this run puts 2 of t there",
    }
    assert (full.refused, unknown.rejected) == ("", ())
    assert "no-such" in unknown.refused
