# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Acting through the mdevctl command, whose callout and notification scripts are then obeyed.

Source: mdevctl(8) of 1.2 and 1.4. Every answer is kept as it came. A device is made sure to be unused before mdevctl
stops it: mdevctl itself would block in the kernel until its user lets go.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Optional

from ..._host.users import kept_unused
from ..._model.definition_text import definition_text
from ..._model.errors import BackendFailed, InvalidInput
from ..._model.inventory import Attribute, Definition, Device, Parent
from .kernel import REMOVE_SECONDS, Kernel

_SECONDS = 120.0
# mdevctl's exit code for arguments that it does not know.
_USAGE = 2


@dataclass(frozen=True)
class MdevctlBackend:
    """The backend 'mdevctl'."""

    command: str
    kernel: Kernel

    def available_instances(self, parent: Parent, type_id: str) -> Optional[int]:
        """How many devices of the type the parent has left now. None where it can't be read."""
        return self.kernel.available_instances(parent, type_id)

    def create(self, parent: Parent, type_id: str, uuid: str, attributes: tuple[Attribute, ...]) -> Device:
        """Starts a device without defining it. mdevctl takes it back itself when an attribute fails."""
        wanted = Definition(uuid, parent.address, type_id, attributes=attributes)
        tried = f"starting device {uuid} of type {type_id} on {parent.address}"
        with _definition_file(wanted) as path:
            self._run(tried, "start", "-u", uuid, "-p", parent.address, "--jsonfile", path)
        return self.kernel.appeared(parent, type_id, uuid)

    def remove(self, device: Device) -> None:
        """Stops an unused device. Gives up waiting for mdevctl after the same time as for the kernel."""
        with kept_unused(self.kernel.paths, device):
            self._run(
                f"stopping device {device.uuid} on {device.parent}", "stop", "-u", device.uuid, seconds=REMOVE_SECONDS
            )

    def write_attribute(self, device: Device, attribute: Attribute) -> None:
        """Writes to sysfs: mdevctl changes nothing on a live device without a vendor's callout."""
        self.kernel.write_attribute(device, attribute)

    def define(self, definition: Definition, before: Optional[Definition]) -> None:
        """Defines a device, or modifies its definition."""
        verb, tried = ("define", "defining") if before is None else ("modify", "modifying the definition of")
        tried = f"{tried} device {definition.uuid} on {definition.parent}"
        try:
            with _definition_file(definition) as path:
                self._run(tried, verb, *_where(definition), "--jsonfile", path)
        except BackendFailed as error:
            # mdevctl before 1.3 has no "modify --jsonfile".
            if before is None or error.facts.get("exit_code") != _USAGE:
                raise
            self._modify_in_steps(tried, definition, before)

    def _modify_in_steps(self, tried: str, definition: Definition, before: Definition) -> None:
        """Changes one thing after the other. When one fails, the definition is made anew as it was."""
        words: list[tuple[str, ...]] = [
            ("--type", definition.type_id, "--auto" if definition.autostart else "--manual")
        ]
        words += [("--delattr", "--index", "0") for _one in before.attributes]
        words += [("--addattr", one.name, "--value", one.value) for one in definition.attributes]
        try:
            for change in words:
                self._run(tried, "modify", *_where(definition), *change)
        except BackendFailed:
            self.undefine(before)
            self.define(before, None)
            raise

    def undefine(self, definition: Definition) -> None:
        """Removes a definition."""
        tried = f"undefining device {definition.uuid} on {definition.parent}"
        self._run(tried, "undefine", *_where(definition))

    def _run(self, tried: str, *words: str, seconds: float = _SECONDS) -> None:
        # A session of its own: a blocked mdevctl must not keep Ansible's connection.
        process = subprocess.Popen(
            [self.command, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="backslashreplace",
        )
        try:
            output, _none = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise _failed(tried, words, f"no answer in {seconds:.0f} s", None) from None
        if process.returncode != 0:
            answer = f"exit code {process.returncode}, '{' '.join(output.split())}'"
            raise _failed(tried, words, answer, process.returncode)


@contextmanager
def _definition_file(definition: Definition) -> Iterator[str]:
    """The definition as a file to give to mdevctl."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="mdev-", suffix=".json") as file:
        file.write(definition_text(definition))
        file.flush()
        yield file.name


def _where(definition: Definition) -> tuple[str, ...]:
    return ("-u", definition.uuid, "-p", definition.parent)


def _failed(tried: str, words: tuple[str, ...], answer: str, exit_code: Optional[int]) -> BackendFailed:
    return BackendFailed(
        f"{tried} failed: mdevctl {words[0]} answered with {answer}",
        backend="mdevctl",
        command=" ".join(words),
        answer=answer,
        exit_code=exit_code,
    )


def mdevctl_backend(kernel: Kernel) -> MdevctlBackend:
    """The backend, if the command is there."""
    command = shutil.which("mdevctl") or shutil.which("mdevctl", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if command is None:
        raise InvalidInput(
            "backend: mdevctl needs the mdevctl command, which is not on this host. "
            "Install package mdevctl, or use backend: sysfs, which needs nothing",
            backend="mdevctl",
        )
    return MdevctlBackend(command, kernel)
