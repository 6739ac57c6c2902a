# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change to a host, looked at four times: in check mode, done, asked for again, and in what mdev_info says then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drivers.kit.machine import Machine

Request = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A request to mdev_device on a host where other requests were fulfilled before.

    actions: what is done, in order, as "create nvidia-471 on 0000:41:00.4"; shows: what mdev_info then says of the
    device with the request's UUID, None where it is gone.
    """

    request: Request
    actions: list[str]
    shows: dict[str, Any] | None
    before: tuple[Request, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A request to mdev_device that is refused, on a host where other requests were fulfilled before.

    kind, errno: of the error; words: in its message; writes: whether the driver was asked before it could be known.
    """

    request: Request
    kind: str
    words: list[str]
    errno: int | None = None
    before: tuple[Request, ...] = ()
    writes: bool = False


def show(machine: Machine, change: Change) -> None:
    """Looks at the change four times."""
    _prepare(machine, change.before)
    done = thrice(machine, machine.device, **change.request)
    assert actions(done) == change.actions
    shown = device(machine, change.request["uuid"])
    assert shown is None if change.shows is None else shown is not None and change.shows.items() <= shown.items(), shown


def show_refusal(machine: Machine, refusal: Refusal) -> None:
    """The request fails in the same words in check mode, unless only the driver knows; and nothing is left of it."""
    _prepare(machine, refusal.before)
    devices, writes = machine.host.devices(), len(machine.host.writes)
    if not refusal.writes:
        _assert_refused(machine.device(**refusal.request, check=True), refusal)
    _assert_refused(machine.device(**refusal.request), refusal)
    assert machine.host.devices() == devices
    assert refusal.writes or len(machine.host.writes) == writes


def thrice(machine: Machine, verb: Callable[..., dict[str, Any]], **request: Any) -> dict[str, Any]:
    """Asks in check mode, then for real, then again. The result of the real run."""
    writes = len(machine.host.writes)
    checked = verb(**request, check=True, diff=True)
    assert len(machine.host.writes) == writes, "check mode wrote"
    done = verb(**request, diff=True)
    assert not done.get("failed"), done["msg"]
    again = verb(**request, diff=True)
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert (checked["actions"], checked["diff"]) == (done["actions"], done["diff"])
    assert again["actions"] == []
    return done


def actions(result: dict[str, Any]) -> list[str]:
    """What was done, a line each."""
    return [_line(**one) for one in result["actions"]]


def device(machine: Machine, uuid: str) -> dict[str, Any] | None:
    """What mdev_info says of one device."""
    shown = machine.info()
    assert shown["unread"] == []
    return next((one for one in shown["devices"] if one["uuid"] == uuid), None)


def _line(action: str, uuid: str, parent: str, type: str, attribute: str | None, value: str | None) -> str:
    if attribute is not None:
        return f"write {value} to {attribute}"
    return f"{action} {type} on {parent}"


def _prepare(machine: Machine, requests: tuple[Request, ...]) -> None:
    for one in requests:
        result = machine.device(**one)
        assert not result.get("failed"), result["msg"]


def _assert_refused(result: dict[str, Any], refusal: Refusal) -> None:
    assert result.get("failed"), result
    assert (result["error"]["kind"], result["error"].get("errno")) == (refusal.kind, refusal.errno), result["msg"]
    for words in refusal.words:
        assert words in result["msg"]
