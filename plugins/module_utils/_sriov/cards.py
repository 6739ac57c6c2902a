# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's side of SR-IOV: cards read from sysfs, their numbers set, and read back.

NVIDIA's tool can end with exit code 0 and no functions, and a driver may enable fewer than it was asked for: only what
the kernel shows afterwards counts.
"""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Optional

from .._frameworks.registry import read_devices
from .._host.paths import HostPaths
from .._host.pci import read_card
from .._host.reader import Reader, errno_text
from .._host.sysfs_writer import Remover, waited_for
from .._host.users import function_users
from .._model.addresses import address_key
from .._model.errors import BackendFailed, KernelRefused, VfsMissing
from .._model.inventory import Vfs
from .plan import SRIOV_MANAGE, Cards, Occupant, SetVfs, SriovCard, WantedVfs

_MANAGER = ("usr", "lib", "nvidia", "sriov-manage")
_MANAGER_OPTIONS = {True: "-e", False: "-d"}
# The kernel has made or removed functions before it answers. Some more for a tool that leaves work behind.
_APPEAR_SECONDS = 10.0

# Source: sriov_numvfs_store() and sriov_enable() in drivers/pci/iov.c.
_MEANS = {
    errno.ENOENT: "no driver is bound to the card, or its driver can't enable functions: load the right one first",
    errno.EBUSY: "it has virtual functions already, or the card is busy",
    errno.ENOMEM: "the firmware left no room for them: enable SR-IOV and 'above 4G decoding' there, "
    "or boot with pci=realloc",
    errno.ERANGE: "the card can't have so many",
    errno.EACCES: "only root may do this",
    errno.EROFS: "sysfs is mounted read-only: in a container it must be mounted writable",
}
_ELSE = "see the kernel log"


@dataclass(frozen=True)
class Sriov:
    """Cards of one host. seconds: how long the tool or the kernel may take."""

    paths: HostPaths
    seconds: float
    writer: Remover = field(default_factory=Remover)

    @property
    def manager(self) -> str:
        """Where NVIDIA's driver puts its tool."""
        return self.paths.beside(*_MANAGER)

    def has_manager(self) -> bool:
        """Whether NVIDIA's tool is there."""
        return os.access(self.manager, os.X_OK)

    def read(self, wanted: Sequence[WantedVfs]) -> Cards:
        """The cards, and what is on those whose number is to change."""
        found = [self._card(one) for one in wanted if os.path.isdir(self._folder(one.address))]
        return Cards(tuple(found), tuple(sorted(self._with_sriov(), key=address_key)))

    def is_ready(self, wanted: WantedVfs) -> bool:
        """Whether the card is there, and has a driver or its functions already."""
        card = read_card(self.paths, wanted.address)
        if card.vfs_total is None or card.vfs_enabled is None:
            return False
        return card.driver is not None or wanted.on(Vfs(card.vfs_enabled, card.vfs_total)) == card.vfs_enabled

    def set(self, step: SetVfs) -> None:
        """Gives the card its number, and makes sure that it has it."""
        said = self._manage(step) if step.tool == SRIOV_MANAGE else self._write(step)
        seconds = min(self.seconds, _APPEAR_SECONDS)
        if waited_for(lambda: self._count(step.address) == (step.after, step.after), seconds):
            return
        enabled, functions = self._count(step.address)
        raise VfsMissing(
            f"{_tried(step)}: {said}, but after {seconds:g} s the kernel has {enabled} of {step.after} enabled "
            f"and shows {functions}. See the kernel log",
            card=step.address,
            vfs=step.after,
            enabled=enabled,
        )

    def _write(self, step: SetVfs) -> str:
        path = os.path.join(self._folder(step.address), "sriov_numvfs")
        number = self.writer.write(path, self.seconds, str(step.after))
        if number is None:
            raise KernelRefused(
                f"{_tried(step)}: the kernel did not finish in {self.seconds:g} s and still waits, "
                "as a rule for somebody who uses a function",
                card=step.address,
                errno=None,
            )
        if number:
            answer = errno_text(OSError(number, ""))
            raise KernelRefused(
                f"{_tried(step)}: the kernel answered {answer}, {_MEANS.get(number, _ELSE)}",
                card=step.address,
                errno=number,
            )
        return "the kernel took it"

    def _manage(self, step: SetVfs) -> str:
        words = [self.manager, _MANAGER_OPTIONS[step.after > 0], step.address]
        driver = self._link(step.address, "driver")
        code, output = _run(words, self.seconds)
        said = f"'{' '.join(words)}' {_ended(code, self.seconds)} and said: {output or 'nothing'}"
        if code == 0:
            return said
        if driver is not None and self._link(step.address, "driver") is None:
            self._bind(step.address)
        raise BackendFailed(
            f"{_tried(step)}: {said}. The card has {self._count(step.address)[0]} now",
            backend=SRIOV_MANAGE,
            card=step.address,
            exit_code=code,
            answer=output,
        )

    def _bind(self, address: str) -> None:
        """The tool takes the driver off the card while it works; when it fails, it may leave it so."""
        self.writer.write(os.path.join(self.paths.sys, "bus", "pci", "drivers_probe"), self.seconds, address)

    def _count(self, address: str) -> tuple[int, int]:
        """How many functions the kernel says it has enabled, and how many it shows."""
        card = read_card(self.paths, address)
        return card.vfs_enabled or 0, len(self._functions(address))

    def _card(self, wanted: WantedVfs) -> SriovCard:
        card = read_card(self.paths, wanted.address)
        functions = self._functions(wanted.address)
        vfs = None
        occupants: tuple[Occupant, ...] = ()
        if card.vfs_enabled is not None and card.vfs_total is not None:
            vfs = Vfs(card.vfs_enabled, card.vfs_total)
            if wanted.on(vfs) != vfs.enabled:
                occupants = tuple(self._occupants(wanted.address, functions))
        return SriovCard(wanted.address, card.vendor, card.driver, vfs, functions, occupants)

    def _occupants(self, address: str, functions: tuple[str, ...]) -> Iterator[Occupant]:
        """Devices on the card and its functions, and functions that are used as they are."""
        places = {address, *functions}
        devices = [one for one in read_devices(self.paths) if one.parent in places]
        for device in devices:
            yield Occupant(f"{device.words} of type {device.type_id or 'unknown'}", device.users)
        others = [one for one in functions if one not in {device.parent for device in devices}]
        for function, users in zip(others, function_users(self.paths, [self._folder(one) for one in others])):
            if users != ():
                yield Occupant(f"virtual function {function}", users)

    def _functions(self, address: str) -> tuple[str, ...]:
        names = Reader().names(self._folder(address), optional=True)
        links = [self._link(address, name) for name in names if name.startswith("virtfn")]
        return tuple(sorted((one for one in links if one is not None), key=address_key))

    def _with_sriov(self) -> Iterator[str]:
        for name in Reader().names(os.path.join(self.paths.sys, "bus", "pci", "devices"), optional=True):
            if os.path.exists(os.path.join(self._folder(name), "sriov_totalvfs")):
                yield name

    def _link(self, address: str, name: str) -> Optional[str]:
        return Reader().link_name(os.path.join(self._folder(address), name))

    def _folder(self, address: str) -> str:
        return os.path.join(self.paths.sys, "bus", "pci", "devices", address)


def _tried(step: SetVfs) -> str:
    return f"card {step.address}: going from {step.before} to {step.after} virtual functions failed"


def _ended(code: Optional[int], seconds: float) -> str:
    return f"did not end in {seconds:g} s" if code is None else f"ended with exit code {code}"


def _run(words: list[str], seconds: float) -> tuple[Optional[int], str]:
    """Exit code, None where the tool did not end, and output. One that hangs in the kernel is left behind."""
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            return 127, f"{errno_text(error)}"
        try:
            code: Optional[int] = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            code = None
        output.seek(0)
        return code, " ".join(output.read().decode("utf-8", "replace").split())
