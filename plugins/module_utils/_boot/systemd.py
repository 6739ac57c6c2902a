# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""systemd: what it knows about units, and the commands that change that."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._host.paths import Host
from .._host.reader import errno_text
from .._host.tool import run_tool
from .._model.errors import BackendFailed

_SECONDS = 120
_PROPERTIES = ("Id", "LoadState", "NeedDaemonReload", "FragmentPath", "ActiveState")


@dataclass(frozen=True)
class UnitState:
    """A unit as systemd has it in memory, in systemd's own words. changed: its files have changed since then."""

    load_state: str
    changed: bool
    path: str
    active_state: str = ""


def unit_states(host: Host, names: Sequence[str]) -> dict[str, UnitState]:
    """The states of these units, by name. Empty if the host was not booted with systemd, as sd_booted(3) finds out."""
    if not os.path.isdir(host.beside("run", "systemd", "system")):
        return {}
    return parse_states(systemctl("show", f"--property={','.join(_PROPERTIES)}", *names))


def parse_states(output: str) -> dict[str, UnitState]:
    """The output of systemctl show: for each unit lines of PROPERTY=VALUE, separated by an empty line."""
    states: dict[str, UnitState] = {}
    for block in output.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        if values.get("Id"):
            changed = values.get("NeedDaemonReload") == "yes"
            states[values["Id"]] = UnitState(
                values.get("LoadState", ""), changed, values.get("FragmentPath", ""), values.get("ActiveState", "")
            )
    return states


def needs_reload(states: Mapping[str, UnitState], name: str, path: str, installed: bool) -> bool:
    """Whether systemd does not know yet that the file of this unit was written or removed.

    A former run may have been interrupted before systemd was reloaded. installed: whether the file exists.
    """
    state = states.get(name)
    if state is None:
        return False
    unknown = state.load_state in ("not-found", "masked") if installed else state.path == path
    return state.changed or unknown


def systemctl(*arguments: str) -> str:
    """Runs systemctl. Returns its output."""
    command = f"systemctl {' '.join(arguments)}"
    try:
        answer = run_tool(["systemctl", *arguments], _SECONDS)
    except OSError as error:
        raise BackendFailed(
            f"{command} failed: {errno_text(error)}. The boot units require systemd", backend="systemd"
        ) from error
    if answer.code is None:
        raise BackendFailed(f"{command} gave no answer in {_SECONDS} s and was killed", backend="systemd")
    if answer.code != 0:
        raise BackendFailed(
            f"{command} failed with exit code {answer.code}: {answer.line}", backend="systemd", answer=answer.line
        )
    return answer.output.decode("utf-8", "replace")
