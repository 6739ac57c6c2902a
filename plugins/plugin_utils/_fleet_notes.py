# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator must know about hosts: what needs attention, and hints. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

from ansible_collections.vfio.mdev.plugins.module_utils._info.counts import is_orphaned, use_of
from ansible_collections.vfio.mdev.plugins.module_utils._info.hints import USE_UNKNOWN
from ansible_collections.vfio.mdev.plugins.plugin_utils._fleet import Note

Answer = Mapping[str, Any]


def notes_of(host: str, answer: Answer, silence: Optional[str]) -> tuple[Note, ...]:
    """The notes on one host. silence: why it did not answer."""
    if silence is not None:
        return (Note((host,), silence, _failure(answer), problem=True),)
    problems = [Note((host,), category, text, problem=True) for category, text in _problems(answer)]
    return (*problems, *(Note((host,), "hint", hint, problem=False) for hint in _hints(answer)))


def grouped_notes(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Equal notes on several hosts become one. What needs attention comes first."""
    hosts: dict[tuple[str, str, bool], list[str]] = {}
    for note in notes:
        hosts.setdefault((note.category, note.text, note.problem), []).extend(note.hosts)
    rows = [Note(tuple(names), *key) for key, names in hosts.items()]
    return tuple(sorted(rows, key=lambda note: not note.problem))


def _problems(answer: Answer) -> Iterator[tuple[str, str]]:
    devices = answer["devices"]
    for broken in answer["broken_definitions"]:
        yield "broken definition", f"{broken['path']}: {broken['problem']}"
    for unread in answer["unread"]:
        yield "unread", f"{unread['path']}: {unread['error']}"
    for device in _half_removed(answer):
        yield "half removed", f"{_name(device)} on {device['parent']} waits for {_waits_for(device)}"
    drifted = sum(bool(device["drift"]) for device in devices)
    if drifted:
        yield "drift", f"{_number(drifted)} not as defined: see Drift"
    orphaned = sum(is_orphaned(device) for device in devices)
    if orphaned:
        yield (
            "orphaned",
            f"{_number(orphaned)} active, not defined and not used: define or remove them, or start their guests",
        )
    unknown = use_of(devices).unknown
    if unknown:
        yield (
            "use unknown",
            f"it is unknown whether {_number(unknown)} in use, because not all processes could be examined. "
            "Run the playbook as root (--become)",
        )


def _waits_for(device: Answer) -> str:
    users = [user["guest"] or f"{user['command']} ({user['pid']})" for user in device["used_by"]]
    if users:
        return ", ".join(users)
    return "an unknown process (use unknown)" if device["in_use"] is None else "a process that has just ended"


def _hints(answer: Answer) -> list[str]:
    """Some hints are about the files and devices of problems."""
    reported = [
        *(broken["path"] for broken in answer["broken_definitions"]),
        *(_name(device) for device in _half_removed(answer)),
        USE_UNKNOWN.partition("{}")[0],
    ]
    return [hint for hint in answer["hints"] if not any(name in hint for name in reported)]


def _half_removed(answer: Answer) -> list[Answer]:
    return [device for device in answer["devices"] if device["removing"]]


def _name(device: Answer) -> str:
    return str(device["uuid"] or device["parent"])


def _number(count: int) -> str:
    return "1 device is" if count == 1 else f"{count} devices are"


def _failure(answer: Answer) -> str:
    """Ansible's message about a host that did not answer, then the host's own output, which often says more."""
    texts = [str(answer.get(field) or "").strip() for field in ("msg", "module_stderr")]
    return "\n".join(text for text in texts if text)
