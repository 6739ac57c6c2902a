# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""UUIDs that are derived from a request, and their owners (RFC 9562, version 8). Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class UuidNamespace:
    """The owner of derived UUIDs.

    host: the host's identity (its machine id), empty for UUIDs that are equal on all hosts
    name: the set's name, empty for a single device
    """

    host: str
    name: str = ""

    def uuid(self, key: tuple[str, ...], index: int = 0) -> str:
        """The UUID of a device. The same namespace, key and index always give the same UUID."""
        return derived_uuid(self.host, self.name, key, index)

    def owns(self, uuid: str) -> bool:
        """Whether the UUID shows that the device belongs here: its first 48 bits, and version 8 (RFC 9562)."""
        return uuid.startswith(self._prefix)

    @cached_property
    def _prefix(self) -> str:
        """The first 48 bits, which depend only on host and name, and the version digit."""
        return self.uuid(())[:15]


def derived_uuid(host: str, owner: str, device: tuple[str, ...], index: int = 0) -> str:
    """A UUID that is always the same for the same request (RFC 9562 version 8).

    host:   the host's identity (its machine id), empty for a UUID that is equal on all hosts
    owner:  the set's name, empty for a single device
    device: what distinguishes the device from others of that owner
    index:  the device's position among the devices of one entry

    The first 48 bits come from host and owner alone: the UUID shows who owns the device.
    """
    first = _digest(("owner", host, owner))[:6]
    rest = _digest(("device", *device, str(index)))[:10]
    octets = bytearray(first + rest)
    octets[6] = 0x80 | (octets[6] & 0x0F)
    octets[8] = 0x80 | (octets[8] & 0x3F)
    digits = octets.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _digest(parts: tuple[str, ...]) -> bytes:
    """A hash in which ("a", "bc") and ("ab", "c") differ: each part is hashed with its length."""
    sha = hashlib.sha256(b"vfio.mdev")
    for part in parts:
        # Invalid text is refused elsewhere, with a better message.
        data = part.encode("utf-8", "surrogatepass")
        sha.update(b"%d:" % len(data) + data)
    return sha.digest()
