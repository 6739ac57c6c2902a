# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who uses a device: found without touching it, and made sure of before it is removed.

A user holds /dev/vfio/GROUP, or on newer kernels /dev/vfio/devices/vfioN, open. Both are looked for in /proc, which
changes nothing. Opening the group is the certain test (EBUSY while somebody has it, drivers/vfio/group.c), but an open
group keeps a guest from starting at that very moment: only a removal does it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Optional

from .._model.errors import KernelRefused
from .._model.inventory import Device, User
from .._model.refusals import in_use_error
from .paths import Host
from .reader import Reader, errno_text, read_bytes

NodeKey = tuple[str, int, int]


@dataclass(frozen=True)
class Holders:
    """Which processes hold which VFIO nodes. complete: every process could be looked at."""

    by_node: dict[NodeKey, tuple[User, ...]]
    complete: bool


def with_users(host: Host, reader: Reader, devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """The devices with their users filled in. users stays None where not all processes could be looked at."""
    if not devices:
        return devices
    holders = _holders(host, reader)
    return tuple(replace(device, users=_users_of(host, device.iommu_group, device.path, holders)) for device in devices)


def function_users(host: Host, folders: Sequence[str]) -> list[Optional[tuple[User, ...]]]:
    """Who uses PCI functions that are given away whole, in the order of their folders in sysfs."""
    reader = Reader()
    holders = _holders(host, reader)
    groups = [reader.link_name(os.path.join(folder, "iommu_group")) for folder in folders]
    return [
        _users_of(host, int(group) if group is not None and group.isdigit() else None, folder, holders)
        for folder, group in zip(folders, groups)
    ]


def _users_of(host: Host, group: Optional[int], folder: str, holders: Holders) -> Optional[tuple[User, ...]]:
    found: list[User] = []
    # Without any holder on the host there is no node to compare with.
    for node in _nodes(host, group, folder) if holders.by_node else ():
        found.extend(user for user in holders.by_node.get(node, ()) if user not in found)
    if not found and not holders.complete:
        return None
    return tuple(sorted(found, key=lambda user: user.pid))


def _nodes(host: Host, group: Optional[int], folder: str) -> Iterator[NodeKey]:
    if group is not None:
        yield from _node(host.beside("dev", "vfio", str(group)))
    for name in Reader().names(os.path.join(folder, "vfio-dev"), optional=True):
        yield from _node(host.beside("dev", "vfio", "devices", name))


def _node(path: str) -> Iterator[NodeKey]:
    try:
        yield _node_key(os.stat(path))
    except OSError:
        return


def _node_key(info: os.stat_result) -> NodeKey:
    """What a file is, wherever it is seen from: QEMU under libvirt has a /dev of its own with other inodes."""
    if stat.S_ISCHR(info.st_mode):
        return ("device", os.major(info.st_rdev), os.minor(info.st_rdev))
    return ("file", info.st_dev, info.st_ino)


def _holders(host: Host, reader: Reader) -> Holders:
    proc = host.beside("proc")
    pids = [name for name in reader.names(proc) if name.isdigit()]
    complete = bool(pids)
    by_node: dict[NodeKey, tuple[User, ...]] = {}
    refused = 0
    for pid in pids:
        try:
            nodes = set(_vfio_nodes(os.path.join(proc, pid)))
        except PermissionError:
            refused += 1
            continue
        for node in nodes:
            by_node[node] = (*by_node.get(node, ()), _user(proc, pid))
    if refused:
        complete = False
        reader.note(os.path.join(proc, "*", "fd"), PermissionError(errno.EACCES, ""))
    return Holders(by_node, complete)


def _vfio_nodes(folder: str) -> Iterator[NodeKey]:
    """The VFIO nodes that one process has open. A process that ends meanwhile holds nothing."""
    try:
        names = os.listdir(os.path.join(folder, "fd"))
    except (FileNotFoundError, ProcessLookupError):
        return
    for name in names:
        path = os.path.join(folder, "fd", name)
        try:
            if "/vfio/" in os.readlink(path) and not _only_a_path(os.path.join(folder, "fdinfo", name)):
                yield _node_key(os.stat(path))
        except (FileNotFoundError, ProcessLookupError):
            continue


def _only_a_path(fdinfo: str) -> bool:
    """Whether a handle stands for the node's name alone (O_PATH), as udev has it while it sets permissions: no use.

    Source: proc_pid_fdinfo(5), flags are octal.
    """
    fields = (line.partition(b":") for line in read_bytes(fdinfo).splitlines())
    flags = next((int(value, 8) for name, _colon, value in fields if name == b"flags"), 0)
    return bool(flags & os.O_PATH)


def _user(proc: str, pid: str) -> User:
    words = _command_line(os.path.join(proc, pid, "cmdline"))
    return User(int(pid), os.path.basename(words[0]) or "unknown", _guest(words))


def _command_line(path: str) -> list[str]:
    try:
        return read_bytes(path).decode("utf-8", "backslashreplace").split("\0")
    except OSError:
        return [""]


def _guest(words: list[str]) -> Optional[str]:
    """The guest's name from QEMU's command line: -name guest=web,debug-threads=on, or -name web."""
    for option, value in zip(words, words[1:]):
        if option in ("-name", "--name"):
            parts = value.replace(",,", "\0").split(",")
            named = [part[len("guest=") :] for part in parts if part.startswith("guest=")]
            return (named[0] if named else parts[0]).replace("\0", ",")
    return None


@contextmanager
def exclusive_use(host: Host, device: Device) -> Iterator[None]:
    """Makes sure that nobody uses the device, and that nobody starts to while the block runs.

    The group is opened and kept open: a guest that starts now gets EBUSY instead of a device that is being taken away.
    A process that holds only the group does not keep the kernel from removing the device (seen on 6.1 and 6.12).
    Where the kernel has no group nodes, /proc is all there is, and it must have been read completely.
    """
    handle = _open_group(host, device)
    try:
        if handle is None and device.iommu_group is not None:
            _refuse_if_seen(host, device)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _open_group(host: Host, device: Device) -> Optional[int]:
    if device.iommu_group is None:
        return None
    path = host.beside("dev", "vfio", str(device.iommu_group))
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            return None
        if error.errno != errno.EBUSY:
            raise KernelRefused(
                f"can't tell whether {device.label} is in use: opening {path} gave {errno_text(error)}. "
                "Nothing was changed. Run as root",
                uuid=device.uuid,
                parent=device.parent,
                errno=error.errno,
            ) from error
        raise in_use_error(device, f"opening {path} gave {errno_text(error)}") from error


def _refuse_if_seen(host: Host, device: Device) -> None:
    seen = with_users(host, Reader(), (device,))[0]
    if seen.users is None:
        raise in_use_error(seen, "there is no VFIO group node to ask and not all processes can be looked at")
    if seen.users:
        raise in_use_error(seen, "the process has its VFIO device node open")
