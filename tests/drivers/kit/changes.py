# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks one change to a host four times: in check mode, for real, repeated, and in the output of mdev_info."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drivers.kit.isolated_host import IsolatedHost

Request = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A request to mdev_device, on a host where the requests in `before` have been fulfilled.

    actions: the actions in order, as "create nvidia-471 on 0000:41:00.4"; shown: what mdev_info then reports about the
    device with the request's UUID, None if the device is gone.
    """

    request: Request
    actions: list[str]
    shown: dict[str, Any] | None
    before: tuple[Request, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A request to mdev_device that is refused, on a host where the requests in `before` have been fulfilled.

    error_kind, errno: of the error; words: parts of its message; writes: whether only writing to the driver shows it.
    """

    request: Request
    error_kind: str
    words: list[str]
    errno: int | None = None
    before: tuple[Request, ...] = ()
    writes: bool = False


def check_change(host: IsolatedHost, change: Change) -> None:
    """Check the change four times."""
    _prepare(host, change.before)
    done = apply_and_repeat(host, host.device, **change.request)
    assert actions(done) == change.actions
    shown = device(host, change.request["uuid"])
    assert shown is None if change.shown is None else shown is not None and change.shown.items() <= shown.items(), shown


def check_refusal(host: IsolatedHost, refusal: Refusal) -> None:
    """Check that the request fails, also in check mode unless only the driver can know, and that nothing remains."""
    _prepare(host, refusal.before)
    devices, writes = host.files.devices(), len(host.files.writes)
    if not refusal.writes:
        _assert_refused(host.device(**refusal.request, check=True), refusal)
    _assert_refused(host.device(**refusal.request), refusal)
    assert host.files.devices() == devices
    assert refusal.writes or len(host.files.writes) == writes


def apply_and_repeat(host: IsolatedHost, run: Callable[..., dict[str, Any]], **request: Any) -> dict[str, Any]:
    """Run a request in check mode, for real, and once more. Returns the result of the real run."""
    writes = len(host.files.writes)
    checked = run(**request, check=True, diff=True)
    assert len(host.files.writes) == writes, "check mode wrote"
    done = run(**request, diff=True)
    assert not done.get("failed"), done["msg"]
    again = run(**request, diff=True)
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert (checked["actions"], checked["diff"]) == (done["actions"], done["diff"])
    assert again["actions"] == []
    return done


def actions(result: dict[str, Any]) -> list[str]:
    """The actions of a result, one line per action."""
    return [_line(**action) for action in result["actions"]]


def device(host: IsolatedHost, uuid: str) -> dict[str, Any] | None:
    """What mdev_info reports about one device."""
    shown = host.info()
    assert shown["unread"] == []
    return next((device for device in shown["devices"] if device["uuid"] == uuid), None)


def _line(action: str, uuid: str, parent: str, type: str, attribute: str | None, value: str | None) -> str:
    if attribute is not None:
        return f"write {value} to {attribute}"
    return f"{action} {type} on {parent}"


def _prepare(host: IsolatedHost, requests: tuple[Request, ...]) -> None:
    for request in requests:
        result = host.device(**request)
        assert not result.get("failed"), result["msg"]


def _assert_refused(result: dict[str, Any], refusal: Refusal) -> None:
    assert result.get("failed"), result
    assert (result["error"]["kind"], result["error"].get("errno")) == (refusal.error_kind, refusal.errno), result["msg"]
    for words in refusal.words:
        assert words in result["msg"]
