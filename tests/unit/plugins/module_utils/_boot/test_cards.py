# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PCI ids of cards in the unit that enables their functions and modes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._boot.cards import moved_cards, with_identities
from ansible_collections.vfio.mdev.plugins.module_utils._boot.install import BootPlan, apply_files, plan_boot
from ansible_collections.vfio.mdev.plugins.module_utils._boot.units import Program, vfs_unit
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.request import VfsRequest, vfs_request

PROGRAM = Program("/usr/local/lib/vfio-mdev", sys.executable, 120)
A, B = "0000:41:00.0", "0000:42:00.0"
A100, L40S = "10de:20b0:10de:1450", "10de:26b9:10de:1851"


def card(host: Host, address: str, ids: str) -> None:
    folder = Path(host.sys, "bus/pci/devices", address)
    folder.mkdir(parents=True, exist_ok=True)
    for name, number in zip(("vendor", "device", "subsystem_vendor", "subsystem_device"), ids.split(":")):
        (folder / name).write_text(f"0x{number}\n")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "sys").mkdir()
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    return Host(str(tmp_path / "sys"))


def install(host: Host, cards: Mapping[str, str], *requests: VfsRequest) -> BootPlan:
    for address, ids in cards.items():
        card(host, address, ids)
    plan = plan_boot(host, PROGRAM, [vfs_unit(PROGRAM, with_identities(host, requests), "auto")])
    apply_files(plan)
    return plan


def test_the_unit_has_the_ids_and_modes_of_each_card(host: Host) -> None:
    install(host, {A: A100}, vfs_request(A, "max", ["1g.5gb", "19"]), vfs_request(B, "4", None, True))
    text = Path(host.root, "etc/systemd/system/vfio-mdev-vfs.service").read_text()
    # The second card is not there, or not yet.
    assert f" {A}=max,mig=1g.5gb/19,id={A100} {B}=4,mixed_sizes=true\n" in text


def test_a_card_that_was_replaced_is_a_warning(host: Host) -> None:
    assert moved_cards(install(host, {A: A100}, VfsRequest(A))) == []
    assert moved_cards(install(host, {}, VfsRequest(A))) == []
    [warning] = moved_cards(install(host, {A: L40S, B: A100}, VfsRequest(A), VfsRequest(B)))
    assert warning == (
        f"another card is at {A} since the unit was written: {L40S}, but it was {A100}. "
        f"That card, or one of its model, is now at {B}"
    )
    assert moved_cards(install(host, {}, VfsRequest(A), VfsRequest(B))) == []


def serials(host: Host, numbers: Mapping[str, str]) -> None:
    """What nvidia-smi -q prints."""
    tool = Path(host.root, "usr/bin/nvidia-smi")
    tool.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"GPU 0000{address}\n    Serial Number : {serial}\n" for address, serial in numbers.items())
    tool.write_text(f"#!/bin/sh\ncat <<END\n{text}END\n")
    tool.chmod(0o755)


def test_a_card_of_the_same_model_is_known_by_its_serial_number(host: Host) -> None:
    both = (VfsRequest(A), VfsRequest(B))
    serials(host, {A: "111", B: "222"})
    install(host, {A: A100, B: A100}, *both)
    text = Path(host.root, "etc/systemd/system/vfio-mdev-vfs.service").read_text()
    assert f" {A}=max,id={A100},serial=111 {B}=max,id={A100},serial=222\n" in text
    assert moved_cards(install(host, {}, *both)) == []
    serials(host, {A: "222", B: "111"})
    first, second = moved_cards(install(host, {}, *both))
    assert first == (
        f"another card is at {A} since the unit was written: {A100} with serial number 222, but it was {A100} with "
        f"serial number 111. That card, or one of its model, is now at {B}"
    )
    assert f"is now at {A}" in second
    # A card that does not report it may be any, and what could break the command line is not noted.
    serials(host, {A: "N/A", B: "$1 %h"})
    assert moved_cards(install(host, {}, *both)) == []
    assert "serial" not in Path(host.root, "etc/systemd/system/vfio-mdev-vfs.service").read_text()


def test_instances_that_are_not_derived_yet_are_refused(host: Host) -> None:
    with pytest.raises(InvalidInput, match="'auto', which is not possible at boot"):
        install(host, {}, vfs_request(A, "max", ["auto"]))
