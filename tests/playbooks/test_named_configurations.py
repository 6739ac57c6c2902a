# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named configurations, asserted as guide_consumers shows: by one command, and by a play that fails if they differ."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from controller import CHECKOUT, Controller

DEVICE = "11111111-2222-3333-4444-555555555555"
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - vfio.mdev.mdev_set:
        name: "{{ configuration }}"
        devices: "{{ configurations[configuration] }}"
        sysfs_path: "{{ sysfs_path }}"
        definitions_path: "{{ definitions_path }}"
      check_mode: true
      register: asserted
      failed_when: asserted is failed or asserted is changed
"""


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    """A host with one device that is active and defined, and two configurations: one with it, and one with two more."""
    (tmp_path / "collections/ansible_collections/vfio").mkdir(parents=True)
    (tmp_path / "collections/ansible_collections/vfio/mdev").symlink_to(CHECKOUT)
    _host(tmp_path)
    entry = {"uuid": DEVICE, "type": "mtty-1", "parent": "mtty", "autostart": False}
    more = {"name": "more", "type": "mtty-1", "count": 2, "autostart": False}
    variables: dict[str, Any] = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "sysfs_path": str(tmp_path / "sys"),
        "definitions_path": str(tmp_path / "etc/mdevctl.d"),
        "configurations": {"desktops": [entry], "training": [entry, more]},
    }
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {"gpu-1": variables}}}))
    (tmp_path / "assert.yml").write_text(PLAY)
    return Controller(tmp_path)


def _host(root: Path) -> None:
    folder = root / "sys/devices/virtual/mtty/mtty"
    mdev_type = folder / "mdev_supported_types/mtty-1"
    (folder / DEVICE).mkdir(parents=True)
    mdev_type.mkdir(parents=True)
    for name, text in {"name": "Single port serial", "device_api": "vfio-pci", "available_instances": "23"}.items():
        (mdev_type / name).write_text(f"{text}\n")
    for link, target in {
        root / "sys/class/mdev_bus/mtty": folder,
        root / f"sys/bus/mdev/devices/{DEVICE}": folder / DEVICE,
        folder / "subsystem": root / "sys/class/mtty",
        folder / DEVICE / "mdev_type": mdev_type,
    }.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    definition = root / "etc/mdevctl.d/mtty" / DEVICE
    definition.parent.mkdir(parents=True)
    definition.write_text(json.dumps({"mdev_type": "mtty-1", "start": "manual", "attrs": []}))
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")


@pytest.mark.parametrize(("configuration", "changed"), [("desktops", False), ("training", True)])
def test_one_command_shows_whether_the_host_has_it(controller: Controller, configuration: str, changed: bool) -> None:
    options = (
        f"name={configuration} devices={{{{ configurations.{configuration} }}}} "
        "sysfs_path={{ sysfs_path }} definitions_path={{ definitions_path }}"
    )
    command = ["ansible", "-i", "hosts.json", "all", "-o", "-m", "vfio.mdev.mdev_set", "-a", options, "--check"]
    asserted = controller.run(command)
    assert asserted.returncode == 0, asserted.stdout + asserted.stderr
    assert f"| {'CHANGED' if changed else 'SUCCESS'} =>" in asserted.stdout
    assert f'"changed": {str(changed).lower()}' in asserted.stdout


@pytest.mark.parametrize(("configuration", "exit_code"), [("desktops", 0), ("training", 2)])
def test_a_play_fails_if_the_host_does_not_have_it(controller: Controller, configuration: str, exit_code: int) -> None:
    command = ["ansible-playbook", "-i", "hosts.json", "assert.yml", "-e", f"configuration={configuration}"]
    asserted = controller.run(command)
    assert asserted.returncode == exit_code, asserted.stdout + asserted.stderr
    assert f"failed={int(exit_code != 0)}" in asserted.stdout
