# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with real guests is emptied: killed in the middle, run again, and every guest is where the result says."""

from __future__ import annotations

import json
from typing import Any

from conftest import SLOWLY, STALLED, Lab

A, B, C, D = (f"{digit * 8}-2222-3333-4444-555555555555" for digit in "5678")
CORDON = "/var/lib/vfio-mdev/cordon.json"


def result(output: str) -> dict[str, list[str]]:
    """The result's lines, as words, by the names of the guests."""
    text = output.partition("TASK [Show where each guest is]")[2]
    shown: dict[str, Any] = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
    return {line.split()[0]: line.split()[1:] for line in shown["msg"]}


def assert_where(lab: Lab, output: str, **expected: str) -> None:
    """The result names these hosts, and every guest is there and on no other."""
    assert {guest: words[1] for guest, words in result(output).items()} == expected
    names = {host.name: set(host.sh("virsh list --all --name").split()) for host in (lab.a, lab.b)}
    for guest, name in expected.items():
        assert {host for host, guests in names.items() if guest in guests} == {name}, (guest, names)


def test_a_host_is_emptied(lab: Lab) -> None:
    """web has two devices, idle is shut off, and busy changes its memory faster than it is copied at first.

    The first run is killed when web has arrived: nobody has committed it, and busy still migrates.
    """
    lab.a.guest("web", A, B)
    lab.a.guest("idle", C)
    lab.a.sh("virsh destroy idle")
    lab.a.guest("busy", D, restless=True)
    play = lab.start_drain(lab.a, lab.b, **SLOWLY)
    play.wait_for(f"web to {lab.b.name}: migrated")
    play.kill()
    assert CORDON in lab.a.files()

    output = lab.drain(lab.a, lab.b, fails=True, **STALLED)
    assert_where(lab, output, busy=lab.a.name, idle=lab.b.name, web=lab.b.name)
    assert "was not migrated: it was aborted, because" in " ".join(result(output)["busy"])
    assert (lab.a.guests(), lab.b.guests()) == ({"busy"}, {"web"})
    assert lab.b.mdevs("idle", "--inactive") == {C}
    # Nothing of busy is left on the destination, and no XML on the source.
    assert lab.b.devices() == {A, B, C}
    assert (lab.a.files(), lab.b.files()) == ({CORDON}, set())

    output = lab.drain(lab.a, lab.b)
    assert_where(lab, output, busy=lab.b.name)
    assert lab.a.sh("virsh list --all --name").split() == []
    assert lab.b.guests() == {"web", "busy"}
    lab.undrain(lab.a)
    assert lab.a.files() | lab.b.files() == set()
