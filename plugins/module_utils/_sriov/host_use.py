# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host itself does with virtual functions: graphics, network interfaces, block devices.

Source: kernel Documentation/ABI/testing/sysfs-class-net (flags: IFF_UP) and sysfs-block (holders),
proc_pid_mountinfo(5), proc_swaps(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from .._host.paths import Host
from .._host.reader import Reader
from .._host.users import Holders, node_holders, node_key
from .._model.refusals import users_text

_IFF_UP = 1
# A block device and its number, as they are found below a controller.
_BLOCK_DEPTH = 5


@dataclass(frozen=True)
class HostUses:
    """The uses of all devices of a host. mounted: names and numbers of block devices, and where they are mounted."""

    host: Host
    holders: Holders
    mounted: dict[str, str]

    @classmethod
    def read(cls, host: Host) -> HostUses:
        """Reads them once for all functions."""
        return cls(host, node_holders(host, Reader(), "dri"), {**_mounts(host), **_swaps(host)})

    def of(self, folder: str) -> tuple[str, ...]:
        """The uses of the function with this folder in sysfs, in words."""
        return (*self._graphics(folder), *self._interfaces(folder), *self._block_devices(folder))

    def _graphics(self, folder: str) -> Iterator[str]:
        for name in sorted(Reader().names(os.path.join(folder, "drm"), optional=True)):
            path = self.host.beside("dev", "dri", name)
            try:
                users = self.holders.by_node.get(node_key(os.stat(path)), ())
            except OSError:
                continue
            if users:
                yield f"{users_text(users)} through {path}"

    def _interfaces(self, folder: str) -> Iterator[str]:
        reader = Reader()
        for name in sorted(reader.names(os.path.join(folder, "net"), optional=True)):
            flags = reader.text(os.path.join(folder, "net", name, "flags"), optional=True) or ""
            state = reader.text(os.path.join(folder, "net", name, "operstate"), optional=True)
            if _is_up(flags) or state == "up":
                yield f"the host through its network interface {name}, which is up"

    def _block_devices(self, folder: str) -> Iterator[str]:
        for path in _block_folders(self.host, folder):
            name = os.path.basename(path)
            number = Reader().text(os.path.join(path, "dev"), optional=True) or name
            uses = [self.mounted[known] for known in (number, name) if known in self.mounted][:1]
            uses += [
                f"used by {holder}" for holder in sorted(Reader().names(os.path.join(path, "holders"), optional=True))
            ]
            for use in uses:
                yield f"the host through its block device {name}, which is {use}"


def _is_up(flags: str) -> bool:
    """Whether the kernel's flags of an interface, a hexadecimal number, contain IFF_UP."""
    try:
        return bool(int(flags, 16) & _IFF_UP)
    except ValueError:
        return False


def _block_folders(host: Host, folder: str) -> Iterator[str]:
    """The folders of the block devices of a function and their partitions. Those of NVMe can be below a subsystem."""
    folders = [folder]
    subsystems = os.path.join(host.sys, "class", "nvme-subsystem")
    for controller in Reader().names(os.path.join(folder, "nvme"), optional=True):
        names = Reader().names(subsystems, optional=True)
        folders += [
            os.path.realpath(os.path.join(subsystems, name))
            for name in names
            if os.path.lexists(os.path.join(subsystems, name, controller))
        ]
    for top in folders:
        for path, names, files in os.walk(top):
            if path.count(os.sep) - top.count(os.sep) >= _BLOCK_DEPTH:
                names.clear()
            # Block devices have a size, other devices with a number have none.
            if "dev" in files and "size" in files:
                yield path


def _mounts(host: Host) -> dict[str, str]:
    """Mount points by number (259:1) and by name (nvme0n1p1), since some file systems show numbers of their own."""
    mounts: dict[str, str] = {}
    for process in ("self", "1"):
        for line in _lines(host.beside("proc", process, "mountinfo")):
            fields, _dash, source = line.partition(" - ")
            place = fields.split()
            if len(place) > 4 and len(source.split()) > 1:
                mounts[place[2]] = mounts[os.path.basename(source.split()[1])] = f"mounted on {place[4]}"
    return mounts


def _swaps(host: Host) -> dict[str, str]:
    return {
        os.path.basename(line.split()[0]): "swap space" for line in _lines(host.beside("proc", "swaps"))[1:] if line
    }


def _lines(path: str) -> list[str]:
    """The lines of a file in /proc. Without limit: a host has many mounts."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "backslashreplace").splitlines()
    except OSError:
        return []
