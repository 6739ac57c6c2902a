# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's cards from the bare card on: virtual functions, MIG and mixed sizes, set by stand-ins of NVIDIA's tools.

The card holds all state. ``sriov-manage`` and ``nvidia-smi`` are shell scripts below the host's /usr that ask it.

Source of the rules: bigstack-oss/cubecos #905, #1316 and config_gpu.cpp, measured on an RTX PRO 6000 Blackwell; exit
codes of nvidia-smi are NVML's (nvmlReturn_t): 3 not supported, 6 not found, 19 in use, 23 insufficient resources.

- A raw write to sriov_numvfs is refused.
- sriov-manage rebinds the driver, in both directions. GPU instances and mixed sizes do not survive that, MIG mode does.
  Enabling enabled functions does nothing.
- MIG mode does not change while functions are enabled.
- Mixed sizes do not change while a vGPU exists, and do not exist in MIG mode.
- In MIG mode, only GPU instances hold vGPUs, each of one framebuffer size.
- A reboot ends everything but MIG mode, and on some cards that too.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from drivers.kit.kernel import Kernel
from drivers.kit.nodes import Node, Nodes, refuse
from drivers.kit.pci import Function
from drivers.nvidia import VgpuParent
from drivers.nvidia_card import A100, A100_MIG, RTX_PRO, VgpuType, function, room, virtual_functions
from drivers.nvidia_vendor_vfio import SHIPPED, VirtualFunction

NOT_SUPPORTED, NOT_FOUND, IN_USE, INSUFFICIENT = 3, 6, 19, 23
# The profiles of GPU instances: name and memory in MiB, by id.
PROFILES = {
    19: ("1g.5gb", 4864),
    14: ("2g.10gb", 9984),
    9: ("3g.20gb", 20224),
    47: ("1g.24gb", 24576),
}
_SCRIPT = """#!/bin/sh
printf '%s' "{name} $*" > {call}
code=$(head -n 1 {call})
tail -n +2 {call}
exit "$code"
"""

Answer = tuple[int, str]


class MdevFunction(VgpuParent):
    """A function that is a parent of one mediated device."""

    def __init__(self, pci: Function, card: Card) -> None:
        super().__init__(pci, card.types)
        self._card = card

    def left(self, type_id: str) -> int:
        return 0 if self.created() else min(1, self._card.room(self._types[type_id]))

    @property
    def type(self) -> VgpuType | None:
        return next(iter(self.created()), None)


