# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads cards from sysfs, sets their numbers of virtual functions, and checks the result.

NVIDIA's tool can exit with code 0 without enabling any function, and a driver can enable fewer than requested. So only
the functions that the kernel shows afterwards count.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

from .._frameworks.drivers.nvidia_smi import NvidiaSmi
from .._frameworks.registry import read_inventory
from .._host.paths import Host
from .._host.pci import pci_ids, read_card
from .._host.reader import Reader, errno_text
from .._host.sysfs_writer import SysfsWriter, wait_until
from .._host.tool import run_tool
from .._host.users import function_users
from .._model.addresses import address_key
from .._model.errors import BackendFailed, KernelRefused, VfsMissing
from .._model.inventory import Vfs
from .host_use import HostUses
from .nvidia_modes import NvidiaModes
from .plan import SRIOV_MANAGE, SYSFS, Cards, Occupant, SetVfs, SriovCard, card_steps, limits
from .request import CardIdentity, VfsRequest, known_identity

_MANAGER = ("usr", "lib", "nvidia", "sriov-manage")
_MANAGER_OPTIONS = {True: "-e", False: "-d"}
# The kernel creates or removes functions before the write returns. This leaves time for tools that work on later.
_APPEAR_SECONDS = 10.0

# Source: sriov_numvfs_store() and sriov_enable() in drivers/pci/iov.c.
_ERRNO_MEANINGS = {
    errno.ENOENT: "no driver is bound to the card, or its driver can't enable functions: load the right driver first",
    errno.EBUSY: "the card already has virtual functions, or is busy",
    errno.ENOMEM: "the firmware left no address space for them: enable SR-IOV and 'above 4G decoding' in the "
    "firmware, or boot with pci=realloc",
    errno.ERANGE: "the card does not support that many",
    errno.EACCES: "only root can do this",
    errno.EROFS: "sysfs is mounted read-only: in a container, mount it writable",
}
_UNKNOWN_ERRNO = "check the kernel log"


