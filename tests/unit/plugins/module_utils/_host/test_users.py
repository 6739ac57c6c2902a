# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unknown use: a device that nobody can prove unused is not removed, and the reason is that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import device

from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._host.users import exclusive_use
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InUse


def test_unknown_use_is_not_called_use(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    unseen = device(iommu_group=5)
    with pytest.raises(InUse) as refused, exclusive_use(Host(str(tmp_path / "sys")), unseen):
        pytest.fail("it may be in use")
    assert refused.value.message.startswith("it is unknown whether device")
    assert "Run as root (become: true)" in refused.value.message
    assert "is in use by" not in refused.value.message
