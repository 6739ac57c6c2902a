# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README shows what the modules return today, and its numbers are those that cards hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from drivers import nvidia_sriov
from drivers.gvt_g import Gpu
from drivers.kit.host_files import Driver
from drivers.kit.isolated_host import Boot
from drivers.nvidia import t4
from drivers.nvidia_vendor_vfio import Card

README = (Path(__file__).parents[2] / "README.md").read_text()

# The cards of the table with types and counts.
CARDS: dict[str, Driver] = {
    "A100 with 40 GB": nvidia_sriov.Card("0000:41:00", 16),
    "T4": t4(),
    "Intel GVT-g with 1 GB of aperture": Gpu(),
}


def shown(host: str) -> dict[str, Any]:
    """The result in the README for a host."""
    results: list[str] = re.findall(rf"^{host} \| SUCCESS => (\{{\n.*?^\}})$", README, re.MULTILINE | re.DOTALL)
    [result] = results
    values: dict[str, Any] = json.loads(result)
    return values


def first_play() -> tuple[str, int]:
    """The type and the number of the devices in the README's first play."""
    [(mdev_type, count)] = re.findall(r"- type: (\S.*?) +#.*\n +count: (\d+) ", README)
    return mdev_type, int(count)


def test_the_result_of_a_host_with_the_first_play(boot: Boot) -> None:
    host = boot(Card("0000:41:00", 32))
    mdev_type, count = first_play()
    host.set(name="desktops", devices=[{"type": mdev_type, "count": count}], persistent=True)
    [full] = host.info(gather=["cards"])["cards"]
    assert (full["devices"], full["room"]) == ([{"active": count, "defined": count, "type": "1155"}], {})
    info = host.info(gather=["devices", "users"], parents=["0000:41:00.4"])
    assert shown("gpu-7") == info


def test_the_result_of_a_host_without_devices(boot: Boot) -> None:
    assert shown("localhost") == boot().info()


@pytest.mark.parametrize("card", CARDS)
def test_a_card_holds_exactly_the_devices_of_the_table(boot: Boot, card: str) -> None:
    host = boot(CARDS[card])
    [(mdev_type, count)] = re.findall(rf"^\| {card} \|.*\| `([^`]+)` \| (\d+) \|$", README, re.MULTILINE)
    questions = [{"type": mdev_type, "count": int(count) + more} for more in (0, 1)]
    assert [answer["fits"] for answer in host.info(gather=[], capacity=questions[:1])["capacity"]] == [True]
    assert [answer["fits"] for answer in host.info(gather=[], capacity=questions[1:])["capacity"]] == [False]
