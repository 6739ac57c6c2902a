# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on s390 channel devices."""

from __future__ import annotations

import errno

import pytest

from drivers.kit.changes import Change, Refusal, apply_and_repeat, check_change, check_refusal
from drivers.kit.isolated_host import Boot
from drivers.kit.nodes import refuse
from drivers.vfio_ccw import Subchannel

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"
DASD, SECOND = "0.0.0052", "0.0.0e11"
IO = "vfio_ccw-io"

ACTIVE = {"uuid": UUID, "type": IO, "parent": DASD}
DEFINED = {**ACTIVE, "persistent": True}

CHANGES = {
    "by its address": Change(
        ACTIVE,
        [f"create {IO} on {DASD}"],
        {
            "parent_nodedev": "css_0_0_0052",
            "type_name": "I/O subchannel (Non-QDIO)",
            "device_api": "vfio-ccw",
            "nodedev": "mdev_11111111_2222_3333_4444_555555555555_0_0_0052",
        },
    ),
    "by its node device's name": Change(
        {**ACTIVE, "parent": "css_0_0_0052"}, [f"create {IO} on {DASD}"], {"parent": DASD}
    ),
    "on the next free subchannel": Change(
        {"uuid": OTHER, "type": IO}, [f"create {IO} on {SECOND}"], {"parent": SECOND}, before=(ACTIVE,)
    ),
    "at the next boot too": Change(
        DEFINED, [f"create {IO} on {DASD}", f"define {IO} on {DASD}"], {"active": True, "defined": True}
    ),
    "on another subchannel": Change(
        {**ACTIVE, "parent": SECOND, "recreate": True},
        [f"remove {IO} on {DASD}", f"create {IO} on {SECOND}"],
        {"parent": SECOND},
        before=(ACTIVE,),
    ),
    "removed": Change({"uuid": UUID, "state": "absent"}, [f"remove {IO} on {DASD}"], None, before=(ACTIVE,)),
}

REFUSALS = {
    "a second device": Refusal(
        {"uuid": OTHER, "type": IO, "parent": DASD}, "no_room", [f"has 0 of {IO} left"], before=(ACTIVE,)
    ),
    "a channel device's address": Refusal(
        {"uuid": UUID, "type": IO, "parent": "0.0.1234"}, "not_found", ["0.0.1234", DASD]
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes(boot: Boot, change: Change) -> None:
    check_change(boot(Subchannel(DASD), Subchannel(SECOND)), change)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refusals(boot: Boot, refusal: Refusal) -> None:
    check_refusal(boot(Subchannel(DASD), Subchannel(SECOND)), refusal)


def test_a_set_takes_each_subchannel_once(boot: Boot) -> None:
    host = boot(Subchannel(DASD), Subchannel(SECOND))
    done = apply_and_repeat(host, host.set, devices=[{"type": IO, "count": 2}])
    assert sorted(device["parent"] for device in done["devices"]) == [DASD, SECOND]
    assert host.info()["types"][0]["available_instances"] == 0


class Taken(Subchannel):
    """A subchannel that another program takes between reading and writing."""

    def left(self, type_id: str) -> int:
        return 1

    def probe(self, type_id: str, uuid: str) -> None:
        refuse(self.full)


@pytest.mark.parametrize("number", [errno.EUSERS, errno.EPERM], ids=["since Linux 6.1", "before"])
def test_the_next_subchannel_is_used_if_the_first_is_taken_in_between(boot: Boot, number: int) -> None:
    done = boot(Taken(DASD, full=number), Subchannel(SECOND)).device(uuid=UUID, type=IO)
    assert done["device"]["parent"] == SECOND
    [rejected] = done["rejected_parents"]
    assert (rejected["parent"], errno.errorcode[number] in rejected["reason"]) == (DASD, True)
