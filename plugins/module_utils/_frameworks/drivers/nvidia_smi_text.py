# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nvidia-smi prints about cards, GPU instances and vGPU types. Pure.

Sources: output of ``nvidia-smi -q``, ``mig -lgi`` and ``vgpu -s -v`` as bigstack-oss/cubecos parses it (config_gpu.cpp
and its captured output of an RTX PRO 6000 Blackwell), NVIDIA's MIG User Guide ("mig -lgi"), and the public logs of
other cards. A field that the card does not have is "N/A". Cards are named with a domain of eight digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from ..._model.addresses import pci_address
from ..._model.inventory import CardModes

NVIDIA_SMI = "nvidia-smi"

# The start of the part about one card, in the output of -q and of vgpu -s -v.
_CARD_LINE = re.compile(r"GPU ([0-9A-Fa-f:.]+)")
# A row of mig -lgi: number of the GPU, name of the profile, its id, id of the instance, placement.
_INSTANCE_ROW = re.compile(r"\|\s*\d+\s+MIG\s+(\S+)\s+(\d+)\s+(\d+)\s+\d+:\d+\s*\|")
_SWITCH = {"Enabled": True, "Disabled": False}
_MISSING = ("N/A", "[N/A]", "")


@dataclass(frozen=True)
class CardText:
    """What -q reports about one card. mig_pending: the MIG mode that the card has after its next reset."""

    modes: CardModes
    mig_pending: Optional[bool] = None
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True)
class GpuInstance:
    """A GPU instance, by the name and the id of its profile."""

    name: str
    profile: str

    def has_profile(self, named: str) -> bool:
        """Whether the profile is named so: by id, short name (1g.5gb) or full name (MIG 1g.5gb)."""
        return named == self.profile or named.removeprefix("MIG ").strip() == self.name


@dataclass(frozen=True)
class VgpuType:
    """A vGPU type of a card, whether it can be created now or not.

    framebuffer: in MiB
    maximum:     how many of it the card holds
    profile:     the id of the GPU instance profile that it needs; None if it does not need MIG
    per_instance: how many of it one GPU instance holds
    """

    number: int
    name: str
    framebuffer: int
    maximum: int
    profile: Optional[str] = None
    per_instance: int = 0

    def is_named(self, named: str) -> bool:
        """Whether the type has this exact name, or this id: of mediated devices, or of vGPUs on functions."""
        return named in (self.name, f"nvidia-{self.number}", str(self.number))

    @property
    def description(self) -> str:
        """In the form of the file that mediated devices have, so that one rule reads both."""
        return f"framebuffer={self.framebuffer}M, max_instance={self.maximum}"


def parse_cards(text: str) -> dict[str, CardText]:
    """The output of -q: cards by address."""
    return {address: _card(address, fields) for address, fields in _parts(text)}


def _card(address: str, fields: dict[str, str]) -> CardText:
    serial = fields.get("Serial Number", "")
    capability = "Heterogeneous Time-Slice Sizes"
    return CardText(
        CardModes(
            address=address,
            mixed_sizes=_SWITCH.get(fields.get("vGPU Heterogeneous Mode", "")),
            mig=_SWITCH.get(fields.get("MIG Mode/Current", "")),
            serial=serial if serial not in _MISSING else None,
        ),
        mig_pending=_SWITCH.get(fields.get("MIG Mode/Pending", "")),
        capabilities=tuple(f"{name}: {fields[name]}" for name in (capability,) if name in fields),
    )


def parse_instances(text: str) -> tuple[GpuInstance, ...]:
    """The output of mig -lgi for one card."""
    return tuple(GpuInstance(name, profile) for name, profile, _id in _INSTANCE_ROW.findall(text))


def parse_types(text: str) -> dict[str, tuple[VgpuType, ...]]:
    """The output of vgpu -s -v: the types of cards by address. A type without all its numbers is left out."""
    types: dict[str, list[VgpuType]] = {}
    for address, block in _blocks(text):
        mdev_type = _type(block)
        if mdev_type is not None:
            types.setdefault(address, []).append(mdev_type)
    return {address: tuple(on_card) for address, on_card in types.items()}


def _type(block: dict[str, str]) -> Optional[VgpuType]:
    number, framebuffer = _number(block.get("vGPU Type ID")), _number(block.get("FB Memory"))
    maximum, name = _number(block.get("Max Instances")), block.get("Name", "")
    if number is None or framebuffer is None or maximum is None or not name:
        return None
    profile = block.get("GPU Instance Profile ID", "")
    per_instance = _number(block.get("Max Instances Per GI")) or 0
    backed = profile.isdecimal() and per_instance > 0
    return VgpuType(number, name, framebuffer, maximum, profile if backed else None, per_instance if backed else 0)


def _number(text: Optional[str]) -> Optional[int]:
    """The number that a value begins with, as in 0x5ef or 24576 MiB."""
    word = (text or "").split(" ")[0]
    try:
        return int(word, 0)
    except ValueError:
        return None


def _parts(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The fields of each card. Those that are named Current and Pending get the name of their part before theirs."""
    address, part, fields = "", "", dict[str, str]()
    for line in text.splitlines():
        start = _CARD_LINE.fullmatch(line.strip())
        if start is not None and not line.startswith(" "):
            if address:
                yield address, fields
            address, part, fields = pci_address(start.group(1)) or "", "", {}
            continue
        name, colon, value = line.partition(" : ")
        name = name.strip()
        if not colon:
            part = name
        elif name in ("Current", "Pending"):
            fields.setdefault(f"{part}/{name}", value.strip())
        else:
            fields.setdefault(name, value.strip())
    if address:
        yield address, fields


def _blocks(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The fields of each type, with the address of its card."""
    address, block = "", dict[str, str]()
    for line in text.splitlines():
        start = _CARD_LINE.fullmatch(line.strip())
        name, colon, value = line.partition(" : ")
        if start is not None or (colon and name.strip() == "vGPU Type ID"):
            if block:
                yield address, block
            block = {}
        if start is not None:
            address = pci_address(start.group(1)) or ""
        elif colon:
            block[name.strip()] = value.strip()
    if block:
        yield address, block
