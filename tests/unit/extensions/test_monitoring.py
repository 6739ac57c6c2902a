# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alert rules and the dashboard use metrics and labels that the host writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vfio.mdev.plugins.module_utils._info.counts import HostCounts, TypeCounts, Use
from ansible_collections.vfio.mdev.plugins.module_utils._info.metrics import metrics_of

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "extensions" / "monitoring"
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())

COUNTS = HostCounts("mdev", (TypeCounts("nvidia-471", "NVIDIA A100-8C", Use(1), 0, 0, 3),), 0, 0, 0, 0, 0)
METRICS = metrics_of(COUNTS, {"vfio-mdev.service": False}, 1.0)
# Prometheus adds the instance.
LABELS = {
    metric.name: {"instance", *(name for labels, _value in metric.samples for name in labels)} for metric in METRICS
}
STATES = {labels["state"] for metric in METRICS for labels, _value in metric.samples if "state" in labels}


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    yield from (
        variable["query"]["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"
    )


def test_every_metric_is_used() -> None:
    used = {name for expression in expressions() for name in re.findall(r"vfio_mdev_\w+", expression)}
    assert used == set(LABELS)


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_selectors_match_what_is_written(expression: str) -> None:
    assert expression.count("(") == expression.count(")")
    for name, selector in re.findall(r"(vfio_mdev_\w+)(?:\{([^}]*)\})?", expression):
        matchers = re.findall(r'(\w+)=~?"([^"]*)"', selector)
        assert {label for label, _value in matchers} <= LABELS[name]
        assert {state for label, value in matchers if label == "state" for state in value.split("|")} <= STATES
    for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        assert set(labels.split(", ")) <= set().union(*LABELS.values())


def test_alerts_name_the_host_or_type_and_the_next_step() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert "{{ $labels." in rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        texts = " ".join(rule["annotations"].values())
        labels = {label for name in re.findall(r"vfio_mdev_\w+", rule["expr"]) for label in LABELS[name]}
        assert set(re.findall(r"\$labels\.(\w+)", texts)) <= labels


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & covered
        cells |= covered


def test_the_role_documents_each_metric() -> None:
    readme = (ROOT / "roles" / "boot" / "README.md").read_text()
    documented = dict(re.findall(r"^\| `(vfio_mdev_\w+)(?:\{([^}]*)\})?` \|", readme, re.MULTILINE))
    assert {name: set(labels.split(", ")) - {""} for name, labels in documented.items()} == {
        name: labels - {"instance"} for name, labels in LABELS.items()
    }
