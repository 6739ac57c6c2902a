# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host and its namespace as tests see them: the modules at the real paths, and who uses a device."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
        return self.open_as_guest(self.host.kernel.devices[uuid].group, guest)

    def open_as_guest(self, group: int, guest: str = "web") -> int:
        """The same with a VFIO group that is no mediated device's."""
        return self._namespace.hold(f"/dev/vfio/{group}", guest)

    def has_mdevctls_rule(self) -> None:
        """At boot mdevctl's udev rule starts mediated devices, and our unit nothing."""
        etc = self._namespace.etc
        (etc / "systemd/system/multi-user.target.wants/vfio-mdev.service").unlink()
        shutil.copy(etc / "programs/virsh", etc / "programs/mdevctl")
        (etc / "udev/rules.d").mkdir(parents=True)
        (etc / "udev/rules.d/60-mdevctl.rules").write_text('RUN+="/etc/programs/mdevctl start-parent-mdevs %k"\n')

    def has_guest(self, name: str, xml: str) -> None:
        """A guest runs here, as far as virsh tells."""
        (self._namespace.etc / "guests" / name).write_text(xml)

    def loses_guest(self, name: str) -> None:
        (self._namespace.etc / "guests" / name).unlink()

    def guests(self) -> list[dict[str, Any]]:
        """What mdev_guest_info says of the guests, with their XML."""
        told: list[dict[str, Any]] = self._run("mdev_guest_info")["guests"]
        return [{**one, "xml": (self._namespace.etc / "guests" / one["name"]).read_text()} for one in told]

    def migration(self, **arguments: Any) -> dict[str, Any]:
        return self._run("mdev_migration", **{"source": "gpu-1", "records_path": "/etc/migrations", **arguments})

    def stop_guests(self) -> None:
        self._namespace.let_go()

    def reboot(self, seconds: float = 0.0) -> dict[str, Any]:
        """Boots with the same hardware, and runs what starts devices at boot, which waits so long for late ones."""
        self.host.boot(*self.host.drivers)
        self._namespace.empty_run()
        return self._namespace.start_defined(seconds)

    def definition(self, parent: str, uuid: str) -> Path:
        """Where the device is defined."""
        return self._namespace.etc / "mdevctl.d" / parent / uuid

    def peak_memory(self) -> int:
        """The most memory of the modules' process since this was last asked, in KiB."""
        return self._namespace.peak_memory()


# The machine with these drivers, just booted.
Boot = Callable[..., Machine]
