# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens between a plan and its steps, where others set vGPU types too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from drivers.kit.mount import mounted
from drivers.nvidia_vendor_vfio import Card

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.kernel import Kernel
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.backend import VendorBackend
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.reader import VendorReader
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import HostPaths
from ansible_collections.vfio.mdev.plugins.module_utils._host.reader import Reader
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import Mismatch


def test_a_type_that_somebody_else_has_set_meanwhile_stays(tmp_path: Path) -> None:
    card = Card("0000:41:00", 1)
    with mounted(tmp_path, card) as host:
        paths = HostPaths(str(host.sys))
        card.functions[0].set_by_hand(1155)
        [device] = VendorReader(paths, Reader()).inventory().devices
        with pytest.raises(Mismatch, match="was of type 1148, and the function has type 1155 now"):
            VendorBackend.on(Kernel(paths)).remove(replace(device, type_id="1148"))
        assert card.types_set() == {"0000:41:00.4": 1155}
