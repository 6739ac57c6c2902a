# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modes of a host's cards, read only if a question depends on them: the vendor's tool takes about a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from .._host.paths import Host
from .._model.inventory import Hardware, Inventory
from .._model.request import DeviceRequest

_NVIDIA = "nvidia"


def with_modes(host: Host, inventory: Inventory, hardware: Optional[Hardware] = None) -> Inventory:
    """The inventory with the modes of its cards. They are only read on hosts with NVIDIA's driver.

    hardware: cards that may have no parents
    """
    drivers = {parent.driver for parent in inventory.parents}
    drivers.update(card.driver for card in (hardware.cards if hardware is not None else ()))
    if inventory.cards or _NVIDIA not in drivers:
        return inventory
    # Imported here so that other hosts don't load it.
    from .drivers.nvidia_smi import read_modes

    return replace(inventory, cards=read_modes(host))


def depends_on_modes(requests: Sequence[DeviceRequest], inventory: Inventory) -> bool:
    """Whether the requests can bring types of several sizes together."""
    requested = {request.type for request in requests if request.present and request.type}
    existing = {device.type_id for device in inventory.devices}
    names = {device.type_name for device in inventory.devices}
    return len((requested - names) | existing) > 1 and any(
        inventory.device(request.key) is None for request in requests if request.present
    )
