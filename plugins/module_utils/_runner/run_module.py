# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module, then returns its result, or its error with facts for playbooks."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Protocol

from .._model.errors import InvalidInput, MdevError, Unexpected

Result = dict[str, Any]

# About 30 years.
_MAX_SECONDS = 10**9


class Module(Protocol):
    """The part of AnsibleModule that is used here."""

    params: dict[str, Any]
    check_mode: bool
    _diff: bool

    def warn(self, warning: str) -> None:
        """Shows a warning."""

    def exit_json(self, **result: Any) -> None:
        """Ends the module with its result."""

    def fail_json(self, msg: str, **result: Any) -> None:
        """Ends the module with an error."""


@dataclass(frozen=True)
class ModuleResult:
    """The return values of a module. diff: before and after, as Ansible shows it; None if there is no diff."""

    result: Result
    warnings: Sequence[str] = ()
    diff: Any = None


def run_module(
    module: Module,
    act: Callable[[dict[str, Any], bool], ModuleResult],
    on_failure: Callable[[MdevError], Mapping[str, Any]] = lambda error: {},
) -> None:
    """Runs the module.

    act:        from the parameters and check mode to the result
    on_failure: further return values of a failure
    """
    try:
        _check_times(module.params)
        returned = act(module.params, module.check_mode)
    except MdevError as error:
        module.fail_json(msg=error.message, error=error.as_result(), **on_failure(error))
        return
    except Exception as error:
        # Reading, planning and results change nothing, and apply.py turns what steps raise into errors of ours.
        unexpected = Unexpected.from_exception(error)
        details = traceback.format_exc()
        module.fail_json(
            msg=unexpected.message, error=unexpected.as_result(), exception=details, **on_failure(unexpected)
        )
        return
    for text in returned.warnings:
        module.warn(text)
    diff = {"diff": returned.diff} if module._diff and returned.diff is not None else {}
    module.exit_json(**returned.result, **diff)


def _check_times(params: Mapping[str, Any]) -> None:
    """Refuses times that nothing can wait for: negative, nan and inf, which Ansible accepts as numbers."""
    for name, value in params.items():
        if name.endswith("timeout") and isinstance(value, (int, float)) and not 0 <= value <= _MAX_SECONDS:
            raise InvalidInput(
                f"{name} is {value}: it must be 0 or more seconds, and at most {_MAX_SECONDS}", option=name
            )
