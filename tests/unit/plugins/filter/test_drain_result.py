# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of drain: where each guest is, what became of it, and what is left to do."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.filter import drain_result

RESULT = drain_result.FilterModule().filters()["drain_result"]


def move(name: str, destination: str = "gpu-2") -> dict[str, Any]:
    return {"name": name, "uuid": f"uuid of {name}", "destination": destination}


def plan(*names: str, unplaced: tuple[str, ...] = ()) -> dict[str, Any]:
    left = [{"name": name, "uuid": f"uuid of {name}", "refusals": []} for name in unplaced]
    return {"moves": [move(name) for name in names], "unplaced": left}


def row(result: dict[str, Any]) -> dict[str, Any]:
    [guest] = result["guests"]
    return {name: guest[name] for name in ("host", "outcome", "todo", "problem")}


@pytest.mark.parametrize(
    ("outcome", "here", "host", "todo"),
    [
        ("migrated", False, "gpu-2", "commit"),
        ("failed", True, "gpu-7", "roll_back"),
        ("not_started", True, "gpu-7", "roll_back"),
        ("running", True, "gpu-7", None),
        ("unknown", True, "gpu-7", None),
        # Neither host was asked, or both are silent.
        ("unknown", False, None, None),
    ],
)
def test_an_outcome_decides_what_is_done(outcome: str, here: bool, host: Optional[str], todo: Optional[str]) -> None:
    uuid = "uuid of web"
    outcomes = [{"uuid": uuid, "name": "web", "outcome": outcome, "error": None, "downtime": 80}]
    result = RESULT(plan("web"), "gpu-7", [uuid] if here else [], [uuid], outcomes)
    assert row(result) == {"host": host, "outcome": outcome, "todo": todo, "problem": ""}
    assert result["guests"][0]["downtime"] == 80
    assert result["left"] == ([] if outcome == "migrated" else ["web"])


def test_without_an_outcome_a_guest_that_was_given_may_still_migrate() -> None:
    uuid = "uuid of web"
    given = RESULT(plan("web"), "gpu-7", [uuid], [uuid])
    assert row(given) == {"host": "gpu-7", "outcome": "unknown", "todo": None, "problem": ""}
    assert "may still migrate to gpu-2: run the playbook again" in given["summary"][0]
    kept = RESULT(plan("web"), "gpu-7", [uuid], [], problems={"gpu-2": "gpu-2 could not be prepared: full."})
    assert row(kept) == {
        "host": "gpu-7",
        "outcome": "not_started",
        "todo": "roll_back",
        "problem": "gpu-2 could not be prepared: full",
    }


def test_a_guest_that_is_not_committed_is_left() -> None:
    uuid = "uuid of web"
    outcomes = [{"uuid": uuid, "outcome": "migrated", "error": None}]
    result = RESULT(plan("web"), "gpu-7", [], [uuid], outcomes, problems={uuid: "gpu-2 could not commit"})
    assert (row(result)["host"], result["left"]) == ("gpu-2", ["web"])
    record = {"uuid": uuid, "name": "web", "destination": "gpu-3", "source": "gpu-7"}
    assert RESULT(plan(), "gpu-7", [], [], arrived=[record])["summary"] == ["web  on gpu-3  has arrived"]
    assert row(RESULT(plan(), "gpu-7", [], [], arrived=[record], problems={uuid: "no"}))["host"] is None


def test_all_guests_are_listed_by_name() -> None:
    result = RESULT(plan("web", "db", unplaced=("idle",)), "gpu-7", ["uuid of idle"], [])
    assert [guest["name"] for guest in result["guests"]] == ["db", "idle", "web"]
    assert result["guests"][1]["outcome"] == "unplaced"
    assert result["summary"][1] == "idle  on gpu-7            has no destination"


def test_other_input_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="expected a plan"):
        RESULT([], "gpu-7", [], [])
