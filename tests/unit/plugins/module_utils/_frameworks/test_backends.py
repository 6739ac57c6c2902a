# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backend acts, and what still works if one of them is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import define, device

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.backends import choose_backends
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev import mdevctl
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.framework import MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.unfinished import UnfinishedMarks
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Inventory
from ansible_collections.vfio.mdev.plugins.module_utils._planning.steps import DevicePlan, Plan, RemoveDevice, Undefine
from ansible_collections.vfio.mdev.plugins.module_utils._runner.apply import apply_plan


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with a script of mdevctl, and without the command."""
    script = tmp_path / "etc/mdevctl.d/scripts.d/callouts/vendor"
    script.parent.mkdir(parents=True)
    script.touch(0o755)
    (tmp_path / "sys").mkdir()
    monkeypatch.setattr(mdevctl.shutil, "which", lambda *_arguments, **_named: None)
    return Host(str(tmp_path / "sys"), str(tmp_path / "etc/mdevctl.d"))


def test_a_missing_command_stops_only_its_framework(host: Host) -> None:
    backends = choose_backends("auto", host, "", {MDEV, VENDOR_VFIO})
    assert backends.of(define(framework=VENDOR_VFIO)).definitions.framework is VENDOR_VFIO
    with pytest.raises(InvalidInput, match=r"scripts.d/callouts/vendor should run at each change: .* not installed"):
        backends.of(device())


def test_nothing_is_changed_if_a_later_step_has_no_backend(host: Host, tmp_path: Path) -> None:
    stored = define(framework=VENDOR_VFIO)
    backends = choose_backends("auto", host, "", {MDEV, VENDOR_VFIO})
    backends.of(stored).define(stored, None)
    [path] = tmp_path.glob("etc/vfio-mdev.d/*/*")
    plan = Plan((DevicePlan(stored.key, (Undefine(stored), RemoveDevice(device()))),))
    with pytest.raises(InvalidInput, match="not installed"):
        apply_plan(plan, backends, Inventory(), UnfinishedMarks(host))
    assert path.exists()
