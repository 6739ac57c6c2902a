# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What --diff shows: one line for each device that changes."""

from __future__ import annotations

import pytest
from builders import UUID, define, device, inventory, mdev_type, parent

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._model.device_state import NOWHERE, State
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Attribute
from ansible_collections.vfio.mdev.plugins.module_utils._runner.change_results import diff_result

VF = "0000:41:00.4"
HOST = inventory(parent(VF, mdev_type("t-1", name="NVIDIA A100-8C"), mdev_type("t-2", name="NVIDIA A100-4C")))
ONE, TWO = (Attribute("a", "1"),), (Attribute("a", "2"),)


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (NOWHERE, ""),
        (State(device()), f"{VF}  NVIDIA A100-8C  {UUID}  active\n"),
        (State(device(), define(autostart=True)), f"{VF}  NVIDIA A100-8C  {UUID}  active, defined, autostart\n"),
        (State(definition=define(attributes=ONE)), f"{VF}  NVIDIA A100-8C  {UUID}  defined  (a=1)\n"),
        (State(device(), define(type_id="t-2")), f"{VF}  NVIDIA A100-8C  {UUID}  active, defined as NVIDIA A100-4C\n"),
        (
            State(device(attributes=ONE), define(attributes=TWO)),
            f"{VF}  NVIDIA A100-8C  {UUID}  active with a=1, defined  (a=2)\n",
        ),
        (State(device(on="gone", type_id="x")), f"gone  x  {UUID}  active\n"),
        (State(device(framework=VENDOR_VFIO)), f"{VF}  NVIDIA A100-8C  active\n"),
    ],
)
def test_a_device_is_one_line(after: State, line: str) -> None:
    assert diff_result([(NOWHERE, after)], HOST) == {"before": "", "after": line}


def test_only_what_changes_is_shown() -> None:
    same, new = State(device()), State(device(), define())
    assert diff_result([(same, same), (same, new)], HOST) == {
        "before": f"{VF}  NVIDIA A100-8C  {UUID}  active\n",
        "after": f"{VF}  NVIDIA A100-8C  {UUID}  active, defined\n",
    }
