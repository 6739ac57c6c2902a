# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration's destination for guests that have virtual functions with vGPUs."""

from __future__ import annotations

from typing import Any

from drivers.kit.changes import actions
from drivers.kit.machine import Boot, Machine
from drivers.nvidia_vendor_vfio import Card

FOUR, FIVE, SIX = (f"0000:41:00.{number}" for number in "456")
SMALL = "1148"


def guest(*functions: str) -> str:
    """A guest with these functions, and a network card that is the host's too."""
    hostdevs = "".join(
        f"<hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0x0000' bus='0x{one[5:7]}' "
        f"slot='0x00' function='0x{one[-1]}'/></source></hostdev>"
        for one in ("0000:03:00.0", *functions)
    )
    return f"<domain><name>web</name><devices>{hostdevs}</devices></domain>"


def source_with_guest(boot: Boot, *functions: str) -> list[dict[str, Any]]:
    """What the source tells of its guest."""
    machine = boot(Card("0000:41:00", 3))
    for one in functions:
        machine.device(parent=one, type=SMALL, attributes=[{"name": "nvidia/vgpu_params", "value": "frl=0"}])
    machine.has_guest("web", guest(*functions))
    [told] = machine.guests()
    assert [(one["uuid"], one["function"], one["type"]) for one in told["devices"]] == [
        (None, one, SMALL) for one in functions
    ]
    machine.loses_guest("web")
    return [told]


def destination(boot: Boot, *taken: str) -> tuple[Machine, Card]:
    card = Card("0000:41:00", 3)
    machine = boot(card)
    machine.reboot()
    for one in taken:
        machine.device(parent=one, type=SMALL)
    return machine, card


def test_prepared_committed_and_still_there_after_a_boot(boot: Boot) -> None:
    guests = source_with_guest(boot, FOUR, FIVE)
    machine, card = destination(boot)
    uuids = {FOUR: SIX, FIVE: FIVE}
    checked = machine.migration(guests=guests, uuids=uuids, check=True)
    assert card.types_set() == {}
    done = machine.migration(guests=guests, uuids=uuids)
    again = machine.migration(guests=guests, uuids=uuids)
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert actions(checked) == actions(done) == [f"create {SMALL} on {SIX}", f"create {SMALL} on {FIVE}"]
    assert card.types_set() == {SIX: 1148, FIVE: 1148}
    [prepared] = again["guests"]
    assert (prepared["uuids"], prepared["xml"]) == (uuids, guest(SIX, FIVE))
    missing = machine.migration(state="committed")
    assert missing["error"]["kind"] == "not_migrated"
    machine.has_guest("web", guest(SIX, FOUR))
    assert f"has the devices {FOUR}, {SIX} here" in machine.migration(state="committed")["msg"]
    machine.has_guest("web", guest(SIX, FIVE))
    committed = machine.migration(state="committed", persistent=True)
    assert committed["source_devices"] == [{"parent": FOUR}, {"parent": FIVE}]
    machine.reboot()
    assert card.types_set() == {SIX: 1148, FIVE: 1148}


def test_a_free_function_is_chosen_and_given_back(boot: Boot) -> None:
    guests = source_with_guest(boot, FOUR)
    machine, card = destination(boot, FOUR)
    [prepared] = machine.migration(guests=guests, uuids="new")["guests"]
    assert (prepared["uuids"], prepared["xml"]) == ({FOUR: FIVE}, guest(FIVE))
    assert machine.migration(guests=guests, uuids="new")["changed"] is False
    machine.migration(state="rolled_back")
    assert card.types_set() == {FOUR: 1148}


def test_what_a_guest_uses_here_is_in_the_way(boot: Boot) -> None:
    guests = source_with_guest(boot, FOUR)
    machine, card = destination(boot, FOUR)
    machine.open_as_guest(card.functions[0].group, "db")
    refused = machine.migration(guests=guests)
    assert refused["error"]["kind"] == "not_ready"
    assert f"function {FOUR} is in use here by db" in refused["msg"]
    assert card.types_set() == {FOUR: 1148}
