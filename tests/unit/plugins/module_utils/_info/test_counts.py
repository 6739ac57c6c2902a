# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of a host."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._info.counts import (
    HostCounts,
    TypeCounts,
    Use,
    counts_of,
    is_orphaned,
    use_of,
)


def device(**facts: Any) -> dict[str, Any]:
    return {
        "type": "t-1",
        "active": True,
        "defined": False,
        "removing": False,
        "in_use": False,
        "drift": [],
        **facts,
    }


@pytest.mark.parametrize(
    ("devices", "use"),
    [
        ([], Use()),
        ([device()], Use(idle=1)),
        ([device(in_use=True)], Use(in_use=1)),
        ([device(in_use=None)], Use(unknown=1)),
        ([device(active=False, defined=True)], Use()),
        ([device(active=False, removing=True, in_use=True, type=None)], Use(in_use=1)),
        ([device(active=False, removing=True, in_use=None, type=None)], Use(unknown=1)),
    ],
)
def test_use(devices: list[dict[str, Any]], use: Use) -> None:
    assert use_of(devices) == use
    assert use.active == sum(entry["active"] or entry["removing"] for entry in devices)


@pytest.mark.parametrize(
    ("facts", "orphaned"),
    [
        ({}, True),
        ({"in_use": True}, False),
        ({"in_use": None}, False),
        ({"defined": True}, False),
        ({"active": False}, False),
        ({"active": False, "removing": True}, False),
    ],
)
def test_unknown_use_is_no_orphan(facts: dict[str, Any], orphaned: bool) -> None:
    assert is_orphaned(device(**facts)) is orphaned


def test_a_host() -> None:
    devices = [
        device(in_use=True, defined=True),
        device(in_use=None),
        device(),
        device(active=False, defined=True, drift=[{"field": "active"}]),
        device(type=None, active=False, removing=True),
        device(type="t-2"),
    ]
    types = [{"id": "t-1", "name": "One", "room": 3}, {"id": "t-2", "name": None, "room": None}]
    answer = {"framework": "mdev", "devices": devices, "types": types, "broken_definitions": [1], "unread": [1, 2]}
    assert counts_of(answer) == HostCounts(
        framework="mdev",
        types=(
            TypeCounts("t-1", "One", Use(in_use=1, unknown=1, idle=1), inactive=1, defined=2, room=3),
            TypeCounts("t-2", None, Use(idle=1), inactive=0, defined=0, room=None),
        ),
        drifted=1,
        orphaned=2,
        half_removed=1,
        broken_definitions=1,
        unread=2,
    )