@dataclass(frozen=True)
class Sriov:
    """The cards of one host. timeout: seconds that the tool or the kernel may take."""

    host: Host
    timeout: float
    writer: SysfsWriter = field(default_factory=SysfsWriter)

    @property
    def manager(self) -> str:
        """The path where NVIDIA's driver installs its tool."""
        return self.host.beside(*_MANAGER)

    def has_manager(self) -> bool:
        """Whether NVIDIA's tool is installed."""
        return os.access(self.manager, os.X_OK)

    def read(self, requests: Sequence[VfsRequest]) -> Cards:
        """The requested cards, with the devices on those that should get another number of functions."""
        # The tool is slow, and only notes of former runs are compared.
        compares = any(request.identity.serial for request in requests)
        serials = NvidiaSmi(self.host).serials() if compares else {}
        present = [request for request in requests if os.path.isdir(self._folder(request.address))]
        return Cards(
            tuple(self._card(request, self._identity(request.address, serials)) for request in present),
            {address: self._identity(address, serials) for address in sorted(self._with_sriov(), key=address_key)},
        )

    def identities(self, addresses: Sequence[str]) -> dict[str, CardIdentity]:
        """Which cards are at these addresses."""
        serials = NvidiaSmi(self.host).serials()
        return {address: self._identity(address, serials) for address in addresses}

    def _identity(self, address: str, serials: Mapping[str, str]) -> CardIdentity:
        return known_identity(pci_ids(self.host, address), serials.get(address, ""))

    def functions_of(self, requests: Sequence[VfsRequest]) -> dict[str, str]:
        """The card of each virtual function of these cards."""
        return {function: request.address for request in requests for function in self._functions(request.address)}

    def is_ready(self, request: VfsRequest) -> bool:
        """Whether the card exists, and has a driver or already has the requested functions."""
        card = read_card(self.host, request.address)
        if card.vfs_total is None or card.vfs_enabled is None:
            return request.has_modes and card.driver is not None
        return card.driver is not None or request.on(Vfs(card.vfs_enabled, card.vfs_total)) == card.vfs_enabled

    def set(self, step: SetVfs) -> None:
        """Sets the card's number of functions, and checks that the kernel shows them."""
        answer = self._manage(step) if step.backend == SRIOV_MANAGE else self._write(step)
        timeout = min(self.timeout, _APPEAR_SECONDS)
        if wait_until(lambda: self._count(step.address) == (step.after, step.after), timeout):
            return
        enabled, functions = self._count(step.address)
        raise VfsMissing(
            f"{_failure(step)}: {answer}, but after {timeout:g} s the kernel reports {enabled} of {step.after} as "
            f"enabled and shows {functions}. Check the kernel log",
            card=step.address,
            num_vfs=step.after,
            enabled=enabled,
        )

    def _write(self, step: SetVfs) -> str:
        path = os.path.join(self._folder(step.address), "sriov_numvfs")
        errno_ = self.writer.write(path, self.timeout, str(step.after))
        if errno_ is None:
            raise KernelRefused(
                f"{_failure(step)}: the kernel did not finish in {self.timeout:g} s and is still waiting, "
                "usually for a guest or process that uses a function. Stop that one first",
                card=step.address,
                errno=None,
            )
        if errno_:
            answer = errno_text(OSError(errno_, ""))
            raise KernelRefused(
                f"{_failure(step)}: the kernel answered {answer}, {_ERRNO_MEANINGS.get(errno_, _UNKNOWN_ERRNO)}",
                card=step.address,
                errno=errno_,
            )
        return "the kernel accepted the number"

    def _manage(self, step: SetVfs) -> str:
        argv = [self.manager, _MANAGER_OPTIONS[step.after > 0], step.address]
        driver = self._link(step.address, "driver")
        code, output = _run(argv, self.timeout)
        answer = f"'{' '.join(argv)}' {_exit_text(code, self.timeout)} with this output: {output or 'none'}"
        if code == 0:
            return answer
        if driver is not None and self._link(step.address, "driver") is None:
            self._bind(step.address)
        raise BackendFailed(
            f"{_failure(step)}: {answer}. The card has {self._count(step.address)[0]} virtual functions now",
            backend=SRIOV_MANAGE,
            card=step.address,
            exit_code=code,
            answer=output,
        )

    def _bind(self, address: str) -> None:
        """Bind the card's driver again: the tool unbinds it while it works, and can leave it unbound when it fails."""
        self.writer.write(os.path.join(self.host.sys, "bus", "pci", "drivers_probe"), self.timeout, address)

    def _count(self, address: str) -> tuple[int, int]:
        """How many functions the kernel reports as enabled, and how many it shows."""
        card = read_card(self.host, address)
        return card.vfs_enabled or 0, len(self._functions(address))

    def _card(self, request: VfsRequest, identity: CardIdentity) -> SriovCard:
        known = read_card(self.host, request.address)
        has_vfs = known.vfs_enabled is not None and known.vfs_total is not None
        card = SriovCard(
            address=request.address,
            vendor=known.vendor,
            driver=known.driver,
            vfs=Vfs(known.vfs_enabled or 0, known.vfs_total or 0) if has_vfs else None,
            functions=self._functions(request.address),
            identity=identity,
            state=NvidiaModes(self.host, self.timeout).read(request.address) if request.has_modes else None,
        )
        vfs = limits(request, card)
        if vfs is None or not card_steps(request, card, vfs, SYSFS):
            return card
        return replace(card, occupants=tuple(self._occupants(request.address, card.functions)))

    def _occupants(self, address: str, functions: tuple[str, ...]) -> Iterator[Occupant]:
        """Devices on the card and its functions, and functions that are used directly."""
        addresses = {address, *functions}
        inventory = read_inventory(self.host)
        devices = [device for device in inventory.devices if device.parent in addresses]
        for device in devices:
            yield Occupant(f"{device.label} of type {device.type_id or 'unknown'}", device.users)
        unknown = [parent.address for parent in inventory.parents if parent.is_unknown and parent.address in addresses]
        for function in unknown:
            yield Occupant(f"virtual function {function}, whose vGPU type can't be read", None)
        seen = {*unknown, *(device.parent for device in devices)}
        others = [function for function in functions if function not in seen]
        folders = [os.path.realpath(self._folder(function)) for function in others]
        if not others:
            return
        host_uses = HostUses.read(self.host)
        for function, folder, users in zip(others, folders, function_users(self.host, folders)):
            uses = host_uses.of(folder)
            if users != () or uses:
                yield Occupant(f"virtual function {function}", users, uses)

    def _functions(self, address: str) -> tuple[str, ...]:
        names = Reader().names(self._folder(address), optional=True)
        links = [self._link(address, name) for name in names if name.startswith("virtfn")]
        return tuple(sorted((link for link in links if link is not None), key=address_key))

    def _with_sriov(self) -> Iterator[str]:
        for name in Reader().names(os.path.join(self.host.sys, "bus", "pci", "devices"), optional=True):
            if os.path.exists(os.path.join(self._folder(name), "sriov_totalvfs")):
                yield name

    def _link(self, address: str, name: str) -> Optional[str]:
        return Reader().link_name(os.path.join(self._folder(address), name))

    def _folder(self, address: str) -> str:
        return os.path.join(self.host.sys, "bus", "pci", "devices", address)


def _failure(step: SetVfs) -> str:
    return f"card {step.address}: changing the number of virtual functions from {step.before} to {step.after} failed"


def _exit_text(code: Optional[int], timeout: float) -> str:
    return f"did not finish in {timeout:g} s" if code is None else f"exited with code {code}"


def _run(argv: list[str], timeout: float) -> tuple[Optional[int], str]:
    """Exit code and output. The code is None if the tool did not finish. A tool that hangs in the kernel is left."""
    try:
        answer = run_tool(argv, timeout)
    except OSError as error:
        return 127, f"{argv[0]} can't be run: {errno_text(error)}"
    return answer.code, answer.line
