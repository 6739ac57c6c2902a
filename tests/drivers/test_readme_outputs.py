# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README shows what the modules return today."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from drivers.kit.isolated_host import Boot
from drivers.nvidia_vendor_vfio import Card

README = (Path(__file__).parents[2] / "README.md").read_text()


def shown(host: str) -> dict[str, Any]:
    """The result in the README for a host."""
    results: list[str] = re.findall(rf"^{host} \| SUCCESS => (\{{\n.*?^\}})$", README, re.MULTILINE | re.DOTALL)
    [result] = results
    values: dict[str, Any] = json.loads(result)
    return values


def sets() -> list[dict[str, Any]]:
    """The sets of the README's first play."""
    [block] = re.findall(r"^```yaml\n# provision\.yml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    [play] = yaml.safe_load(block)
    [role] = play["roles"]
    requested: list[dict[str, Any]] = role["provision_sets"]
    return requested


def test_the_result_of_a_host_with_the_first_play(boot: Boot) -> None:
    host = boot(Card("0000:41:00", 32))
    for requested in sets():
        devices = host.set(**requested, persistent=True)["devices"]
        assert len(devices) == 2
    info = host.info(gather=["devices", "users"], parents=["0000:41:00.4"])
    assert shown("gpu-7") == info


def test_the_result_of_a_host_without_devices(boot: Boot) -> None:
    assert shown("localhost") == boot().info()
