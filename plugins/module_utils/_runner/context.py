# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The context of a run: the common arguments of modules that change a host, and their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from .._host.paths import Host
from .._model.inventory import Inventory
from .._model.request import DeviceRequest

Requests = Callable[[Inventory], Sequence[DeviceRequest]]


class Journal:
    """Records a run, under the host's lock and not in check mode. This base class records nothing."""

    def begin(self, steps: bool) -> None:
        """Before the first step. steps: whether there are any."""

    def end(self) -> None:
        """After the last step."""

    def fail(self) -> None:
        """After a step failed and all others were rolled back."""


@dataclass(frozen=True)
class RunContext:
    """What to do, and on which host.

    requests:     the devices, which may depend on the host's inventory
    autostart:    whether something must start devices at boot
    lock_timeout: seconds to wait for another run
    wait_timeout: seconds to wait for missing parents, types and capacity
    """

    host: Host
    requests: Requests
    autostart: bool
    backend: str
    uri: str
    lock_timeout: float
    wait_timeout: float = 0
    journal: Journal = field(default_factory=Journal)

    @classmethod
    def from_params(
        cls,
        params: Mapping[str, Any],
        host: Host,
        requests: Requests,
        autostart: bool,
        journal: Optional[Journal] = None,
        wait_timeout: float = 0,
    ) -> RunContext:
        """The context from a module's parameters. wait_timeout: if the module waits before it plans."""
        return cls(
            host=host,
            requests=requests,
            autostart=autostart,
            backend=params["backend"],
            uri=params["uri"],
            lock_timeout=params["lock_timeout"],
            wait_timeout=wait_timeout,
            journal=journal or Journal(),
        )
