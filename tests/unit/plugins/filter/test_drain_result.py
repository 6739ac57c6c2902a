# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of drain: where each guest is, and what became of it."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.filter import drain_result

RESULT = drain_result.FilterModule().filters()["drain_result"]


PLAN: dict[str, Any] = {"moves": [], "unplaced": []}


def finished(name: str, outcome: str, host: Optional[str] = None, problem: str = "") -> dict[str, Any]:
    """A guest as the playbooks finish it."""
    uuid = f"uuid of {name}"
    return {
        "name": name,
        "uuid": uuid,
        "destination": "gpu-2",
        "outcome": outcome,
        "host": host,
        "problem": problem,
        "downtime": 80,
    }


@pytest.mark.parametrize(
    ("outcome", "here", "there", "host"),
    [
        ("migrated", False, "gpu-2", "gpu-2"),
        # The destination did not answer, or does not have it.
        ("migrated", False, None, None),
        ("failed", True, None, "gpu-7"),
        ("not_started", True, None, "gpu-7"),
        ("running", True, None, "gpu-7"),
        ("unknown", False, None, None),
    ],
)
def test_a_guest_is_where_the_hosts_say(outcome: str, here: bool, there: Optional[str], host: Optional[str]) -> None:
    guest = finished("web", outcome, there)
    result = RESULT(PLAN, "gpu-7", [guest["uuid"]] if here else [], [guest])
    assert result["guests"] == [{**guest, "host": host}]
    assert result["left"] == ([] if outcome == "migrated" else ["web"])


def test_a_problem_is_shown_and_leaves_the_guest() -> None:
    guest = finished("web", "migrated", "gpu-2", "It was not committed on gpu-2: no")
    result = RESULT(PLAN, "gpu-7", [], [guest])
    assert result["left"] == ["web"]
    assert result["summary"] == ["web  on gpu-2  has arrived: It was not committed on gpu-2: no"]
    [line] = RESULT(PLAN, "gpu-7", ["uuid of web"], [finished("web", "running")])["summary"]
    assert line == "web  on gpu-7  still migrates to gpu-2: run the playbook again"


def test_all_guests_are_listed_by_name() -> None:
    plan = {"moves": [], "unplaced": [{"name": "idle", "uuid": "uuid of idle", "refusals": []}]}
    guests = [finished("web", "migrated", "gpu-2"), finished("db", "unknown")]
    result = RESULT(plan, "gpu-7", ["uuid of idle"], guests)
    assert [guest["name"] for guest in result["guests"]] == ["db", "idle", "web"]
    assert result["guests"][1]["outcome"] == "unplaced"
    assert result["summary"][1] == "idle  on gpu-7            has no destination"


def test_other_input_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="expected a plan"):
        RESULT([], "gpu-7", [], [])
