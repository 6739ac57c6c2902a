# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with real guests is emptied: killed in the middle, run again, and every guest is where the result says."""

from __future__ import annotations

import json
from typing import Any

from conftest import Lab

A, B, C, D = (f"{digit * 8}-2222-3333-4444-555555555555" for digit in "5678")
CORDON = "/var/lib/vfio-mdev/cordon.json"


def result(output: str) -> list[str]:
    """The lines of the result."""
    text = output.partition("TASK [Show where each guest is]")[2]
    decoder = json.JSONDecoder()
    shown: dict[str, Any] = decoder.raw_decode(text[text.index("{") :])[0]
    lines: list[str] = shown["msg"]
    return lines


def where(output: str) -> dict[str, str]:
    """The host of each guest in the result."""
    return {line.split()[0]: line.split()[2] for line in result(output)}


def assert_where(lab: Lab, output: str) -> None:
    """Every guest is on the host that the result names, and on no other."""
    names = {host.name: set(host.sh("virsh list --all --name").split()) for host in (lab.a, lab.b)}
    for guest, host in where(output).items():
        assert {name for name, guests in names.items() if guest in guests} == {host}, (guest, names)


def test_a_host_is_emptied(lab: Lab) -> None:
    """web has two devices, idle is shut off, and busy can't converge: 64 MiB that stay dirty, at 1 MiB/s."""
    lab.a.guest("web", A, B)
    lab.a.guest("idle", C)
    lab.a.sh("virsh destroy idle")
    lab.a.guest("busy", D)
    lab.a.sh("virsh migrate-setspeed --domain busy --bandwidth 1")
    output = lab.drain(lab.a, lab.b, "--check")
    assert all(f"{guest}" in output for guest in ("busy", "idle", "web"))
    assert (lab.a.guests(), lab.b.guests(), lab.b.devices()) == ({"web", "busy"}, set(), set())
    assert lab.a.files() | lab.b.files() == set()

    limits = {"migrate_timeout": 40, "migrate_watch_interval": 2, "drain_parallel": 3}
    limits["drain_parallel_per_destination"] = 3
    lab.drain(lab.a, lab.b, killed_in="Migrate the guests", **limits)
    assert CORDON in lab.a.files()
    output = lab.drain(lab.a, lab.b, fails=True, **limits)
    assert where(output) == {"busy": lab.a.name, "idle": lab.b.name, "web": lab.b.name}
    assert_where(lab, output)
    assert lab.a.guests() == {"busy"}
    assert lab.b.guests() == {"web"}
    assert lab.b.mdevs("idle", "--inactive") <= lab.b.devices()
    # busy was rolled back: nothing of it is left on the destination, and no XML on the source.
    assert lab.b.devices() == {A, B, C}
    assert (lab.a.files(), lab.b.files()) == ({CORDON}, set())

    lab.a.sh("virsh migrate-setspeed --domain busy --bandwidth 1000")
    output = lab.drain(lab.a, lab.b, **limits)
    assert where(output) == {"busy": lab.b.name}
    assert_where(lab, output)
    assert lab.a.sh("virsh list --all --name").split() == []
    assert lab.b.guests() == {"web", "busy"}
    assert (lab.a.files(), lab.b.files()) == ({CORDON}, set())


def test_guests_stay_if_one_has_no_destination(lab: Lab) -> None:
    """The destination has room for one of two guests. With drain_partial, this one moves."""
    lab.a.guest("web", A)
    lab.a.guest("db", B)
    others = [f"{number:08x}-7777-3333-4444-555555555555" for number in range(23)]
    create = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create"
    lab.b.sh(f"for uuid in {' '.join(others)}; do echo $uuid > {create}; done")
    output = lab.drain(lab.a, lab.b, fails=True)
    assert "1 of 2 guests have no destination: web" in output
    assert (lab.a.guests(), lab.b.guests()) == ({"web", "db"}, set())
    assert lab.a.files() | lab.b.files() == set()
    output = lab.drain(lab.a, lab.b, fails=True, drain_partial=True)
    assert where(output) == {"db": lab.b.name, "web": lab.a.name}
    assert_where(lab, output)
