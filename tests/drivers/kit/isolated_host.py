# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose modules run at the real paths in a namespace, with guests that use devices."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.kit.host_files import HostFiles
from drivers.kit.namespace import Namespace
from drivers.kit.stand_in_host import StandInHost


class IsolatedHost(StandInHost):
    """A stand-in host whose modules run at the real paths."""

    def __init__(self, files: HostFiles, namespace: Namespace) -> None:
        super().__init__(files, namespace.run_module)
        self._namespace = namespace

    def give_to_guest(self, uuid: str, guest: str = "web") -> int:
        """Let a process that looks like QEMU open the device's VFIO group. Returns its process id."""
        return self.open_as_guest(self.files.kernel.devices[uuid].group, guest)

    def open_as_guest(self, group: int, guest: str = "web") -> int:
        """The same for any VFIO group, also one without a mediated device."""
        return self._namespace.hold_open(f"/dev/vfio/{group}", guest)

    def install_mdevctl_rule(self) -> None:
        """Let mdevctl's udev rule start mediated devices at boot instead of our unit."""
        etc = self._namespace.etc
        self.remove_starter()
        shutil.copy(etc / "programs/virsh", etc / "programs/mdevctl")
        (etc / "udev/rules.d").mkdir(parents=True)
        (etc / "udev/rules.d/60-mdevctl.rules").write_text('RUN+="/etc/programs/mdevctl start-parent-mdevs %k"\n')

    def remove_starter(self) -> None:
        """Let nothing start mediated devices at boot, as on a host on which nothing was installed."""
        (self._namespace.etc / "systemd/system/multi-user.target.wants/vfio-mdev.service").unlink()

    def add_guest(self, name: str, xml: str, state: str = "running") -> None:
        """Let virsh report a guest in this state."""
        (self._namespace.etc / "guests" / name).write_text(xml)
        (self._namespace.etc / "guest-states").mkdir(exist_ok=True)
        (self._namespace.etc / "guest-states" / name).write_text(f"{state}\n")

    def number_guests(self, ids: dict[str, str]) -> None:
        """Give running guests ids, by name."""
        lines = "".join(f"{guest_id} {name}\n" for name, guest_id in ids.items())
        (self._namespace.etc / "guest-ids").write_text(lines)

    def remove_guest(self, name: str) -> None:
        (self._namespace.etc / "guests" / name).unlink()

    def guests(self) -> list[dict[str, Any]]:
        """What mdev_guest_info reports about the guests, with their XML."""
        guests: list[dict[str, Any]] = self._run("mdev_guest_info")["guests"]
        folder = self._namespace.etc / "guests"
        return [{**guest, "xml": (folder / guest["name"]).read_text()} for guest in guests]

    def migration(self, **arguments: Any) -> dict[str, Any]:
        return self._run("mdev_migration", **{"source": "gpu-1", "records_path": "/etc/migrations", **arguments})

    def destination_info(self, **arguments: Any) -> dict[str, Any]:
        return self._run("mdev_destination_info", **{"source": "gpu-1", "records_path": "/etc/migrations", **arguments})

    def cordon(self, **arguments: Any) -> dict[str, Any]:
        return self._run("mdev_cordon", **arguments)

    def guest_info(self, *guest_names: str) -> list[dict[str, Any]]:
        """What mdev_guest_info reports about these guests, or about all guests."""
        guests: list[dict[str, Any]] = self._run("mdev_guest_info", guest_names=guest_names)["guests"]
        return guests

    def guest_xml(self, **arguments: Any) -> dict[str, Any]:
        return self._run("mdev_guest_xml", **{"xml_path": "/etc/outgoing", **arguments})

    @property
    def etc(self) -> Path:
        """The host's /etc."""
        return self._namespace.etc

    def stop_guests(self) -> None:
        self._namespace.release_all()

    def clear(self) -> None:
        """Remove everything that was left on the host, except in its /sys."""
        self._namespace.reset()

    def reboot(self, seconds: float = 0.0) -> dict[str, Any]:
        """Boot with the same hardware, then run the program that starts devices; it waits that long for late ones."""
        self.files.boot(*self.files.drivers)
        self._namespace.empty_run()
        return self._namespace.start_defined(seconds)

    def definition(self, parent: str, uuid: str) -> Path:
        """The path of the device's definition."""
        return self._namespace.etc / "mdevctl.d" / parent / uuid

    def peak_memory(self) -> int:
        """The peak memory of the modules' process since the last call, in KiB."""
        return self._namespace.peak_memory()


# Boots the host with these drivers.
Boot = Callable[..., IsolatedHost]
