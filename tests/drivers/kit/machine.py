# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host and its namespace as tests see them: the modules at the real paths, and who uses a device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from drivers.kit.asked import Asked
from drivers.kit.host import Host
from drivers.kit.namespace import Namespace


class Machine(Asked):
    """The modules on a host, at the real paths."""

    def __init__(self, host: Host, namespace: Namespace) -> None:
        super().__init__(host, namespace.run_module)
        self._namespace = namespace

    def give_to_guest(self, uuid: str, guest: str = "web") -> int:
        """A process that looks like QEMU has the device's VFIO group open. Its process id."""
        return self._namespace.hold(f"/dev/vfio/{self.host.kernel.devices[uuid].group}", guest)

    def stop_guests(self) -> None:
        self._namespace.let_go()

    def definition(self, parent: str, uuid: str) -> Path:
        """Where the device is defined."""
        return self._namespace.etc / "mdevctl.d" / parent / uuid

    def peak_memory(self) -> int:
        """The most memory of the modules' process since this was last asked, in KiB."""
        return self._namespace.peak_memory()


# The machine with these drivers, just booted.
Boot = Callable[..., Machine]
