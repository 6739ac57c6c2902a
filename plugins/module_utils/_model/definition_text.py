# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A definition as mdevctl writes it: read from text, and written byte for byte as mdevctl 1.2 and 1.4 do.

Two spaces of indent, no newline at the end, the attributes as a list of one-entry objects, since their order counts.
"""

from __future__ import annotations

import json
from typing import Any

from .errors import MdevError
from .framework import Framework
from .inventory import Attribute, Definition

_AUTOSTART = {"auto": True, "manual": False}
_KNOWN = ("mdev_type", "start", "attrs")


class BrokenDefinitionError(MdevError):
    """The text is not a definition."""

    kind = "broken_definition"


def parse_definition(text: str, parent: str, key: str, framework: Framework) -> Definition:
    """The definition in a file's text. key: the UUID that the file is named by.

    Raises BrokenDefinitionError where mdevctl would not take it either.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise BrokenDefinitionError(f"not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BrokenDefinitionError("not a JSON object")
    type_id, start = data.get("mdev_type"), data.get("start", "manual")
    if not isinstance(type_id, str) or not type_id:
        raise BrokenDefinitionError("mdev_type is missing or no text")
    if not isinstance(start, str) or start not in _AUTOSTART:
        raise BrokenDefinitionError(f"start is {json.dumps(start)}; it must be auto or manual")
    return Definition(
        id=framework.device_id(key, parent),
        key=key,
        parent=parent,
        type_id=type_id,
        autostart=_AUTOSTART[start],
        attributes=_attributes(data.get("attrs") or []),
        other=tuple((key, json.dumps(value)) for key, value in data.items() if key not in _KNOWN),
        framework=framework,
    )


def _attributes(pairs: Any) -> tuple[Attribute, ...]:
    if not isinstance(pairs, list):
        raise BrokenDefinitionError("attrs is not a list")
    attributes = []
    for pair in pairs:
        entries = list(pair.items()) if isinstance(pair, dict) else []
        if len(entries) != 1 or not isinstance(entries[0][1], str):
            raise BrokenDefinitionError(
                f"attrs has {json.dumps(pair)}; each must be an object with one name and a text"
            )
        attributes.append(Attribute(*entries[0]))
    return tuple(attributes)


def definition_text(definition: Definition) -> str:
    """The file's text."""
    data: dict[str, Any] = {
        "mdev_type": definition.type_id,
        "start": "auto" if definition.autostart else "manual",
        "attrs": [{attribute.name: attribute.value} for attribute in definition.attributes],
    }
    data.update((key, json.loads(value)) for key, value in definition.other)
    return json.dumps(data, indent=2, ensure_ascii=False)
