# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of the provision role on each OS family, with stand-ins for the package managers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

# Hosts by name: their OS family, and the exit code and output of the package query.
HOSTS = {
    "debian": ("Debian", 0, "installedinstalled"),
    "redhat": ("RedHat", 0, "mdevctl-1.3.0-2.el9.x86_64 python3-lxml-4.6.5-3.el9.x86_64"),
    "suse": ("Suse", 0, "mdevctl-1.3.0-1.2.x86_64 python3-lxml-4.9.1-2.1.x86_64"),
    "suse-bare": ("Suse", 2, "no package provides mdevctl"),
    "unknown": ("Archlinux", 0, ""),
}
PLAY = """
- hosts: all
  gather_facts: false
  connection: local
  environment:
    PATH: "{{ folder }}/{{ inventory_hostname }}:/usr/bin:/bin"
  tasks:
    - ansible.builtin.set_fact:
        os_family: "{{ family }}"
        pkg_mgr: none
        cacheable: true
    - ansible.builtin.include_role:
        name: vfio.mdev.provision
        tasks_from: packages.yml
"""


def stand_ins(folder: Path, code: int, output: str) -> None:
    """Create programs that log their calls. Query commands print the output, install commands succeed."""
    folder.mkdir()
    for name in ("dpkg-query", "rpm", "zypper"):
        answer = "echo done" if name == "zypper" else f"printf '%s' '{output}'; exit {code}"
        (folder / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >> "{folder}/called"\n{answer}\n')
        (folder / name).chmod(0o755)


@dataclass(frozen=True)
class PlayResult:
    """The output of ansible-playbook, and the folder of the stand-ins."""

    options: tuple[str, ...]
    printed: str
    folder: Path

    def calls(self, name: str) -> list[str]:
        """The calls of the stand-ins of a host."""
        return (self.folder / name / "called").read_text().splitlines()


@pytest.fixture(scope="module", params=[(), ("--check",)], ids=["real", "check"])
def played(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> PlayResult:
    folder = tmp_path_factory.mktemp("packages")
    (folder / "ansible_collections/vfio").mkdir(parents=True)
    (folder / "ansible_collections/vfio/mdev").symlink_to(CHECKOUT)
    for name, (_family, code, output) in HOSTS.items():
        stand_ins(folder / name, code, output)
    common = {"folder": str(folder), "ansible_python_interpreter": sys.executable}
    hosts = {name: {"family": family, **common} for name, (family, _code, _output) in HOSTS.items()}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (folder / "play.yml").write_text(PLAY)
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.json", "play.yml", *request.param],
        cwd=folder,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_NOCOLOR": "1", "HOME": str(folder)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return PlayResult(request.param, done.stdout + done.stderr, folder)


def test_only_missing_packages_are_installed_with_the_names_of_the_family(played: PlayResult) -> None:
    recap = dict(re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) .* failed=0", played.printed, re.MULTILINE))
    assert recap == {"debian": "0", "redhat": "0", "suse": "0", "suse-bare": "1"}, played.printed
    rpm = "rpm --query --whatprovides mdevctl python3-lxml"
    zypper = "zypper --non-interactive install --no-recommends"
    assert played.calls("debian")[0].startswith("dpkg-query --show --showformat=${db:Status-Status}")
    assert played.calls("debian")[-1].endswith(" mdevctl python3-lxml")
    assert played.calls("redhat") == played.calls("suse") == [rpm]
    dry_run = ["--dry-run"] if played.options else []
    assert played.calls("suse-bare") == [rpm, " ".join([zypper, *dry_run, "mdevctl python3-lxml"])]


def test_an_unknown_family_fails_with_instructions(played: PlayResult) -> None:
    assert re.search(r"^unknown +: .* failed=1 ", played.printed, re.MULTILINE)
    assert "family Archlinux" in played.printed
    assert "set provision_packages to []" in re.sub(r"\s+", " ", played.printed)
    assert not (played.folder / "unknown/called").exists()
