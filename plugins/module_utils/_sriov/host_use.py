# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host itself does with virtual functions: graphics, network interfaces, block devices.

Source: kernel Documentation/ABI/testing/sysfs-class-net (flags: IFF_UP) and sysfs-block (holders),
proc_pid_mountinfo(5), proc_swaps(5).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from .._host.paths import Host
from .._host.reader import Reader, is_gone
from .._host.users import Holders, node_holders, node_key
from .._model.inventory import Unread
from .._model.refusals import users_text

_IFF_UP = 1
# A block device and its number, as they are found below a controller.
_BLOCK_DEPTH = 5
# A host with 100,000 mounts, which is the kernel's limit for a namespace (fs.mount-max), has some 200 bytes for each.
_MAX_BYTES = 32 << 20


@dataclass(frozen=True)
class HostUses:
    """The uses of all devices of a host.

    mounted: names and numbers of block devices, and where they are mounted
    unread:  what could not be read: any function may then be used
    """

    host: Host
    holders: Holders
    mounted: dict[str, str]
    unread: tuple[Unread, ...] = ()

    @classmethod
    def read(cls, host: Host) -> HostUses:
        """Reads them once for all functions."""
        reader = Reader()
        holders = node_holders(host, Reader(), "dri")
        return cls(host, holders, {**_mounts(host, reader), **_swaps(host, reader)}, tuple(reader.unread))

    def of(self, folder: str) -> tuple[str, ...]:
        """The uses of the function with this folder in sysfs, in words. What can't be read may be one."""
        reader = Reader()
        uses = (*self._graphics(folder, reader), *self._interfaces(folder, reader), *self._blocks(folder, reader))
        hidden = [f"perhaps the host: {unread.path} can't be read: {unread.error}" for unread in reader.unread]
        return (*uses, *hidden[:1])

    def _graphics(self, folder: str, reader: Reader) -> Iterator[str]:
        for name in sorted(reader.names(os.path.join(folder, "drm"), optional=True)):
            path = self.host.beside("dev", "dri", name)
            try:
                users = self.holders.by_node.get(node_key(os.stat(path)), ())
            except OSError as error:
                if not is_gone(path):
                    reader.note(path, error)
                continue
            if users:
                yield f"{users_text(users)} through {path}"
            elif not self.holders.complete:
                yield f"perhaps a process through {path}: not all processes could be examined"

    def _interfaces(self, folder: str, reader: Reader) -> Iterator[str]:
        for name in sorted(reader.names(os.path.join(folder, "net"), optional=True)):
            flags = reader.text(os.path.join(folder, "net", name, "flags"), optional=True) or ""
            state = reader.text(os.path.join(folder, "net", name, "operstate"), optional=True)
            if _is_up(flags) or state == "up":
                yield f"the host through its network interface {name}, which is up"

    def _blocks(self, folder: str, reader: Reader) -> Iterator[str]:
        for path in _block_folders(self.host, folder, reader):
            name = os.path.basename(path)
            number = reader.text(os.path.join(path, "dev"), optional=True) or name
            uses = [self.mounted[known] for known in (number, name) if known in self.mounted][:1]
            holders = sorted(reader.names(os.path.join(path, "holders"), optional=True))
            uses += [f"used by {holder}" for holder in holders]
            uses += [f"perhaps mounted: {unread.path} can't be read: {unread.error}" for unread in self.unread[:1]]
            for use in uses:
                yield f"the host through its block device {name}, which is {use}"


def _is_up(flags: str) -> bool:
    """Whether the kernel's flags of an interface, a hexadecimal number, contain IFF_UP."""
    try:
        return bool(int(flags, 16) & _IFF_UP)
    except ValueError:
        return False


def _block_folders(host: Host, folder: str, reader: Reader) -> Iterator[str]:
    """The folders of the block devices of a function and their partitions. Those of NVMe can be below a subsystem."""
    folders = [folder]
    subsystems = os.path.join(host.sys, "class", "nvme-subsystem")
    for controller in reader.names(os.path.join(folder, "nvme"), optional=True):
        names = reader.names(subsystems, optional=True)
        folders += [
            os.path.realpath(os.path.join(subsystems, name))
            for name in names
            if not is_gone(os.path.join(subsystems, name, controller))
        ]
    for top in folders:
        yield from _block_folders_below(top, _BLOCK_DEPTH, reader)


def _block_folders_below(folder: str, depth: int, reader: Reader) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            # Links lead to other devices, and in circles.
            is_folder = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError as error:
        reader.note(folder, error)
        return
    # Block devices have a size, other devices with a number have none.
    if is_folder.get("dev") is False and is_folder.get("size") is False:
        yield folder
    for name in sorted(name for name in is_folder if is_folder[name] and depth):
        yield from _block_folders_below(os.path.join(folder, name), depth - 1, reader)


def _mounts(host: Host, reader: Reader) -> dict[str, str]:
    """Mount points by number (259:1) and by name (nvme0n1p1), since some file systems show numbers of their own."""
    mounts: dict[str, str] = {}
    for process in ("self", "1"):
        for line in _lines(host.beside("proc", process, "mountinfo"), reader):
            fields, _dash, source = line.partition(" - ")
            place = fields.split()
            if len(place) > 4 and len(source.split()) > 1:
                mounts[place[2]] = mounts[os.path.basename(source.split()[1])] = f"mounted on {place[4]}"
    return mounts


def _swaps(host: Host, reader: Reader) -> dict[str, str]:
    lines = _lines(host.beside("proc", "swaps"), reader)[1:]
    return {os.path.basename(line.split()[0]): "swap space" for line in lines if line}


def _lines(path: str, reader: Reader) -> list[str]:
    """The lines of a file in /proc. A longer one is noted as unread: what is beyond may be a use."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return data.decode("utf-8", "backslashreplace").splitlines()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            reader.note(path, error)
        return []
