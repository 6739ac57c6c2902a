# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What check mode can find out in advance: a missing tool, and files and folders that can't be written."""

from __future__ import annotations

import os
from collections.abc import Iterator

from .._frameworks.backends import choose_backends
from .._host.lock import lock_path
from .._model.errors import FileError
from .._model.inventory import Inventory
from .._planning.steps import CreateDevice, Define, Plan, Undefine
from .apply import require_backends
from .context import RunContext

_LIBVIRT = "libvirt"


def check_possible(plan: Plan, context: RunContext, inventory: Inventory) -> None:
    """Raises the error that the steps would end with, as far as nothing needs to be changed to see it."""
    if not plan.steps:
        return
    require_backends(plan, choose_backends(context.backend, context.host, context.uri, inventory.frameworks))
    for path in dict.fromkeys(_written(plan, context)):
        existing = _existing(path)
        if existing != path and not os.path.isdir(existing):
            raise FileError(f"{path} can't be made: {existing} is no folder. Nothing was changed", path=path)
        if not os.access(existing, os.W_OK):
            advice = "Run as root (become: true)" if os.geteuid() else "Its file system is mounted read-only"
            raise FileError(
                f"{path} can't be written: {existing} is not writable. Nothing was changed. {advice}", path=path
            )


def _written(plan: Plan, context: RunContext) -> Iterator[str]:
    """Paths that the steps need. Those that do not exist yet are made."""
    yield lock_path(context.host)
    for step in plan.steps:
        if isinstance(step, CreateDevice):
            yield step.choices[0].parent.path
        elif isinstance(step, (Define, Undefine)) and context.backend != _LIBVIRT:
            yield context.host.definitions_path


def _existing(path: str) -> str:
    """The path, or the nearest folder above it that exists."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path
