# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A third framework is one folder and two lines: all modules then know it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from run_module import run_module
from third_framework import QUEUES, choose_queue_backend
from tree import Tree

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks import backends, registry


@pytest.fixture
def places(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(registry, "FRAMEWORKS", (*registry.FRAMEWORKS, QUEUES))
    monkeypatch.setitem(backends.ACTING, QUEUES.name, choose_queue_backend)
    for number in range(3):
        tree.write(f"sys/bus/queues/devices/queue{number}/profile", "none\n")
    return {"sysfs_path": str(tree.sys), "definitions_path": str(tree.root / "etc/mdevctl.d")}


def test_it_is_shown_planned_made_and_removed(tree: Tree, places: dict[str, Any]) -> None:
    info = partial(run_module, "mdev_info", **places)
    assert info()["framework"] == "queues"
    assert {row["id"]: row["available_instances"] for row in info()["types"]} == {"big": 3, "small": 3}
    entries = [{"type": "Queue big", "count": 2}, {"name": "spare", "type": "small"}]
    run_set = partial(run_module, "mdev_set", name="tenant", devices=entries, autostart=False, **places)
    planned, made, again = run_set(check=True), run_set(), run_set()
    assert [planned["changed"], made["changed"], again["changed"]] == [True, True, False]
    assert planned["devices"] == made["devices"] == again["devices"]
    assert (tree.root / "sys/bus/queues/devices/queue0/profile").read_text().startswith("big ")
    assert len(list((tree.root / "etc/mdevctl.d.queues").rglob("*-*"))) == 3
    shown = info(capacity=[{"type": "small"}])
    assert [device["framework"] for device in shown["devices"]] == ["queues"] * 3
    assert [answer["fits"] for answer in shown["capacity"]] == [False]
    purged = run_module("mdev_set", name="tenant", devices=[], purge="owned", **places)
    assert (purged["changed"], info()["devices"]) == (True, [])


def test_what_only_the_boot_unit_starts_needs_the_boot_unit(places: dict[str, Any]) -> None:
    refused = run_module("mdev_device", type="big", parent="queue0", **places)
    assert refused["error"]["kind"] == "no_autostart"
