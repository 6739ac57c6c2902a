# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vGPUs that other programs change between planning and acting, and those that can't be cleared."""

from __future__ import annotations

import errno
import os
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
from ansible_collections.vfio.mdev.plugins.module_utils._host.sysfs_writer import SysfsWriter
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import MdevError, Mismatch

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
            notes.append(any((tmp_path / "notes").glob("*/[!.]*")))
            set_type(vgpu_type)

        card.functions[0]._set = look  # type: ignore[method-assign]
        device = backend.create(parent, "1148", UUID, ())
        backend.remove(device)
    assert notes == [True, False]


@pytest.mark.parametrize("broken", ["note", "driver", "writer"])
def test_a_vgpu_that_cannot_be_cleared_stays_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    card = Card("0000:41:00", 1)
    (tmp_path / "host").mkdir()
    with mounted(tmp_path / "host", card) as files:
        host = Host(str(files.sys), str(tmp_path / "mdevctl.d"))
        notes = DefinitionFiles(str(tmp_path / "notes"), VENDOR_VFIO)
        backend = replace(choose_vendor_vfio_backend("auto", DeviceFiles(host), ""), notes=notes)
        [parent] = VENDOR_VFIO.read(host, Reader()).parents
        device = backend.create(parent, "1148", UUID, ())

        def refuse(*_arguments: object, **_named: object) -> None:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

        target: tuple[object, str] = {
            "note": (os, "rename"),
            "driver": (SysfsWriter, "write"),
            "writer": (SysfsWriter, "_started"),
        }[broken]
        monkeypatch.setattr(*target, refuse)
        with pytest.raises(MdevError, match=r"EAGAIN|temporarily unavailable") as caught:
            backend.remove(device)
        monkeypatch.undo()
        assert caught.value.rolled_back is None
        assert [note.key for note in notes.read(Reader())[0]] == [UUID]
        assert card.types_set() == {"0000:41:00.4": 1148}


def test_a_note_that_cannot_be_restored_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card("0000:41:00", 1)
    (tmp_path / "host").mkdir()
    with mounted(tmp_path / "host", card) as files:
        host = Host(str(files.sys), str(tmp_path / "mdevctl.d"))
        notes = DefinitionFiles(str(tmp_path / "notes"), VENDOR_VFIO)
        backend = replace(choose_vendor_vfio_backend("auto", DeviceFiles(host), ""), notes=notes)
        [parent] = VENDOR_VFIO.read(host, Reader()).parents
        device = backend.create(parent, "1148", UUID, ())

        def refuse(*_arguments: object, **_named: object) -> None:
            monkeypatch.setattr(os, "rename", refuse)
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

        monkeypatch.setattr(SysfsWriter, "_started", refuse)
        with pytest.raises(MdevError, match="NOT rolled back: it no longer counts as created") as caught:
            backend.remove(device)
        assert caught.value.rolled_back is False
