# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watches migrations from the controller: starts them up to the limits, looks at them, and acts on what it sees."""

from __future__ import annotations

import time
from typing import Any, Optional

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.vfio.mdev.plugins.module_utils._migration.job_options import JOB_ARGUMENTS, check_job_options
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import MdevError
from ansible_collections.vfio.mdev.plugins.plugin_utils._migrations import Migrations, NoAnswer, outcome_results
from ansible_collections.vfio.mdev.plugins.plugin_utils._step_deadline import step_deadline

display = Display()

_MODULE = "vfio.mdev.mdev_guest_migrate"
_STEP_SECONDS = 120.0


class ActionModule(ActionBase):
    """The loop runs here, and each step is a short module run on the source."""

    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Migrate the guests, and return what became of them."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        _validation, params = self.validate_argument_spec(argument_spec=JOB_ARGUMENTS)  # type: ignore[no-untyped-call]
        try:
            check_job_options(params)
        except MdevError as error:
            return {**result, "failed": True, "msg": error.message, "error": error.as_result()}

        def step(name: str, guests: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
            return self._step({**params, **more, "step": name, "guests": guests}, variables)

        migrations = Migrations(params, step, display.display, time.monotonic, time.sleep)
        if not self._task.check_mode:
            migrations.run()
        return {**result, "changed": migrations.changed, "guests": outcome_results(migrations)}

    def _step(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """One step on the source. Raises NoAnswer if nobody knows whether it was done."""
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            with step_deadline(_STEP_SECONDS, self._task.timeout):
                returned: dict[str, Any] = self._execute_module(
                    module_name=_MODULE, module_args=given, task_vars=variables
                )
        except AnsibleError as error:
            self._reconnect()
            raise NoAnswer(str(error)) from error
        except TimeoutError as error:
            self._reconnect()
            raise NoAnswer(f"no answer in {_STEP_SECONDS:.0f} s") from error
        if returned.get("failed") and "error" not in returned:
            # The module did not get to its end: the connection was cut, or the host has no memory or disk space.
            raise NoAnswer(str(returned.get("module_stderr") or returned.get("msg")))
        return returned

    def _reconnect(self) -> None:
        """The next step begins with a new connection and a new temporary folder: the source may have been rebooted."""
        self._connection._shell.tmpdir = None
        try:
            self._connection.reset()
        except (AnsibleError, OSError, AttributeError):
            # Some connection plugins can't.
            return
