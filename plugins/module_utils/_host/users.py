# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The users of a device: found without touching it, and verified before it is removed.

A user has /dev/vfio/GROUP open, or on newer kernels /dev/vfio/devices/vfioN. Both are searched for in /proc, which
changes nothing. The reliable test is to open the group (EBUSY while somebody has it open, drivers/vfio/group.c), but an
open group prevents a guest from starting at that moment. Therefore only a removal opens it.
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
from .._model.refusals import in_use_error, unknown_use_error
from .paths import Host
from .reader import Reader, errno_text, read_bytes, whole_number

NodeKey = tuple[str, int, int]


@dataclass(frozen=True)
class Holders:
    """The processes that have nodes open. complete: whether every process could be examined."""

    by_node: dict[NodeKey, tuple[User, ...]]
    complete: bool


def with_users(host: Host, reader: Reader, devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """The devices with their users filled in. users stays None if not all processes could be examined."""
    if not devices:
        return devices
    holders = node_holders(host, reader)
    return tuple(replace(device, users=_users_of(host, device.iommu_group, device.path, holders)) for device in devices)


def function_users(host: Host, folders: Sequence[str]) -> list[Optional[tuple[User, ...]]]:
    """The users of PCI functions that guests get as a whole, in the order of their folders in sysfs."""
    reader = Reader()
    holders = node_holders(host, reader)
    groups = [reader.link_name(os.path.join(folder, "iommu_group")) for folder in folders]
    return [
        _users_of(host, whole_number(group) if group is not None else None, folder, holders)
        for folder, group in zip(folders, groups)
    ]


def _users_of(host: Host, group: Optional[int], folder: str, holders: Holders) -> Optional[tuple[User, ...]]:
    users: list[User] = []
    # If no process on the host has a VFIO node open, there is nothing to compare with.
    for node in _nodes(host, group, folder) if holders.by_node else ():
        users.extend(user for user in holders.by_node.get(node, ()) if user not in users)
    if not users and not holders.complete:
        return None
    return tuple(sorted(users, key=lambda user: user.pid))


def _nodes(host: Host, group: Optional[int], folder: str) -> Iterator[NodeKey]:
    if group is not None:
        yield from _node(host.beside("dev", "vfio", str(group)))
    for name in Reader().names(os.path.join(folder, "vfio-dev"), optional=True):
        yield from _node(host.beside("dev", "vfio", "devices", name))


def _node(path: str) -> Iterator[NodeKey]:
    try:
        yield node_key(os.stat(path))
    except OSError:
        return


def node_key(info: os.stat_result) -> NodeKey:
    """Identifies a file in any mount namespace: under libvirt, QEMU has its own /dev with other inodes."""
    if stat.S_ISCHR(info.st_mode):
        return ("device", os.major(info.st_rdev), os.minor(info.st_rdev))
    return ("file", info.st_dev, info.st_ino)


def node_holders(host: Host, reader: Reader, folder: str = "vfio") -> Holders:
    """The processes that have nodes open that are in this folder of /dev."""
    proc = host.beside("proc")
    pids = [name for name in reader.names(proc) if name.isascii() and name.isdigit()]
    complete = bool(pids)
    by_node: dict[NodeKey, tuple[User, ...]] = {}
    # A process that has a /dev of its own, as QEMU has under libvirt, has them there.
    prefixes = (f"/dev/{folder}/", os.path.join(os.path.realpath(host.beside("dev", folder)), ""))
    refused = 0
    for pid in pids:
        try:
            nodes = set(_open_nodes(os.path.join(proc, pid), prefixes))
        except PermissionError:
            refused += 1
            continue
        for node in nodes:
            by_node[node] = (*by_node.get(node, ()), _user(proc, pid))
    if refused:
        complete = False
        reader.note(os.path.join(proc, "*", "fd"), PermissionError(errno.EACCES, ""))
    return Holders(by_node, complete)


def _open_nodes(folder: str, prefixes: tuple[str, ...]) -> Iterator[NodeKey]:
    """The nodes that one process has open. A process that ends meanwhile holds nothing.

    prefixes: what the paths of the nodes begin with
    """
    try:
        names = os.listdir(os.path.join(folder, "fd"))
    except (FileNotFoundError, ProcessLookupError):
        return
    for name in names:
        path = os.path.join(folder, "fd", name)
        try:
            # Looking at other files could hang, for example on a server that no longer answers.
            if os.readlink(path).startswith(prefixes) and not _only_a_path(os.path.join(folder, "fdinfo", name)):
                yield node_key(os.stat(path))
        except (FileNotFoundError, ProcessLookupError):
            continue


def _only_a_path(fdinfo: str) -> bool:
    """Whether a file descriptor refers only to the node's path (O_PATH), as udev's does while it sets permissions.

    Such a process does not use the device. Source: proc_pid_fdinfo(5), flags are octal.
    """
    fields = (line.partition(b":") for line in read_bytes(fdinfo).splitlines())
    flags = next((int(value, 8) for name, _colon, value in fields if name == b"flags"), 0)
    return bool(flags & os.O_PATH)


def _user(proc: str, pid: str) -> User:
    argv = _command_line(os.path.join(proc, pid, "cmdline"))
    return User(int(pid), os.path.basename(argv[0]) or "unknown", _guest(argv))


def _command_line(path: str) -> list[str]:
    try:
        return read_bytes(path).decode("utf-8", "backslashreplace").split("\0")
    except OSError:
        return [""]


def _guest(argv: list[str]) -> Optional[str]:
    """The guest's name from QEMU's command line: -name guest=web,debug-threads=on, or -name web."""
    for option, value in zip(argv, argv[1:]):
        if option in ("-name", "--name"):
            parts = value.replace(",,", "\0").split(",")
            named = [part[len("guest=") :] for part in parts if part.startswith("guest=")]
            return (named[0] if named else parts[0]).replace("\0", ",")
    return None


@contextmanager
def exclusive_use(host: Host, device: Device) -> Iterator[None]:
    """Ensures that nobody uses the device, and that nobody starts to use it while the block runs.

    The group is opened and kept open: a guest that starts now gets EBUSY instead of a device that is being removed.
    A process that has only the group open does not keep the kernel from removing the device (observed on 6.1 and 6.12).
    If the kernel has no group nodes, /proc is the only source, and it must have been read completely.
    """
    handle = _open_group(host, device)
    try:
        if handle is None and device.iommu_group is not None:
            _refuse_if_in_proc(host, device)
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
                f"can't determine whether {device.label} is in use: opening {path} failed with {errno_text(error)}. "
                "Nothing was changed. Run as root (become: true)",
                uuid=device.uuid,
                parent=device.parent,
                errno=error.errno,
            ) from error
        raise in_use_error(device, f"opening {path} failed with {errno_text(error)}") from error


def _refuse_if_in_proc(host: Host, device: Device) -> None:
    device = with_users(host, Reader(), (device,))[0]
    if device.users is None:
        raise unknown_use_error(device)
    if device.users:
        raise in_use_error(device, "the process has its VFIO device node open")
