# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What virsh prints, in all its forms, and how guests are named by users."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._guests import virsh as virsh_file
from ansible_collections.vfio.mdev.plugins.module_utils._guests.virsh import Virsh, matching_guests
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import LibvirtError

FIRST, SECOND, THIRD = (f"{digit * 8}-5555-4666-8777-888888888888" for digit in "123")


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Virsh:
    """virsh that prints the file output, in a locale that is not UTF-8."""
    program = tmp_path / "virsh"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/output\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("LANG", "C")
    return Virsh("test:///default")


def test_the_list_of_guests(virsh: Virsh, tmp_path: Path) -> None:
    """Old versions of virsh pad names to 30 characters. Names are bytes that may not be UTF-8."""
    lines = [f"{FIRST} 5", f"{SECOND} {'--all':30}", f"{THIRD} web 1 caf\xe9", ""]
    (tmp_path / "output").write_bytes("\n".join(lines).encode() + b"\n")
    assert virsh.guests("--all") == {FIRST: "5", SECOND: "--all", THIRD: "web 1 caf\xe9"}
    (tmp_path / "output").write_bytes(f"{FIRST} ".encode() + b"caf\xe9\n")
    assert virsh.guests() == {FIRST: "caf\ufffd"}


def test_a_list_of_another_form_is_an_error(virsh: Virsh, tmp_path: Path) -> None:
    (tmp_path / "output").write_text("web\n")
    with pytest.raises(LibvirtError, match="not a UUID and a name: 'web'"):
        virsh.guests()


def test_xml_that_is_not_utf_8_is_an_error(virsh: Virsh, tmp_path: Path) -> None:
    (tmp_path / "output").write_bytes(b"<domain><name>caf\xe9</name></domain>")
    with pytest.raises(LibvirtError, match="not UTF-8"):
        virsh.xml(FIRST)


def test_a_program_that_cannot_be_run_is_an_error(virsh: Virsh, tmp_path: Path) -> None:
    (tmp_path / "virsh").chmod(0o644)
    with pytest.raises(LibvirtError, match="virsh"):
        virsh.guests()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("yes", f"more than {virsh_file._MAX_BYTES} bytes"),
        ("yes >&2", f"more than {virsh_file._MAX_BYTES} bytes"),
        ("echo begun; sleep 30 & wait", "timed out"),
        ("exec >&- 2>&-; sleep 30", "timed out"),
    ],
)
def test_a_program_that_prints_without_end_or_hangs_is_stopped(
    virsh: Virsh, tmp_path: Path, program: str, words: str
) -> None:
    if words == "timed out":
        virsh = replace(virsh, seconds=0.3)
    (tmp_path / "virsh").write_text(f"#!/bin/sh\n{program}\n")
    began = time.monotonic()
    with pytest.raises(LibvirtError, match=words):
        virsh.guests()
    assert time.monotonic() - began < 10


GUESTS = {FIRST: "5", SECOND: "web", THIRD: FIRST}


def test_guests_are_named_by_name_or_uuid() -> None:
    assert matching_guests(["web", "5", SECOND.upper()], GUESTS) == [SECOND, FIRST]


@pytest.mark.parametrize(("text", "words"), [("db", "guests not found"), (FIRST, "several guests")])
def test_names_that_identify_no_guest(text: str, words: str) -> None:
    with pytest.raises(LibvirtError, match=words) as raised:
        matching_guests([text, "web"], GUESTS)
    assert raised.value.details["guests"] == [text]
