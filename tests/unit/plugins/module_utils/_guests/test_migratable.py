# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What debugfs shows about a device's driver: no folder, no migration, no features (before Linux 6.18), and all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._guests.migratable import Unsupported, can_migrate, can_quiesce
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


def test_what_the_drivers_of_a_host_can_not_do(tmp_path: Path) -> None:
    devices = [device_at(f"/sys/devices/{driver}", driver) for driver in ("all", "fixed", "single", "unknown")]
    folder = tmp_path / "kernel" / "debug" / "vfio"
    (folder / "fixed").mkdir(parents=True)
    for driver, features in (("all", "stop-copy\np2p\n"), ("single", "stop-copy\n")):
        (folder / driver / "migration").mkdir(parents=True)
        (folder / driver / "migration" / "features").write_text(features)
    unsupported = Unsupported.by_drivers_of([*devices, device_at("/sys/devices/fixed", None)], Host(str(tmp_path)))
    assert unsupported == Unsupported(migration=frozenset({"fixed"}), p2p=frozenset({"single"}))


def device_at(path: str, driver: Optional[str] = "mtty") -> Any:
    """Only the path of the device and its driver matter."""
    return SimpleNamespace(path=path, driver=driver)
