# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads and sets the modes of NVIDIA's cards, and reads each back: the tool can succeed without an effect.

Exit codes of nvidia-smi: 19 if a vGPU exists or another client uses the card, 6 for an unknown card
(bigstack-oss/cubecos #1316, config_gpu.cpp).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from .._frameworks.drivers.nvidia_smi import Answer, NvidiaSmi
from .._frameworks.drivers.nvidia_smi_text import NVIDIA_SMI
from .._host.paths import Host
from .._host.sysfs_writer import wait_until
from .._model.errors import BackendFailed, InUse, MdevError, NotFound
from .modes import SET_INSTANCES, SET_MIG, SET_MIXED_SIZES, CardState, SetMode, compare, value_text

_IN_USE_CODE = 19
_UNKNOWN_CARD_CODE = 6
_SWITCH = {True: "1", False: "0"}
# How long the driver may take to report what it has accepted.
_READ_BACK_SECONDS = 5.0


@dataclass(frozen=True)
class NvidiaModes:
    """The modes of the cards of one host. timeout: seconds that each command may take."""

    host: Host
    timeout: float

    @property
    def smi(self) -> NvidiaSmi:
        """The tool."""
        return NvidiaSmi(self.host)

    def read(self, address: str) -> Optional[CardState]:
        """The modes of a card. None without the tool."""
        if not self.smi.exists():
            return None
        modes = self.smi.card(address).modes
        instances = self.smi.instances(address) if modes.mig else ()
        return CardState(modes.mig, modes.mixed_sizes, instances)

    def set(self, step: SetMode) -> None:
        """Does the step, and checks that the card reports the new mode."""
        for arguments in _COMMANDS[step.action](step):
            answer = self.smi.run(arguments, self.timeout)
            if answer.code != 0:
                raise self._failed(step, answer)
        if not wait_until(lambda: self._is_done(step), min(self.timeout, _READ_BACK_SECONDS)):
            raise self._not_done(step)

    def _is_done(self, step: SetMode) -> bool:
        state = self.read(step.address)
        if state is None:
            return False
        if step.action == SET_INSTANCES:
            return compare(step.after if isinstance(step.after, tuple) else (), state.instances) == ([], [])
        return bool(state.mig if step.action == SET_MIG else state.mixed_sizes) == step.after

    def _not_done(self, step: SetMode) -> MdevError:
        """The error for a mode that the card does not report although the tool succeeded."""
        card = self.smi.card(step.address)
        state = self.read(step.address) or CardState()
        now = {SET_MIG: state.mig, SET_MIXED_SIZES: state.mixed_sizes, SET_INSTANCES: state.profiles}[step.action]
        pending = (
            ". The new mode is pending: the card must be reset, or the host rebooted. Stop what else uses the card, "
            "such as monitoring"
            if step.action == SET_MIG and card.mig_pending == step.after
            else ""
        )
        return BackendFailed(
            f"{_failure(step)}: nvidia-smi succeeded, but the card reports {value_text(now)}{pending}"
            f"{_facts(card.capabilities)}",
            backend=NVIDIA_SMI,
            exit_code=0,
            card=step.address,
        )

    def _failed(self, step: SetMode, answer: Answer) -> MdevError:
        if answer.code == _IN_USE_CODE:
            return InUse(
                f"{_failure(step)}: {answer.text}. A vGPU exists on the card, or another program uses it. Remove the "
                "vGPUs of this card and stop other programs, such as monitoring",
                card=step.address,
                exit_code=answer.code,
            )
        if answer.code == _UNKNOWN_CARD_CODE and step.action != SET_INSTANCES:
            return NotFound(
                f"{_failure(step)}: {answer.text}. The driver does not know this card: it may still be starting",
                card=step.address,
                exit_code=answer.code,
            )
        capabilities = self.smi.card(step.address).capabilities
        return BackendFailed(
            f"{_failure(step)}: {answer.text}{_MEANINGS[step.action]}{_facts(capabilities)}",
            backend=NVIDIA_SMI,
            answer=answer.output,
            exit_code=answer.code,
            card=step.address,
        )


_MEANINGS = {
    SET_MIG: "",
    SET_INSTANCES: ". If the profiles don't fit beside each other, list others: nvidia-smi mig -lgip shows them",
    SET_MIXED_SIZES: "",
}


def _facts(capabilities: tuple[str, ...]) -> str:
    return f". It reports {', '.join(capabilities)}" if capabilities else ""


def _failure(step: SetMode) -> str:
    return f"card {step.address}: {step.change_text} failed"


def _instances(step: SetMode) -> list[tuple[str, ...]]:
    before = step.before if isinstance(step.before, tuple) else ()
    after = step.after if isinstance(step.after, tuple) else ()
    if not after:
        # Compute instances hold their GPU instances.
        return [("mig", "-i", step.address, "-dci"), ("mig", "-i", step.address, "-dgi")]
    return [("mig", "-i", step.address, "-cgi", ",".join(after[len(before) :]), "-C")]


_COMMANDS: dict[str, Callable[[SetMode], list[tuple[str, ...]]]] = {
    SET_MIG: lambda step: [("-i", step.address, "-mig", _SWITCH[bool(step.after)])],
    SET_INSTANCES: _instances,
    SET_MIXED_SIZES: lambda step: [("vgpu", "-i", step.address, "-shm", _SWITCH[bool(step.after)])],
}
