# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Free ports of this machine, saved per suite so that an inventory stays valid after restores."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from lab import cache
from lab.suites import LETTERS

_LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Ports on 127.0.0.1: ``ssh`` (TCP) forwards to each host's ssh, ``lan`` (UDP) carries their shared network."""

    ssh: Mapping[str, int]
    lan: Mapping[str, int]


def recall(suite: str) -> Ports | None:
    """The saved ports of a suite. None if none were saved, or if the lab had other hosts then."""
    path = cache.root() / f"ports-{suite}.json"
    saved = Ports(**json.loads(path.read_text())) if path.exists() else None
    return saved if saved is not None and set(LETTERS) == set(saved.ssh) == set(saved.lan) else None


def allot(suite: str) -> Ports:
    """The saved ports of a suite without running hosts, or new ports if one of them is in use now."""
    noted = recall(suite)
    if noted and all(_is_free(noted, letter) for letter in LETTERS):
        return noted
    holders = [socket.socket(socket.AF_INET, socket_type) for socket_type in _SOCKET_TYPES for _letter in LETTERS]
    try:
        for holder in holders:
            holder.bind((_LOCAL, 0))
        numbers = [int(holder.getsockname()[1]) for holder in holders]
    finally:
        for holder in holders:
            holder.close()
    ports = Ports(
        ssh=dict(zip(LETTERS, numbers[: len(LETTERS)])),
        lan=dict(zip(LETTERS, numbers[len(LETTERS) :])),
    )
    path = cache.root() / f"ports-{suite}.json"
    path.write_text(json.dumps(asdict(ports)))
    return ports


_SOCKET_TYPES = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


def _is_free(ports: Ports, letter: str) -> bool:
    return _can_bind(socket.SOCK_STREAM, ports.ssh[letter]) and _can_bind(socket.SOCK_DGRAM, ports.lan[letter])


def _can_bind(socket_type: socket.SocketKind, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket_type) as probe:
        # QEMU can listen although connections have ended just now; so can this probe.
        if socket_type is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOCAL, port))
        except OSError:
            return False
    return True
