# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The distribution releases and hosts of the lab."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.errors import LabError

SUITES = ("trixie", "bookworm")
LETTERS = ("a", "b", "c", "d")
# Pairs of hosts on one network. Tests on different pairs run at the same time.
_PEERS = {"a": "b", "b": "a", "c": "d", "d": "c"}


@dataclass(frozen=True, order=True)
class HostName:
    """A host of the lab: its suite and letter. Written ``trixie_a``; the host name inside is ``a``."""

    suite: str
    letter: str

    def __str__(self) -> str:
        return f"{self.suite}_{self.letter}"

    @property
    def peer(self) -> HostName:
        """The host of the same suite on the same network."""
        return HostName(self.suite, _PEERS[self.letter])

    @property
    def lan_address(self) -> str:
        """The static address on the network that the host shares with its peer."""
        return f"10.77.0.{LETTERS.index(self.letter) + 1}"

    @property
    def lan_mac(self) -> str:
        return f"52:54:00:77:00:{LETTERS.index(self.letter) + 1:02x}"

    @property
    def machine_id(self) -> str:
        """The contents of /etc/machine-id on the host: fixed, so that derived values are the same in each run."""
        return hashlib.sha256(f"vfio.mdev lab host {self}".encode()).hexdigest()[:32]


ALL_HOSTS = tuple(HostName(suite, letter) for suite in SUITES for letter in LETTERS)


def parse_host(text: str) -> HostName:
    """Convert ``trixie_a`` to a HostName. Raises LabError for a host that the lab does not have."""
    for host in ALL_HOSTS:
        if str(host) == text:
            return host
    raise LabError(f"there is no lab host {text!r}; there are: {', '.join(map(str, ALL_HOSTS))}")


def select(suites: Sequence[str], letters: Sequence[str]) -> list[HostName]:
    """The hosts of these suites with these letters, in the lab's own order."""
    _check("suite", suites, SUITES)
    _check("host", letters, LETTERS)
    return [host for host in ALL_HOSTS if host.suite in suites and host.letter in letters]


def _check(label: str, given: Iterable[str], known: Sequence[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise LabError(f"unknown {label} {', '.join(unknown)}; the lab has {', '.join(known)}")
