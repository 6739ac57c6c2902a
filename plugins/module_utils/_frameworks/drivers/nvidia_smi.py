# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs nvidia-smi, which alone reports and sets the modes of NVIDIA's cards: MIG, GPU instances, mixed sizes.

Source: NVIDIA vGPU User Guide ("nvidia-smi vgpu -shm"), NVIDIA MIG User Guide ("-mig", "mig -cgi", "-lgi", "-dci",
"-dgi").
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from ..._host.paths import Host
from ..._host.reader import errno_text
from ..._host.tool import run_tool
from ..._model.errors import BackendFailed, NotFound
from ..._model.inventory import CardModes
from .nvidia_smi_text import NVIDIA_SMI, CardText, GpuInstance, VgpuType, parse_cards, parse_instances, parse_types

# Where NVIDIA's installer puts it.
_PLACE = ("usr", "bin", NVIDIA_SMI)
# Eight cards with some 70 types each.
_MAX_BYTES = 1 << 20
# How long an answer that only reads may take. A card that hangs must not keep all others from being read.
_READ_SECONDS = 30.0
_TYPES = "vgpu -s -v"
# mig -lgi answers so, with an exit code other than 0, for a card without MIG mode or without GPU instances.
_NO_INSTANCES = ("No GPU instances found", "No MIG-enabled devices found")


@dataclass(frozen=True)
class Answer:
    """The exit code, None if the tool did not end, and the output."""

    command: str
    code: Optional[int]
    output: str

    @property
    def text(self) -> str:
        """The answer in words."""
        ended = "did not end in time" if self.code is None else f"exited with code {self.code}"
        return f"'{self.command}' {ended} with this output: {' '.join(self.output.split()) or 'none'}"


@dataclass(frozen=True)
class NvidiaSmi:
    """The tool of one host."""

    host: Host

    @property
    def path(self) -> str:
        """The path of the tool."""
        return self.host.beside(*_PLACE)

    def exists(self) -> bool:
        """Whether the tool is installed."""
        return os.access(self.path, os.X_OK)

    def run(self, arguments: Sequence[str], seconds: float = _READ_SECONDS) -> Answer:
        """Runs the tool."""
        command = " ".join((NVIDIA_SMI, *arguments))
        try:
            answer = run_tool([self.path, *arguments], seconds, most=_MAX_BYTES)
            return Answer(command, answer.code, answer.text)
        except OSError as error:
            raise NotFound(
                f"{self.path} can't be run: {errno_text(error)}. It is part of NVIDIA's vGPU driver",
                path_tried=self.path,
            ) from error

    def cards(self) -> dict[str, CardText]:
        """The modes of all cards by address, without their GPU instances. Empty if the tool does not report them."""
        answer = self.run(("-q",))
        return parse_cards(answer.output) if answer.code == 0 else {}

    def card(self, address: str) -> CardText:
        """The modes of one card."""
        answer = self.run(("-q", "-i", address))
        known = parse_cards(answer.output) if answer.code == 0 else {}
        return known.get(address, CardText(CardModes(address)))

    def instances(self, address: str) -> tuple[GpuInstance, ...]:
        """The GPU instances of one card."""
        answer = self.run(("mig", "-lgi", "-i", address))
        if answer.code == 0 or any(text in answer.output for text in _NO_INSTANCES):
            return parse_instances(answer.output)
        raise BackendFailed(
            f"card {address}: its GPU instances can't be read: {answer.text}",
            backend=NVIDIA_SMI,
            answer=answer.output,
            exit_code=answer.code,
            card=address,
        )

    def serials(self) -> dict[str, str]:
        """The serial numbers of the cards that report one, by address. Empty without the tool."""
        if not self.exists():
            return {}
        modes = [card.modes for card in self.cards().values()]
        return {card.address: card.serial for card in modes if card.serial is not None}

    def types(self, cards: Iterable[str]) -> dict[str, tuple[VgpuType, ...]]:
        """All types by address, also those that can't be created now. Empty if they can't be read.

        They do not change, so a run that reads its host several times asks once, and again if one of these cards is
        missing: its driver may have been starting.
        """
        known: dict[str, tuple[VgpuType, ...]] = self.host.remembered.get(_TYPES, {})
        if not known.keys() >= set(cards):
            answer = self.run(_TYPES.split())
            known = parse_types(answer.output) if answer.code == 0 else {}
            self.host.remembered[_TYPES] = known
        return known


def read_modes(host: Host) -> tuple[CardModes, ...]:
    """The modes of all cards, with their GPU instances. Empty without the tool."""
    smi = NvidiaSmi(host)
    if not smi.exists():
        return ()
    cards = (card.modes for card in smi.cards().values())
    return tuple(replace(modes, instances=_names(smi, modes.address)) if modes.mig else modes for modes in cards)


def _names(smi: NvidiaSmi, address: str) -> tuple[str, ...]:
    return tuple(instance.name for instance in smi.instances(address))
