# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode fails where the real run would."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drivers.kit.stand_in_host import MakeHost
from drivers.samples import mtty

UUID = "11111111-2222-3333-4444-555555555555"


def unwritable(part: str) -> Callable[[str, int], bool]:
    access = os.access
    return lambda path, mode, **more: not (mode == os.W_OK and part in str(path)) and access(path, mode, **more)


@pytest.mark.parametrize("part", ["run", "mtty", "definitions"])
@pytest.mark.parametrize(("user", "advice"), [(0, "mounted read-only"), (1000, "Run as root (become: true)")])
def test_what_cannot_be_written_is_found(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch, part: str, user: int, advice: str
) -> None:
    host = make_host(mtty())
    request: dict[str, Any] = {"uuid": UUID, "type": "mtty-2", "persistent": True, "autostart": False, "check": True}
    assert host.device(**request)["changed"]
    monkeypatch.setattr(os, "access", unwritable(part))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    refused = host.device(**request)
    assert refused["error"]["kind"] == "file_error"
    assert advice in refused["msg"]
    assert host.files.writes == []


def test_a_file_in_the_place_of_a_folder_is_found(make_host: MakeHost, tmp_path: Path) -> None:
    host = make_host(mtty())
    (tmp_path / "file").write_text("")
    request: dict[str, Any] = {"uuid": UUID, "type": "mtty-2", "persistent": True, "autostart": False}
    refused = host.device(**request, definitions_path=str(tmp_path / "file/definitions"), check=True)
    assert refused["error"]["kind"] == "file_error"
    assert f"{tmp_path}/file is no folder" in refused["msg"]


def test_a_backend_without_its_tool_is_found(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    refused = make_host(mtty()).device(uuid=UUID, type="mtty-2", backend="mdevctl", check=True)
    assert "mdevctl" in refused["msg"]
    assert refused["failed"]


def test_nothing_to_do_needs_no_right_to_write(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host = make_host(mtty())
    monkeypatch.setattr(os, "access", unwritable(""))
    assert host.device(uuid=UUID, state="absent", check=True)["changed"] is False
