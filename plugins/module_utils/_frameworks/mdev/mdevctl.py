# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Acting through the mdevctl command, which runs its callout and notification scripts.

Source: mdevctl(8) of 1.2 and 1.4. All output is kept unchanged. A device in use is refused before mdevctl stops it:
mdevctl itself would block in the kernel until the user closes the device.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Optional

from ..._host.definitions import DefinitionFiles
from ..._host.reader import errno_text
from ..._host.tool import run_tool
from ..._host.users import exclusive_use
from ..._model.definition_text import definition_text
from ..._model.errors import BackendFailed, InvalidInput
from ..._model.inventory import Attribute, Definition, Device, Parent
from ..backend import Backend
from ..device_files import REMOVE_SECONDS, DeviceFiles
from .framework import MDEV
from .kernel import MdevKernel

_SECONDS = 120.0
# mdevctl's exit code for unknown arguments.
_USAGE = 2
# mdevctl reads the definition as libvirt gives it: see nodeDeviceGetMdevctlCommand() in libvirt's node_device_driver.c.
_FROM_INPUT = ("--jsonfile", "/dev/stdin")


@dataclass(frozen=True)
class MdevctlBackend(Backend):
    """The backend 'mdevctl'.

    Attributes of active devices are written to sysfs: mdevctl does not change them without a vendor's callout.
    """

    command: str

    @property
    def kernel(self) -> MdevKernel:
        """Finds the devices that mdevctl creates."""
        return MdevKernel(self.device_files)

    def available_instances(self, parent: Parent, type_id: str) -> Optional[int]:
        """How many devices of the type the parent has left now. None if it can't be read."""
        return self.kernel.available_instances(parent, type_id)

    def create(self, parent: Parent, type_id: str, key: str, attributes: tuple[Attribute, ...]) -> Device:
        """Starts a device without defining it. mdevctl removes it again itself when an attribute fails."""
        definition = Definition(key, parent.address, type_id, MDEV, attributes=attributes)
        action = f"starting device {key} of type {type_id} on {parent.address}"
        self._run(action, "start", "-u", key, "-p", parent.address, *_FROM_INPUT, text=definition_text(definition))
        return self.kernel.appeared(parent, type_id, key)

    def remove(self, device: Device) -> None:
        """Stops an unused device. mdevctl gets the same time as the kernel."""
        with exclusive_use(self.device_files.host, device):
            self._run(
                f"stopping device {device.id} on {device.parent}", "stop", "-u", device.id, seconds=REMOVE_SECONDS
            )

    def define(self, definition: Definition, before: Optional[Definition]) -> None:
        """Defines a device, or modifies its definition."""
        if before is not None:
            self.definitions.name_by_key(before)
        verb, action = ("define", "defining") if before is None else ("modify", "modifying the definition of")
        action = f"{action} device {definition.id} on {definition.parent}"
        try:
            self._run(action, verb, *_where(definition), *_FROM_INPUT, text=definition_text(definition))
        except BackendFailed as error:
            # mdevctl before 1.3 has no "modify --jsonfile".
            if before is None or error.exit_code != _USAGE:
                raise
            self._modify_in_steps(action, definition, before)

    def _modify_in_steps(self, action: str, definition: Definition, before: Definition) -> None:
        """Makes one change after the other. When one fails, the old definition is recreated."""
        changes: list[tuple[str, ...]] = [
            ("--type", definition.type_id, "--auto" if definition.autostart else "--manual")
        ]
        changes += [("--delattr", "--index", "0") for _attribute in before.attributes]
        changes += [("--addattr", attribute.name, "--value", attribute.value) for attribute in definition.attributes]
        try:
            for change in changes:
                self._run(action, "modify", *_where(definition), *change)
        except BackendFailed:
            self.undefine(before)
            self.define(before, None)
            raise

    def undefine(self, definition: Definition) -> None:
        """Removes a definition."""
        self.definitions.name_by_key(definition)
        action = f"undefining device {definition.id} on {definition.parent}"
        self._run(action, "undefine", *_where(definition))

    def _run(self, action: str, *argv: str, seconds: float = _SECONDS, text: str = "") -> None:
        try:
            answer = run_tool([self.command, *argv], seconds, text)
        except OSError as error:
            raise BackendFailed(
                f"{action} failed: {self.command} can't be run: {errno_text(error)}. Nothing was changed",
                backend="mdevctl",
                command=" ".join(argv),
            ) from error
        if answer.code is None:
            late = _failed(action, argv, f"no answer in {seconds:.0f} s, and was killed with its children", None)
            # What it wrote to the kernel may still be done.
            raise late.extended(after=". NOT rolled back: see what it left with mdevctl list", rolled_back=False)
        if answer.code != 0:
            raise _failed(action, argv, f"exit code {answer.code}, '{answer.line}'", answer.code)


def _where(definition: Definition) -> tuple[str, ...]:
    return ("-u", definition.id, "-p", definition.parent)


def _failed(action: str, argv: tuple[str, ...], answer: str, exit_code: Optional[int]) -> BackendFailed:
    verb = "returned" if exit_code is not None else "gave"
    return BackendFailed(
        f"{action} failed: mdevctl {argv[0]} {verb} {answer}",
        backend="mdevctl",
        command=" ".join(argv),
        answer=answer,
        exit_code=exit_code,
    )


def mdevctl_backend(device_files: DeviceFiles, definitions: DefinitionFiles) -> MdevctlBackend:
    """The backend, if the command is installed."""
    command = shutil.which("mdevctl") or shutil.which("mdevctl", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if command is None:
        raise InvalidInput(
            "backend: mdevctl needs the mdevctl command, which is not installed on this host. "
            "Install package mdevctl, or use backend: sysfs, which needs no other software",
            backend="mdevctl",
        )
    return MdevctlBackend(device_files, definitions, command)
