# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules that change a host are to do, and how: their common arguments and what these mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from .._frameworks.backends import CHOICES
from .._host.autostart import require_starter
from .._host.definitions import DefinitionFiles
from .._host.paths import HostPaths
from .._model.inventory import Inventory
from .._model.request import Wanted

BACKEND_ARGUMENTS: dict[str, dict[str, Any]] = {
    "backend": {"type": "str", "choices": list(CHOICES), "default": "auto"},
    "uri": {"type": "str", "default": "qemu:///system"},
    "lock_timeout": {"type": "float", "default": 60},
}

# For modules that are asked for devices whose parents may still be on their way.
WAIT_ARGUMENTS: dict[str, dict[str, Any]] = {"wait_seconds": {"type": "float", "default": 0}}


class Journal:
    """What is written down about a run, under its lock and not in check mode. This one writes nothing."""

    def begin(self, steps: bool) -> None:
        """Before the first step. steps: whether there are any."""

    def end(self) -> None:
        """After the last step."""

    def fail(self) -> None:
        """After a failed step, once all others are taken back."""


@dataclass(frozen=True)
class Job:
    """What to do and where.

    wanted:       the devices, which may depend on what the host holds
    wait_seconds: how long to wait for parents, types and room that are not there
    """

    paths: HostPaths
    files: DefinitionFiles
    wanted: Callable[[Inventory], Sequence[Wanted]]
    backend: str
    uri: str
    lock_seconds: float
    wait_seconds: float = 0
    journal: Journal = field(default_factory=Journal)


def job(
    params: dict[str, Any],
    wanted: Callable[[Inventory], Sequence[Wanted]],
    autostart: bool,
    journal: Optional[Journal] = None,
) -> Job:
    """What to do and where. autostart: whether something must start devices at boot."""
    paths = HostPaths(params["sysfs_path"])
    if autostart:
        require_starter(paths)
    return Job(
        paths=paths,
        files=DefinitionFiles(params["definitions_path"]),
        wanted=wanted,
        backend=params["backend"],
        uri=params["uri"],
        lock_seconds=params["lock_timeout"],
        wait_seconds=params.get("wait_seconds", 0),
        journal=journal or Journal(),
    )
