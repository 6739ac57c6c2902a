# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests as libvirt's command virsh tells of them. It is on every host that runs guests; nothing else is needed."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import Optional

from .._model.errors import LibvirtError

_SECONDS = 120.0
# What 'virsh version' prints in the C locale.
_LIBVIRT = re.compile(r"^Running against daemon: (\S+)", re.MULTILINE)
_QEMU = re.compile(r"^Running hypervisor: QEMU (\S+)", re.MULTILINE)

SHUT_OFF = "shut off"


@dataclass(frozen=True)
class Virsh:
    """virsh with a connection."""

    uri: str

    def versions(self) -> tuple[Optional[str], Optional[str]]:
        """The versions of libvirt's daemon and of QEMU, as far as it tells them."""
        text = self._run("version", "--daemon")
        libvirt, qemu = _LIBVIRT.search(text), _QEMU.search(text)
        return libvirt.group(1) if libvirt else None, qemu.group(1) if qemu else None

    def names(self, *options: str) -> list[str]:
        """The names of the guests that run, with --all also of those that do not."""
        return [line for line in self._run("list", "--name", *options).splitlines() if line]

    def state(self, name: str) -> str:
        """running, paused, shut off, ..."""
        return self._run("domstate", "--domain", name).strip()

    def persistent(self, name: str) -> bool:
        """Whether libvirt keeps the guest when it does not run."""
        return re.search(r"^Persistent:\s+yes", self._run("dominfo", "--domain", name), re.MULTILINE) is not None

    def xml(self, name: str, *options: str) -> str:
        """The guest's XML."""
        return self._run("dumpxml", "--domain", name, *options)

    def _run(self, *words: str) -> str:
        command = ["virsh", "--quiet", "--connect", self.uri, *words]
        tried = f"'{' '.join(command)}'"
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
                f"{tried} could not be run: virsh is not on this host. Install libvirt's clients"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise LibvirtError(f"{tried} did not answer in {_SECONDS:.0f} s. Is libvirt's daemon well?") from error
        if done.returncode != 0:
            raise LibvirtError(f"{tried} failed: {done.stderr.strip()}", exit_code=done.returncode)
        return done.stdout
