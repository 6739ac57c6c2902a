# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Races with other programs that set vGPU types between planning and acting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from drivers.kit.mount import mounted
from drivers.nvidia_card import VgpuType
from drivers.nvidia_vendor_vfio import Card

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.device_files import DeviceFiles
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.backend import (
    choose_vendor_vfio_backend,
)
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._host.definitions import DefinitionFiles
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._host.reader import Reader
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import Mismatch

UUID = "11111111-2222-8333-8444-555555555555"


def test_a_type_that_another_program_set_in_between_stays(tmp_path: Path) -> None:
    card = Card("0000:41:00", 1)
    with mounted(tmp_path, card) as host:
        vgpu_host = Host(str(host.sys), str(tmp_path / "mdevctl.d"))
        card.functions[0].set_by_hand(1155)
        [device] = VENDOR_VFIO.read(vgpu_host, Reader()).devices
        with pytest.raises(Mismatch, match="had type 1148, but the function has type 1155 now"):
            choose_vendor_vfio_backend("auto", DeviceFiles(vgpu_host), "").remove(replace(device, type_id="1148"))
        assert card.types_set() == {"0000:41:00.4": 1155}


def test_a_note_is_forgotten_before_its_vgpu_is_cleared(tmp_path: Path) -> None:
    """A run that is killed in between leaves no note that could outlive the vGPU."""
    card = Card("0000:41:00", 1)
    notes: list[bool] = []
    (tmp_path / "host").mkdir()
    with mounted(tmp_path / "host", card) as files:
        host = Host(str(files.sys), str(tmp_path / "mdevctl.d"))
        backend = replace(
            choose_vendor_vfio_backend("auto", DeviceFiles(host), ""),
            notes=DefinitionFiles(str(tmp_path / "notes"), VENDOR_VFIO),
        )
        [parent] = VENDOR_VFIO.read(host, Reader()).parents
        set_type = card.functions[0]._set

        def look(vgpu_type: VgpuType | None) -> None:
            notes.append(any((tmp_path / "notes").glob("*/*")))
            set_type(vgpu_type)

        card.functions[0]._set = look  # type: ignore[method-assign]
        device = backend.create(parent, "1148", UUID, ())
        backend.remove(device)
    assert notes == [True, False]