class Card:
    """A bare card, or with `framework` "vendor_vfio" one that has no mediated devices.

    mig_survives: whether MIG mode survives a reboot; silent: whether -shm succeeds without an effect.
    """

    def __init__(
        self,
        card: str = "0000:41:00",
        count: int = 4,
        framework: str = "mdev",
        types: Sequence[VgpuType] = (*A100, *A100_MIG),
        product: str = "0x20f1",
        numa_node: int = 0,
    ) -> None:
        self.address = f"{card}.0"
        self.types = tuple(types)
        self.answers = SHIPPED
        self.broken = self.unreadable = False
        self.framework = framework
        self.mig_survives = True
        self.silent = False
        # Whether another program uses the card, and whether a new MIG mode needs a reset.
        self.busy = self.needs_reset = False
        self.serial = "1650522009999"
        self.mig = self.pending = self.mixed_sizes = self.enabled = False
        self.instances: list[int] = []
        self._product = product
        self._numa_node = numa_node
        self._addresses = virtual_functions(card, count)
        pcis = [function(address, product, numa_node, physical=self.address) for address in self._addresses]
        kind: Callable[[Function, Any], Any] = MdevFunction if framework == "mdev" else VirtualFunction
        self.functions = [kind(pci, self) for pci in pcis]

    def plug(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.enabled = self.mixed_sizes = False
        self.instances = []
        self.mig = self.mig and self.mig_survives

    def nodes(self) -> Nodes:
        physical = function(
            self.address,
            self._product,
            self._numa_node,
            virtual=self._addresses if self.enabled else (),
            total_virtual=len(self._addresses),
        )
        nodes = {"sys/module/nvidia": Node(), "sys/module/nvidia_vgpu_vfio": Node(), **physical.nodes()}
        numvfs = f"sys/devices/{physical.place}/sriov_numvfs"
        if numvfs in nodes:
            nodes[numvfs] = Node(read=nodes[numvfs].read, write=lambda _text: refuse(errno.EPERM))
        for virtual_function in self.functions if self.enabled else ():
            nodes.update(virtual_function.nodes())
        return nodes

    def created(self) -> list[VgpuType]:
        return [function.type for function in self.functions if self.enabled and function.type is not None]

    def type(self, number: int) -> VgpuType | None:
        return next((vgpu_type for vgpu_type in self.types if vgpu_type.number == number), None)

    def types_set(self) -> dict[str, int]:
        """The type of each function that has one."""
        functions = self.functions if self.enabled else []
        return {function.address: function.type.number for function in functions if function.type is not None}

    def room(self, vgpu_type: VgpuType) -> int:
        """How many more vGPUs of a type fit in this mode."""
        if self.mig != (vgpu_type.profile is not None):
            return 0
        if self.mig:
            return self._room_in_instances(vgpu_type)
        if self.mixed_sizes:
            total = max(known.framebuffer * known.maximum for known in self.types)
            used = sum(created.framebuffer for created in self.created())
            return (total - used) // vgpu_type.framebuffer
        return room(vgpu_type, self.created())

    def _room_in_instances(self, vgpu_type: VgpuType) -> int:
        """Each GPU instance takes one framebuffer size."""
        used = Counter(created.framebuffer for created in self.created() if created.profile == vgpu_type.profile)
        per_instance = {known.framebuffer: known.per_instance for known in self.types if known.profile is not None}
        taken = sum(-(-count // per_instance[size]) for size, count in used.items())
        begun = -used[vgpu_type.framebuffer] % vgpu_type.per_instance
        return begun + (self.instances.count(vgpu_type.profile or 0) - taken) * vgpu_type.per_instance

    def instance_of(self, function: Any) -> int | None:
        return self.functions.index(function) + 1 if self.mig else None

    def placement_of(self, function: Any) -> int | None:
        return self.functions.index(function)

    # What the tools do.

    def sriov_manage(self, option: str) -> Answer:
        if option == "-e" and self.enabled:
            return 0, "GPU already has VFs enabled\n"
        if any(self.kernel.is_open(function.address, -1) for function in self.functions):
            return 1, "Cannot obtain unbindLock\n"
        self.enabled = option == "-e"
        self.mixed_sizes = False
        self.instances = []
        for virtual_function in self.functions:
            self.kernel.devices = {
                uuid: device
                for uuid, device in self.kernel.devices.items()
                if device.parent != virtual_function.address
            }
            virtual_function.plug(self.kernel)
        self.kernel.changed()
        return 0, f"{'Enabling' if self.enabled else 'Disabling'} VFs on {self.address}\n"

    def set_mig(self, value: str) -> Answer:
        if self.enabled or self.busy:
            return IN_USE, "Unable to set MIG Mode: In use by another client\n"
        self.pending = value == "1"
        if self.needs_reset:
            return 0, f"Warning: MIG mode is in pending enable state for GPU 0000{self.address}\n"
        self.mig = self.pending
        self.mixed_sizes = False
        self.instances = []
        return 0, f"{'Enabled' if self.mig else 'Disabled'} MIG Mode for GPU 0000{self.address}\nAll done.\n"

    def set_mixed_sizes(self, value: str) -> Answer:
        if self.mig:
            return NOT_SUPPORTED, "Unable to set vGPU heterogeneous mode: Not Supported\n"
        if self.created():
            return IN_USE, "Unable to set vGPU heterogeneous mode: In use by another client\n"
        if not self.silent:
            self.mixed_sizes = value == "1"
        self.kernel.changed()
        return 0, "vGPU heterogeneous mode has been set\n"

    def create_instances(self, profiles: str) -> Answer:
        if not self.mig:
            return NOT_FOUND, "No MIG-enabled devices found.\n"
        names = {name: number for number, (name, _memory) in PROFILES.items()}
        total = max(
            PROFILES[known.profile][1] * (known.maximum // known.per_instance)
            for known in self.types
            if known.profile is not None
        )
        for profile in profiles.split(","):
            number = names.get(profile) or int(profile)
            if sum(PROFILES[instance][1] for instance in [*self.instances, number]) > total:
                return INSUFFICIENT, "Unable to create a GPU instance: Insufficient Resources\n"
            self.instances.append(number)
        self.kernel.changed()
        return 0, "Successfully created GPU instance\n"

    def destroy_instances(self, option: str) -> Answer:
        if self.created():
            return IN_USE, "Unable to destroy GPU instance: In use by another client\n"
        if option == "-dgi":
            self.instances = []
            self.kernel.changed()
        return 0, "Successfully destroyed\n"

    def list_instances(self) -> Answer:
        if not self.instances:
            return NOT_FOUND, "No GPU instances found: Not Found\n" if self.mig else "No MIG-enabled devices found.\n"
        rows = "".join(
            f"|   0  MIG {PROFILES[profile][0]:<12}  {profile:>4}   {index:>6}          {index}:1     |\n"
            for index, profile in enumerate(self.instances, 1)
        )
        return 0, f"| GPU instances:                                        |\n{rows}"

    def query(self) -> str:
        mig = "Enabled" if self.mig else "Disabled"
        pending = "Enabled" if self.pending else "Disabled"
        mixed = "N/A" if self.mig else "Enabled" if self.mixed_sizes else "Disabled"
        return f"""GPU 0000{self.address}
    Product Name                          : NVIDIA stand-in
    vGPU Device Capability
        Fractional Multi-vGPU             : Not Supported
        Heterogeneous Time-Slice Profiles : Supported
        Heterogeneous Time-Slice Sizes    : Supported
    MIG Mode
        Current                           : {mig}
        Pending                           : {pending}
    Serial Number                         : {self.serial}
    GPU Virtualization Mode
        Virtualization Mode               : Host VGPU
        Host VGPU Mode                    : SR-IOV
        vGPU Heterogeneous Mode           : {mixed}
    ECC Mode
        Current                           : Enabled
        Pending                           : Enabled
"""

    def supported(self) -> str:
        return f"GPU 0000{self.address}\n" + "".join(
            f"""    vGPU Type ID                      : {known.number:#x}
        Name                          : {known.name}
        Class                         : Compute
        GPU Instance Profile ID       : {"N/A" if known.profile is None else known.profile}
        Max Instances                 : {known.maximum}
        Max Instances Per VM          : 1
        Max Instances Per GI          : {"N/A" if known.profile is None else known.per_instance}
        FB Memory                     : {known.framebuffer} MiB
"""
            for known in self.types
        )


class Cards:
    """The cards of a host with NVIDIA's tools. folder: for the scripts."""

    def __init__(self, root: Path, folder: Path, *cards: Card) -> None:
        self.cards = cards
        self.commands: list[str] = []
        # Whether nvidia-smi can't reach the driver.
        self.is_broken = False
        self._answer = "0\n"
        self._folder = folder
        for name in ("nvidia-smi", "sriov-manage"):
            script = folder / name
            script.write_text(_SCRIPT.format(name=name, call=root / "stand-in/call"))
            script.chmod(0o755)

    def plug(self, kernel: Kernel) -> None:
        for card in self.cards:
            card.plug(kernel)

    def nodes(self) -> Nodes:
        nodes: Nodes = {
            "stand-in/call": Node(read=lambda: self._answer, write=self._call),
            "usr/bin/nvidia-smi": Node(target=str(self._folder / "nvidia-smi")),
            "usr/lib/nvidia/sriov-manage": Node(target=str(self._folder / "sriov-manage")),
            "etc/systemd/system/multi-user.target.wants/vfio-mdev.service": Node(read=lambda: ""),
        }
        for card in self.cards:
            nodes.update(card.nodes())
        return nodes

    def _call(self, text: str) -> None:
        self.commands.append(text)
        code, output = self._run(text.split())
        self._answer = f"{code}\n{output}"

    def _run(self, words: list[str]) -> Answer:
        program, *arguments = words
        if self.is_broken and program == "nvidia-smi":
            return 9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"
        if program == "sriov-manage":
            option, address = arguments
            return self._on(address, lambda card: card.sriov_manage(option))
        address = arguments.pop(arguments.index("-i") + 1) if "-i" in arguments else ""
        arguments = [argument for argument in arguments if argument != "-i"]
        chosen = [card for card in self.cards if not address or card.address == address]
        if not chosen:
            return NOT_FOUND, "No devices were found\n"
        if arguments == ["-q"]:
            head = "vGPU Driver Capability\n        Heterogenous Multi-vGPU           : Supported\n\n"
            return 0, head + "".join(card.query() for card in chosen)
        if arguments == ["vgpu", "-s", "-v"]:
            return 0, "".join(card.supported() for card in chosen)
        return _commands(chosen[0], arguments)

    def _on(self, address: str, act: Callable[[Card], Answer]) -> Answer:
        card = next((card for card in self.cards if card.address == address), None)
        return act(card) if card is not None else (1, f"{address} is not an NVIDIA card\n")


def _commands(card: Card, arguments: list[str]) -> Answer:
    """What nvidia-smi does with these arguments, without those that name the card."""
    *words, last = arguments
    known: dict[str, Callable[[], Answer]] = {
        "-mig": lambda: card.set_mig(last),
        "vgpu -shm": lambda: card.set_mixed_sizes(last),
        "mig -lgi": card.list_instances,
        "mig -dci": lambda: card.destroy_instances(last),
        "mig -dgi": lambda: card.destroy_instances(last),
    }
    if words[:2] == ["mig", "-cgi"] and last == "-C":
        return card.create_instances(words[2])
    act = known.get(" ".join(arguments)) or known.get(" ".join(words))
    return act() if act is not None else (2, f"Invalid combination of input arguments: {' '.join(arguments)}\n")


def rtx_pro(card: str = "0001:c8:00", count: int = 4) -> Card:
    """An RTX PRO 6000 Blackwell on a newer kernel."""
    return Card(card, count, "vendor_vfio", RTX_PRO, "0x2bb5")
