# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests as libvirt's command virsh reports them. Every host that runs guests has it, so nothing else is needed."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import Optional

from .._model.errors import LibvirtError

_SECONDS = 120.0
# The output of 'virsh version' in the C locale.
_LIBVIRT = re.compile(r"^Running against daemon: (\S+)", re.MULTILINE)
_QEMU = re.compile(r"^Running hypervisor: QEMU (\S+)", re.MULTILINE)

SHUT_OFF = "shut off"


@dataclass(frozen=True)
class Virsh:
    """virsh with a connection URI."""

    uri: str

    def versions(self) -> tuple[Optional[str], Optional[str]]:
        """The versions of libvirt's daemon and of QEMU. None if virsh does not report them."""
        text = self._run("version", "--daemon")
        libvirt, qemu = _LIBVIRT.search(text), _QEMU.search(text)
        return libvirt.group(1) if libvirt else None, qemu.group(1) if qemu else None

    def names(self, *options: str) -> list[str]:
        """The names of the running guests. With --all, the names of all guests."""
        return [line for line in self._run("list", "--name", *options).splitlines() if line]

    def state(self, name: str) -> str:
        """running, paused, shut off, ..."""
        return self._run("domstate", "--domain", name).strip()

    def persistent(self, name: str) -> bool:
        """Whether libvirt keeps the guest when it is not running."""
        return re.search(r"^Persistent:\s+yes", self._run("dominfo", "--domain", name), re.MULTILINE) is not None

    def xml(self, name: str, *options: str) -> str:
        """The guest's XML."""
        return self._run("dumpxml", "--domain", name, *options)

    def _run(self, *argv: str) -> str:
        command = ["virsh", "--quiet", "--connect", self.uri, *argv]
        action = f"'{' '.join(command)}'"
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise LibvirtError(
                f"{action} failed: virsh is not installed on this host. Install libvirt's client tools"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise LibvirtError(
                f"{action} timed out after {_SECONDS:.0f} s. Check that libvirt's daemon is running and responsive"
            ) from error
        if done.returncode != 0:
            raise LibvirtError(f"{action} failed: {done.stderr.strip()}", exit_code=done.returncode)
        return done.stdout
