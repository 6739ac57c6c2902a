# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A definition as mdevctl writes it: read from text, and written byte for byte as mdevctl 1.2 and 1.4 do.

Two spaces of indent, no newline at the end, the attributes as a list of one-entry objects, because their order matters.
Source for reading: MDev::load_from_json() and add_attributes() of mdevctl (src/mdev.rs), and serde_json.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .errors import MdevError
from .framework import Framework
from .inventory import Attribute, Definition
from .request import is_attribute_name

_KNOWN = ("mdev_type", "start", "attrs")
# serde_json's limit for arrays and objects in each other.
_DEPTH = 127
_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
# No number with more digits is finite for serde_json.
_DIGITS = 400


class BrokenDefinitionError(MdevError):
    """The text is not a definition. blocks_mdevctl: whether mdevctl lists no definition at all because of it."""

    kind = "broken_definition"

    def __init__(self, message: str, blocks_mdevctl: bool = True) -> None:
        super().__init__(message)
        self.blocks_mdevctl = blocks_mdevctl


def parse_definition(text: str, parent: str, key: str, framework: Framework) -> Definition:
    """The definition in a file's text. key: the UUID that is the file's name.

    Raises BrokenDefinitionError if mdevctl would not accept it either, or if it must not be written to a device.
    """
    data = _parse(text)
    if not isinstance(data, dict):
        raise BrokenDefinitionError("not a JSON object")
    type_id, start = data.get("mdev_type"), data.get("start")
    if not isinstance(type_id, str):
        raise BrokenDefinitionError("mdev_type is missing or not a string")
    if start is None:
        raise BrokenDefinitionError("start is missing; it must be auto or manual")
    attributes = _attributes(data.get("attrs"))
    if not type_id:
        raise BrokenDefinitionError("mdev_type is empty", blocks_mdevctl=False)
    return Definition(
        id=framework.device_id(key, parent),
        key=key,
        parent=parent,
        type_id=type_id,
        # mdevctl takes everything else for manual.
        autostart=start == "auto",
        attributes=attributes,
        other=tuple((key, json.dumps(value)) for key, value in data.items() if key not in _KNOWN),
        framework=framework,
    )


def _parse(text: str) -> Any:
    """The JSON value, as serde_json reads it. Python's parser accepts NaN, infinite numbers and half characters too."""
    if _depth(text) > _DEPTH:
        raise BrokenDefinitionError("not JSON: nested too deeply")
    try:
        data = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole)
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BrokenDefinitionError("not JSON: a string contains half of a character (a lone surrogate)") from error
    except (ValueError, RecursionError) as error:
        raise BrokenDefinitionError(f"not JSON: {error}") from error
    return data


def _depth(text: str) -> int:
    """How many arrays and objects are in each other, counted without recursion."""
    depth = deepest = 0
    for match in _TOKENS.finditer(text):
        token = match.group()
        if token in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in "]}":
            depth -= 1
    return deepest


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is out of range")
    return number


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a number with {len(text)} digits is out of range")
    return int(text)


def _attributes(pairs: Any) -> tuple[Attribute, ...]:
    if pairs is None:
        return ()
    if not isinstance(pairs, list):
        raise BrokenDefinitionError("attrs is not a list")
    attributes = []
    for pair in pairs:
        entries = list(pair.items()) if isinstance(pair, dict) else []
        if len(entries) != 1 or not isinstance(entries[0][1], str):
            raise BrokenDefinitionError(
                f"attrs contains {json.dumps(pair)}; each entry must be an object with one name and a string value"
            )
        attributes.append(Attribute(*entries[0]))
    for attribute in attributes:
        if not is_attribute_name(attribute.name) or "\0" in attribute.value:
            raise BrokenDefinitionError(
                f"attrs contains {json.dumps({attribute.name: attribute.value})}, which does not configure a device",
                blocks_mdevctl=False,
            )
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
