# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that publishes a host's devices: whole files, and a failure of one file keeps the other."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._boot import publish as program
from ansible_collections.vfio.mdev.plugins.module_utils._boot.publish import facts_text, publish, write_metrics
from ansible_collections.vfio.mdev.plugins.module_utils._boot.systemd import UnitState
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.mdev.framework import MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._info.counts import HostCounts, TypeCounts, Use
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import BackendFailed
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Definition,
    Device,
    Inventory,
    Parent,
    Type,
    Unread,
    User,
)

GUEST = (User(4711, "qemu-system-x86_64", "web-1"),)


def device(number: int, users: Optional[tuple[User, ...]] = ()) -> Device:
    uuid = f"00000000-0000-4000-8000-{number:012d}"
    return Device(uuid, "p", f"/sys/p/{uuid}", "", "", MDEV, type_id="t-1", users=users)


PARENT = Parent("p", "pci", "pci_p", "/sys/p", MDEV, types=(Type("t-1", "One", available_instances=3),))
DEVICES = (device(1, GUEST), device(2), device(3, None))
DEFINITIONS = (Definition(DEVICES[0].id, "p", "t-1", MDEV), Definition("4" * 8, "p", "t-1", MDEV, autostart=True))
INVENTORY = Inventory((PARENT,), DEVICES, DEFINITIONS, unread=(Unread("/sys/x", "EIO"),))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    (tmp_path / "sys").mkdir()
    (tmp_path / "metrics").mkdir()
    monkeypatch.setattr(program, "read_inventory", lambda _host: INVENTORY)
    states = {"vfio-mdev.service": UnitState("loaded", False, "", "failed"), "other": UnitState("not-found", False, "")}
    monkeypatch.setattr(program, "unit_states", lambda _host, _names: states)
    return Host(str(tmp_path / "sys"))


def test_metrics_and_facts(host: Host) -> None:
    assert publish(host, f"{host.root}/metrics", f"{host.root}/facts.d") == []
    lines = Path(host.root, "metrics/vfio_mdev.prom").read_text().splitlines()
    for line in (
        'vfio_mdev_devices{type="t-1",name="One",state="in_use"} 1',
        'vfio_mdev_devices{type="t-1",name="One",state="use_unknown"} 1',
        'vfio_mdev_devices{type="t-1",name="One",state="idle"} 1',
        'vfio_mdev_devices{type="t-1",name="One",state="inactive"} 1',
        'vfio_mdev_room{type="t-1",name="One"} 3',
        "vfio_mdev_drifted_devices 1",
        "vfio_mdev_orphaned_devices 1",
        "vfio_mdev_unread_files 1",
        'vfio_mdev_boot_unit_failed{unit="vfio-mdev.service"} 1',
    ):
        assert line in lines
    facts = json.loads(Path(host.root, "facts.d/vfio_mdev.fact").read_text())
    assert facts == {"framework": "mdev", "types": ["t-1"], "type_names": ["One"]}
    modes = {path.name: path.stat().st_mode & 0o777 for path in Path(host.root).rglob("vfio_mdev.*")}
    assert modes == {"vfio_mdev.prom": 0o644, "vfio_mdev.fact": 0o644}


def test_facts_are_only_written_if_they_change(host: Host) -> None:
    path = Path(host.root, "facts.d/vfio_mdev.fact")
    publish(host, "", str(path.parent))
    before = path.stat().st_ino
    publish(host, "", str(path.parent))
    assert path.stat().st_ino == before
    path.write_text("{}")
    publish(host, "", str(path.parent))
    assert json.loads(path.read_text())["framework"] == "mdev"


def test_a_folder_that_is_missing_keeps_the_other_file(host: Host) -> None:
    [failed] = publish(host, f"{host.root}/missing", f"{host.root}/facts.d")
    assert failed == f"writing to {host.root}/missing: ENOENT (No such file or directory)"
    assert Path(host.root, "facts.d/vfio_mdev.fact").exists()


def test_systemd_that_does_not_answer_keeps_the_other_metrics(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_host: Host, _names: object) -> dict[str, UnitState]:
        raise BackendFailed("systemctl show failed", backend="systemd")

    monkeypatch.setattr(program, "unit_states", fail)
    assert publish(host, f"{host.root}/metrics", "") == []
    text = Path(host.root, "metrics/vfio_mdev.prom").read_text()
    assert "vfio_mdev_room" in text
    assert "vfio_mdev_boot_unit_failed" not in text


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "full")

    write_metrics(str(tmp_path), "old\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail)
        with pytest.raises(OSError, match="full"):
            write_metrics(str(tmp_path), "new\n")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("vfio_mdev.prom", "old\n")]


def test_a_run_that_systemd_stops_leaves_no_temporary_file(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def stopped(*arguments: Any, **options: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        rename(*arguments, **options)

    monkeypatch.setattr(os, "rename", stopped)
    assert publish(host, f"{host.root}/metrics", "") == []
    assert [path.name for path in Path(host.root, "metrics").iterdir()] == ["vfio_mdev.prom"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """The folder may belong to the user of node_exporter, who must not choose what root writes to."""
    target = tmp_path / "shadow"
    target.write_text("secret")
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / ".vfio_mdev.prom.new").symlink_to(target)
    (folder / "vfio_mdev.prom").symlink_to(target)
    write_metrics(str(folder), "new\n")
    assert target.read_text() == "secret"
    assert not (folder / "vfio_mdev.prom").is_symlink()


def test_facts_of_a_host_without_devices() -> None:
    counts = HostCounts("none", (), 0, 0, 0, 0, 0)
    assert json.loads(facts_text(counts)) == {"framework": "none", "types": [], "type_names": []}
    same_name = tuple(TypeCounts(type_id, "One", Use(), 0, 0, 0) for type_id in ("t-1", "t-2"))
    assert json.loads(facts_text(HostCounts("mdev", same_name, 0, 0, 0, 0, 0)))["type_names"] == ["One"]
