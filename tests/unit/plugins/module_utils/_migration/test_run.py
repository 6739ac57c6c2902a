# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollback that does not know the boot of the host changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import inventory
from test_assess import RECORD, WEB

from ansible_collections.vfio.mdev.plugins.module_utils._guests.virsh import Virsh
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._migration.arrival import Arrivals
from ansible_collections.vfio.mdev.plugins.module_utils._migration.record import MigrationRecords
from ansible_collections.vfio.mdev.plugins.module_utils._migration.run import Rollback
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import FileError


@pytest.mark.parametrize("content", [None, ""])
def test_an_unknown_boot_id_refuses_the_rollback(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "sys").mkdir()
    boot_id = tmp_path / "proc/sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True)
    if content is not None:
        boot_id.write_text(content)
    records = MigrationRecords(str(tmp_path / "records"))
    records.put([RECORD])
    virsh = Virsh("test:///default")
    rollback = Rollback((), None, Host(str(tmp_path / "sys")), virsh, records, arrivals=Arrivals(virsh, {}))
    with pytest.raises(FileError, match="boot_id"):
        rollback.requests(inventory())
    assert list(records.read()) == [WEB]
