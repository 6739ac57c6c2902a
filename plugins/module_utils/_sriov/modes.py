# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modes of NVIDIA's cards, and the steps that change them. Pure.

Sources: bigstack-oss/cubecos #1316, #905 and its config_gpu.cpp, which was measured on an RTX PRO 6000 Blackwell.

- MIG mode does not change while functions are enabled ("In use by another client").
- Enabling and disabling functions rebinds the driver, which removes all GPU instances and ends mixed sizes. MIG mode
  stays.
- GPU instances and mixed sizes therefore come after the functions, and before the first vGPU.
- Mixed sizes do not exist on a card in MIG mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union

from .._frameworks.drivers.nvidia_smi_text import NVIDIA_SMI, GpuInstance
from .request import VfsRequest

SET_MIG = "set_mig"
SET_INSTANCES = "set_gpu_instances"
SET_MIXED_SIZES = "set_mixed_sizes"

ModeValue = Union[None, bool, "tuple[str, ...]"]


@dataclass(frozen=True)
class CardState:
    """The modes of a card now. None: the card does not have the mode, or it can't be read."""

    mig: Optional[bool] = None
    mixed_sizes: Optional[bool] = None
    instances: tuple[GpuInstance, ...] = ()

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles of the GPU instances, by name."""
        return tuple(instance.name for instance in self.instances)


@dataclass(frozen=True)
class SetMode:
    """Change a mode of a card with nvidia-smi. action: one of the constants above."""

    action: str
    address: str
    before: ModeValue
    after: ModeValue
    backend: str = NVIDIA_SMI

    @property
    def change_text(self) -> str:
        """The change in words."""
        return f"{_SUBJECTS[self.action]} from {value_text(self.before)} to {value_text(self.after)}"


_SUBJECTS = {
    SET_MIG: "changing MIG mode",
    SET_INSTANCES: "changing the GPU instances",
    SET_MIXED_SIZES: "changing mixed sizes",
}


def value_text(value: ModeValue) -> str:
    """A mode in words."""
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "unknown" if value is None else "on" if value else "off"


def changes_mig(request: VfsRequest, state: Optional[CardState]) -> bool:
    """Whether MIG mode is requested that the card does not have now. A card without MIG has it off."""
    return request.mig is not None and state is not None and bool(request.mig) != bool(state.mig)


def before_functions(request: VfsRequest, state: Optional[CardState], keeps_instances: bool) -> list[SetMode]:
    """The steps that are only possible without functions. keeps_instances: whether functions do not change before."""
    if state is None or not changes_mig(request, state):
        return []
    steps = []
    if state.instances and keeps_instances:
        steps.append(SetMode(SET_INSTANCES, request.address, state.profiles, ()))
    return [*steps, SetMode(SET_MIG, request.address, bool(state.mig), bool(request.mig))]


def after_functions(request: VfsRequest, state: Optional[CardState], is_new: bool) -> list[SetMode]:
    """The steps that come after the functions. is_new: whether earlier steps ended all modes but MIG."""
    if state is None:
        return []
    steps: list[SetMode] = []
    if request.mig:
        steps += _instance_steps(request, request.mig, () if is_new else state.instances)
    mixed_sizes = (False if state.mixed_sizes is not None else None) if is_new else state.mixed_sizes
    if request.mixed_sizes is not None and request.mixed_sizes != bool(mixed_sizes):
        steps.append(SetMode(SET_MIXED_SIZES, request.address, mixed_sizes, request.mixed_sizes))
    return steps


def _instance_steps(request: VfsRequest, wanted: Sequence[str], instances: Sequence[GpuInstance]) -> list[SetMode]:
    """GPU instances that are missing are added. If there are others, all are replaced: only so there is room."""
    missing, others = compare(wanted, instances)
    names = tuple(instance.name for instance in instances)
    if others and (missing or not request.mig_at_least):
        return [
            SetMode(SET_INSTANCES, request.address, names, ()),
            SetMode(SET_INSTANCES, request.address, (), tuple(wanted)),
        ]
    return [SetMode(SET_INSTANCES, request.address, names, (*names, *missing))] if missing else []


def compare(wanted: Sequence[str], instances: Sequence[GpuInstance]) -> tuple[list[str], list[GpuInstance]]:
    """The wanted profiles that no GPU instance has, and the GPU instances that nothing wants."""
    others = list(instances)
    missing: list[str] = []
    for profile in wanted:
        match = next((instance for instance in others if instance.has_profile(profile)), None)
        if match is None:
            missing.append(profile)
        else:
            others.remove(match)
    return missing, others
