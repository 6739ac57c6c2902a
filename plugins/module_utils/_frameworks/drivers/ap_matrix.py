# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The matrix of an s390 AP device (vfio_ap): the adapters, domains and control domains that it has. Pure.

It is written bit by bit to attributes that can't be read, or as a whole to ap_config, and read from two other files.
Source: kernel Documentation/arch/s390/vfio-ap.rst and drivers/s390/crypto/vfio_ap_ops.c.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ..._model.errors import InvalidInput
from ..._model.framework import AttributeRules
from ..._model.inventory import Attribute, AttributeChange, Drift

# These files report the assignment: adapters and domains as their cross product, control domains one per line.
MATRIX, CONTROL_DOMAINS = "matrix", "control_domains"

_CONFIG = "ap_config"
# In the order of ap_config's masks.
_PART_TYPES = ("adapter", "domain", "control_domain")
_ASSIGN = {f"assign_{part_type}": part_type for part_type in _PART_TYPES}
_UNASSIGN = {f"unassign_{part_type}": part_type for part_type in _PART_TYPES}
_TWINS = {**dict(zip(_ASSIGN, _UNASSIGN)), **dict(zip(_UNASSIGN, _ASSIGN))}
NAMES = frozenset({_CONFIG, *_TWINS})

# The kernel's kstrtoul with base 0: a leading 0 means octal.
_NUMBER = re.compile(r"\+?(?:0x(?P<hex>[0-9a-f]+)|0(?P<octal>[0-7]*)|(?P<decimal>[1-9][0-9]*))", re.IGNORECASE)
# The kernel's ap_hex2bitmap: bit 0 is the leftmost bit, and bits missing on the right are 0.
_BITS = 256
_MASK = r"\s*(?:0x)?([0-9a-f]{1,64})\s*"
_CONFIG_VALUE = re.compile(",".join([_MASK] * len(_PART_TYPES)), re.IGNORECASE)
_QUEUE = re.compile(r"^([0-9a-f]*)\.([0-9a-f]*)$", re.MULTILINE)
_DOMAIN = re.compile(r"^[0-9a-f]+$", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """An adapter, a domain or a control domain."""

    type: str
    number: int


Matrix = frozenset[Part]


class MatrixRules(AttributeRules):
    """The attributes that change the assignment, and the files that report it."""

    names = NAMES
    files = (MATRIX, CONTROL_DOMAINS)

    def reported(self, texts: Sequence[Optional[str]]) -> tuple[Attribute, ...]:
        """The attributes that create the assignment that the two files report."""
        matrix, control_domains = texts
        return attributes_of(matrix_read(matrix, control_domains))

    def check(self, attributes: Sequence[Attribute]) -> None:
        """Raises InvalidInput for values that the driver can't read."""
        refuse_unreadable(attributes)

    def changes(self, wanted: Sequence[Attribute], current: Sequence[Attribute]) -> tuple[AttributeChange, ...]:
        """The parts to unassign and to assign."""
        return matrix_changes(wanted, matrix_of(current))

    def drift(self, wanted: Sequence[Attribute], current: Sequence[Attribute]) -> tuple[Drift, ...]:
        """How the assignment differs, one line for each type of part."""
        return matrix_drift(wanted, matrix_of(current))

    def current(self, attributes: Sequence[Attribute], like: Sequence[Attribute]) -> tuple[Attribute, ...]:
        """The attributes in the order and spelling of others."""
        return attributes_of(matrix_of(attributes), like=like)


def matrix_read(matrix: Optional[str], control_domains: Optional[str]) -> Matrix:
    """The assignment that the two files report. None is an empty file.

    A line is '05.' if there are no domains, and '.0004' if there are no adapters. The kernel truncates matrix after a
    page, which is 512 queues: adapters beyond these are not visible.
    """
    queues = _QUEUE.findall(matrix or "")
    numbers = {
        "adapter": [adapter for adapter, _domain in queues if adapter],
        "domain": [domain for _adapter, domain in queues if domain],
        "control_domain": _DOMAIN.findall(control_domains or ""),
    }
    return frozenset(Part(part_type, int(text, 16)) for part_type in _PART_TYPES for text in numbers[part_type])


def matrix_of(attributes: Sequence[Attribute]) -> Matrix:
    """The assignment after these are written in order to a device without any."""
    matrix: Matrix = frozenset()
    for attribute in attributes:
        number, config = _number(attribute.value), _config_parts(attribute.value)
        if attribute.name == _CONFIG and config is not None:
            matrix = config
        elif number is not None and attribute.name in _ASSIGN:
            matrix |= {Part(_ASSIGN[attribute.name], number)}
        elif number is not None and attribute.name in _UNASSIGN:
            matrix -= {Part(_UNASSIGN[attribute.name], number)}
    return matrix


def attributes_of(matrix: Matrix, like: Sequence[Attribute] = ()) -> tuple[Attribute, ...]:
    """The attributes that create this assignment, those of ``like`` first, in their order and spelling."""
    spelled = {
        part: attribute
        for attribute in like
        for part in matrix_of([attribute])
        if attribute.name in _ASSIGN and part in matrix
    }
    others = sorted(matrix - set(spelled), key=lambda part: (_PART_TYPES.index(part.type), part.number))
    return (*spelled.values(), *(Attribute(f"assign_{part.type}", _text(part)) for part in others))


def refuse_unreadable(attributes: Sequence[Attribute]) -> None:
    """Refuses values that the driver can't read, before anything is changed."""
    for attribute in attributes:
        if attribute.name in _TWINS and _number(attribute.value) is None:
            raise _unreadable(attribute, "a number: decimal (5), hexadecimal (0x05), or octal with a leading 0")
        if attribute.name == _CONFIG and _config_parts(attribute.value) is None:
            raise _unreadable(
                attribute, "three hexadecimal masks separated by commas, for adapters, domains and control domains"
            )


def matrix_changes(wanted: Sequence[Attribute], now: Matrix) -> tuple[AttributeChange, ...]:
    """The writes to a device that has ``now``: first unassign surplus parts, then assign missing ones, in order.

    If ap_config is among the attributes, it sets everything at once, and those after it are written again.
    """
    goal = matrix_of(wanted)
    if goal == now:
        return ()
    own = [attribute for attribute in wanted if attribute.name in NAMES]
    configs = [index for index, attribute in enumerate(own) if attribute.name == _CONFIG]
    if configs:
        config, *rest = own[configs[-1] :]
        return (AttributeChange(config, Attribute(_CONFIG, _config_text(now))), *map(_with_undo, rest))
    surplus = [Attribute(_TWINS[attribute.name], attribute.value) for attribute in attributes_of(now - goal)]
    return tuple(map(_with_undo, (*surplus, *attributes_of(goal - now, like=wanted))))


def matrix_drift(wanted: Sequence[Attribute], now: Matrix) -> tuple[Drift, ...]:
    """How the assignment differs, one line for each type of part."""
    goal = matrix_of(wanted)
    lines = (
        Drift(f"{part_type.replace('_', ' ')}s", _listed(goal, part_type), _listed(now, part_type))
        for part_type in _PART_TYPES
    )
    return tuple(line for line in lines if line.wanted != line.actual)


def _with_undo(attribute: Attribute) -> AttributeChange:
    return AttributeChange(attribute, Attribute(_TWINS[attribute.name], attribute.value))


def _listed(matrix: Matrix, part_type: str) -> str:
    numbers = sorted(part.number for part in matrix if part.type == part_type)
    return ", ".join(_text(Part(part_type, number)) for number in numbers) or "none"


def _text(part: Part) -> str:
    """As the s390 tools write it: 05 for an adapter, 0004 for a domain, here with the 0x that the driver needs."""
    return f"0x{part.number:02x}" if part.type == "adapter" else f"0x{part.number:04x}"


def _number(text: str) -> Optional[int]:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    if match["hex"]:
        return int(match["hex"], 16)
    return int(match["decimal"]) if match["decimal"] else int(match["octal"] or "0", 8)


def _config_parts(text: str) -> Optional[Matrix]:
    """The parts that ap_config's three masks assign."""
    match = _CONFIG_VALUE.fullmatch(text)
    if match is None:
        return None
    masks = (f"{int(mask.ljust(_BITS // 4, '0'), 16):0{_BITS}b}" for mask in match.groups())
    return frozenset(
        Part(part_type, number)
        for part_type, mask in zip(_PART_TYPES, masks)
        for number, bit in enumerate(mask)
        if bit == "1"
    )


def _config_text(matrix: Matrix) -> str:
    masks = ("".join("01"[Part(part_type, number) in matrix] for number in range(_BITS)) for part_type in _PART_TYPES)
    return ",".join(f"0x{int(mask, 2):0{_BITS // 4}x}" for mask in masks)


def _unreadable(attribute: Attribute, expected: str) -> InvalidInput:
    return InvalidInput(
        f"attribute '{attribute.name}' of an AP device can't be set to '{attribute.value}': the driver expects "
        f"{expected}. Nothing was changed",
        attribute=attribute.name,
    )


MATRIX_RULES = MatrixRules()
