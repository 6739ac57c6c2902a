# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of variables and keys that a role does not have."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.vfio.mdev.plugins.plugin_utils._spelling import unknown_names

OPTIONS: dict[str, dict[str, Any]] = {
    "role_sets": {"options": {"name": {}, "devices": {"options": {"count": {}, "type": {}}}}},
    "role_vfs": {"options": {"cards": {}}},
    "role_wait": {},
}


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ({"role_sets": [{"name": "a", "devices": [{"count": 1}]}], "role_vfs": {"cards": []}, "role_wait": 1}, []),
        ({"role_set": []}, ["role_set is unknown: did you mean role_sets?"]),
        ({"role_x": 1}, ["role_x is unknown. Known are: role_sets, role_vfs, role_wait"]),
        (
            {"role_sets": [{"name": "a"}, {"devices": [{"type": "b"}, {"cuont": 1}], "nmae": "c"}]},
            [
                "role_sets[1].devices[1].cuont is unknown: did you mean count?",
                "role_sets[1].nmae is unknown: did you mean name?",
            ],
        ),
        ({"role_vfs": {"crads": []}}, ["role_vfs.crads is unknown: did you mean cards?"]),
        # Without a known prefix, it is compared with all.
        ({"other_sets": 1}, ["other_sets is unknown: did you mean role_sets?"]),
        # What has the wrong type is refused by Ansible, with a better text.
        ({"role_sets": "a", "role_vfs": [1], "role_wait": {"a": 1}}, []),
    ],
)
def test_unknown_names(values: dict[str, Any], texts: list[str]) -> None:
    assert list(unknown_names(values, OPTIONS)) == texts


def test_a_name_is_compared_with_those_of_its_own_prefix_only() -> None:
    known: dict[str, dict[str, Any]] = {"drain_to": {}, "drain_parallel": {}, "migrate_to": {}, "migrate_bandwidth": {}}
    assert list(unknown_names({"drain_parallell": 1, "migrate_parallel": 1}, known)) == [
        "drain_parallell is unknown: did you mean drain_parallel?",
        "migrate_parallel is unknown. Known are: migrate_bandwidth, migrate_to",
    ]
