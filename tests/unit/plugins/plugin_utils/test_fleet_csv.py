# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a report."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.filter.fleet_csv import fleet_csv

USAGE = {"in_use": 5, "unknown": 1, "idle": 2, "room": 3, "unlimited": False}


def host(name: str, *types: dict[str, Any], state: str = "answered") -> dict[str, Any]:
    return {"name": name, "state": state, "framework": "mdev" if types else None, "problems": 1, "types": types}


def mdev_type(name: str, **usage: Any) -> dict[str, Any]:
    return {"id": "t-1", "name": name, "defined": 6, "usage": {**USAGE, **usage}}


def test_lines() -> None:
    hosts = [
        host("gpu-1", mdev_type("One"), mdev_type('A, "B"', room=None)),
        host("matrix", mdev_type("AP", unlimited=True, room=None)),
        host("away", state="unreachable"),
    ]
    assert fleet_csv({"hosts": hosts}).splitlines() == [
        "host,state,framework,problems,type,type_name,in_use,use_unknown,idle,room,defined",
        "gpu-1,answered,mdev,1,t-1,One,5,1,2,3,6",
        'gpu-1,answered,mdev,1,t-1,"A, ""B""",5,1,2,,6',
        "matrix,answered,mdev,1,t-1,AP,5,1,2,any,6",
        "away,unreachable,,1,,,,,,,",
    ]


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx"])
def test_no_text_of_a_host_is_a_formula(name: str) -> None:
    assert f",'{name}," in fleet_csv({"hosts": [host("gpu-1", mdev_type(name))]})


def test_the_filter_requires_a_report() -> None:
    with pytest.raises(AnsibleFilterError, match="expected the result of"):
        fleet_csv({"gpu-1": {}})
