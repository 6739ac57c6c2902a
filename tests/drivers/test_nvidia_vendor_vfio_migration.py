# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migration destinations for guests that have virtual functions with vGPUs."""

from __future__ import annotations

from typing import Any

from drivers.kit.changes import actions
from drivers.kit.isolated_host import Boot, IsolatedHost
from drivers.nvidia_vendor_vfio import Card

FOUR, FIVE, SIX = (f"0000:41:00.{number}" for number in "456")
SMALL = "1148"


def guest(*functions: str) -> str:
    """The XML of a guest with these functions and a network card of the host."""
    hostdevs = "".join(
        f"<hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0x0000' bus='0x{function[5:7]}' "
        f"slot='0x00' function='0x{function[-1]}'/></source></hostdev>"
        for function in ("0000:03:00.0", *functions)
    )
    return f"<domain><name>web</name><devices>{hostdevs}</devices></domain>"


def source_with_guest(boot: Boot, *functions: str) -> list[dict[str, Any]]:
    """What the source host reports about its guest."""
    host = boot(Card("0000:41:00", 3))
    for function in functions:
        host.device(parent=function, type=SMALL, attributes=[{"name": "nvidia/vgpu_params", "value": "frl=0"}])
    host.add_guest("web", guest(*functions))
    [web] = host.guests()
    assert [(vgpu["uuid"], vgpu["function"], vgpu["type"]) for vgpu in web["devices"]] == [
        (None, function, SMALL) for function in functions
    ]
    host.remove_guest("web")
    return [web]


def destination(boot: Boot, *taken: str) -> tuple[IsolatedHost, Card]:
    card = Card("0000:41:00", 3)
    host = boot(card)
    host.reboot()
    for function in taken:
        host.device(parent=function, type=SMALL)
    return host, card


def test_prepare_commit_and_boot(boot: Boot) -> None:
    guests = source_with_guest(boot, FOUR, FIVE)
    host, card = destination(boot)
    uuid_map = {FOUR: SIX, FIVE: FIVE}
    checked = host.migration(guests=guests, uuid_map=uuid_map, check=True)
    assert card.types_set() == {}
    done = host.migration(guests=guests, uuid_map=uuid_map)
    again = host.migration(guests=guests, uuid_map=uuid_map)
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert actions(checked) == actions(done) == [f"create {SMALL} on {SIX}", f"create {SMALL} on {FIVE}"]
    assert card.types_set() == {SIX: 1148, FIVE: 1148}
    [prepared] = again["guests"]
    assert (prepared["uuid_map"], prepared["xml"]) == (uuid_map, guest(SIX, FIVE))
    missing = host.migration(state="committed")
    assert missing["error"]["kind"] == "not_migrated"
    host.add_guest("web", guest(SIX, FOUR))
    assert f"has the devices {FOUR}, {SIX} here" in host.migration(state="committed")["msg"]
    host.add_guest("web", guest(SIX, FIVE))
    committed = host.migration(state="committed", persistent=True)
    assert committed["source_devices"] == [{"parent": FOUR}, {"parent": FIVE}]
    host.reboot()
    assert card.types_set() == {SIX: 1148, FIVE: 1148}


def test_a_free_function_is_chosen_and_released_by_rollback(boot: Boot) -> None:
    guests = source_with_guest(boot, FOUR)
    host, card = destination(boot, FOUR)
    [prepared] = host.migration(guests=guests, uuid_policy="new")["guests"]
    assert (prepared["uuid_map"], prepared["xml"]) == ({FOUR: FIVE}, guest(FIVE))
    assert host.migration(guests=guests, uuid_policy="new")["changed"] is False
    host.migration(state="rolled_back")
    assert card.types_set() == {FOUR: 1148}


def test_a_function_in_use_on_the_destination_blocks_the_migration(boot: Boot) -> None:
    guests = source_with_guest(boot, FOUR)
    host, card = destination(boot, FOUR)
    host.open_as_guest(card.functions[0].group, "db")
    refused = host.migration(guests=guests)
    assert refused["error"]["kind"] == "not_ready"
    assert f"function {FOUR} is in use here by db" in refused["msg"]
    assert card.types_set() == {FOUR: 1148}
