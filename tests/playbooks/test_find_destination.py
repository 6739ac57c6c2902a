# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook find_destination on stand-in hosts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drivers.samples import mdpy, mtty
from stand_in_fleet import Fleet, fleet

A, B = (f"{digit * 8}-1111-4111-8111-111111111111" for digit in "ab")
WEB, PLAIN = (f"{digit * 8}-5555-4666-8777-888888888888" for digit in "12")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """gpu-2 has more devices than gpu-10, and gpu-3 other types."""
    with fleet(tmp_path_factory.mktemp("fleet"), gpu_1=mtty(), gpu_2=mtty(), gpu_3=mdpy(), gpu_10=mtty()) as started:
        started.hosts["gpu-1"].device(uuid=A, type="mtty-1")
        started.add_guest("gpu-1", "web", WEB, A)
        started.add_guest("gpu-1", "plain", PLAIN)
        started.hosts["gpu-2"].device(uuid=B, type="mtty-1")
        yield started


def test_hosts_are_ranked_and_the_others_have_a_reason(hosts: Fleet) -> None:
    played = hosts.play("vfio.mdev.find_destination", "gpu_hosts", find_source="gpu-1")
    assert played.code == 0, played.output
    assert played.output.index("1  gpu-10  can take all guests") < played.output.index("2  gpu-2   can take all guests")
    assert "gpu-3: type: " in played.output
    assert "gpu-1:" not in played.output.partition("Show the hosts")[2].partition("PLAY RECAP")[0]
    assert "changed=0" in played.output.partition("gpu-2 ")[2]


def test_a_placement_and_names(hosts: Fleet) -> None:
    played = hosts.play(
        "vfio.mdev.find_destination",
        "gpu-2,gpu-10",
        find_source="gpu-1",
        find_guest_names=["web"],
        find_placement="pack",
    )
    assert "1  gpu-2   can take all guests" in played.output


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "find_source is missing"),
        ({"find_source": "gpu-9"}, "gpu-9 is not in the inventory"),
        ({"find_source": "gpu-1", "find_guests": []}, "find_guests is unknown: did you mean find_guest_names?"),
        ({"find_source": "gpu-1", "find_placement": "best"}, "must be one of first, pack, spread"),
    ],
)
def test_bad_variables_are_refused(hosts: Fleet, variables: dict[str, object], words: str) -> None:
    played = hosts.play("vfio.mdev.find_destination", "gpu-2", **variables)
    assert played.code != 0
    assert words in played.output
