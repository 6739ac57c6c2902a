# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What debugfs shows about a device's driver: no folder, no migration, no features (before Linux 6.18), and all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._guests.migratable import can_migrate, can_quiesce
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host

UUID = "11111111-1111-4111-8111-111111111111"

SHOWN: dict[str, tuple[Optional[str], Optional[bool], Optional[bool]]] = {
    "no debugfs": (None, None, None),
    "no migration": ("", False, None),
    "no features": ("migration", True, None),
    "p2p": ("migration/features=stop-copy\np2p\npre-copy\n", True, True),
    "no p2p": ("migration/features=stop-copy\n", True, False),
}


@pytest.mark.parametrize(("entry", "migrates", "quiesces"), SHOWN.values(), ids=SHOWN)
def test_what_the_kernel_shows(
    tmp_path: Path, entry: Optional[str], migrates: Optional[bool], quiesces: Optional[bool]
) -> None:
    if entry is not None:
        folder, _equals, features = entry.partition("=")
        path = tmp_path / "kernel" / "debug" / "vfio" / UUID / folder
        (path.parent if features else path).mkdir(parents=True)
        if features:
            path.write_text(features)
    host, device = Host(str(tmp_path)), device_at(f"/sys/devices/virtual/mtty/mtty/{UUID}")
    assert (can_migrate(host, device), can_quiesce(host, device)) == (migrates, quiesces)
    assert (can_migrate(host, None), can_quiesce(host, None)) == (None, None)


def device_at(path: str) -> Any:
    """Only the path of the device matters."""
    return SimpleNamespace(path=path)
