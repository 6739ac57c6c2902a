# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A systemctl that answers, fails, prints without end or hangs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._boot import systemd
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import BackendFailed


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "systemctl"
    path.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return path


def test_its_lines_are_kept(program: Path) -> None:
    program.write_text(
        "#!/bin/sh\nprintf 'Id=a.service\\nLoadState=loaded\\n\\nId=b.service\\nNeedDaemonReload=yes\\n'\n"
    )
    states = systemd.parse_states(systemd.systemctl("show"))
    assert {name: state.changed for name, state in states.items()} == {"a.service": False, "b.service": True}


def test_what_is_kept_of_its_output_is_bounded(program: Path) -> None:
    program.write_text("#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' x\n")
    assert len(systemd.systemctl("show")) == 65536


@pytest.mark.parametrize(
    ("text", "words"),
    [("echo 'Unit a.service' >&2; exit 5", "exit code 5: Unit a.service"), ("sleep 30", "no answer in 0.2 s")],
)
def test_failures(program: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    monkeypatch.setattr(systemd, "_SECONDS", 0.2 if "sleep" in text else 10)
    program.write_text(f"#!/bin/sh\n{text}\n")
    with pytest.raises(BackendFailed, match=words):
        systemd.systemctl("enable", "a.service")


def test_a_host_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendFailed, match=r"ENOENT .*require systemd"):
        systemd.systemctl("enable", "a.service")
