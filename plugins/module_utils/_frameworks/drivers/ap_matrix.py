# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The matrix of an s390 AP device (vfio_ap): which adapters, domains and control domains it has. Pure.

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

# Read for what is assigned: adapters and domains as their cross product, control domains one a line.
MATRIX, CONTROL_DOMAINS = "matrix", "control_domains"

_CONFIG = "ap_config"
# In the order of ap_config's masks.
_KINDS = ("adapter", "domain", "control_domain")
_ASSIGN = {f"assign_{kind}": kind for kind in _KINDS}
_UNASSIGN = {f"unassign_{kind}": kind for kind in _KINDS}
_TWINS = {**dict(zip(_ASSIGN, _UNASSIGN)), **dict(zip(_UNASSIGN, _ASSIGN))}
NAMES = frozenset({_CONFIG, *_TWINS})

# The kernel's kstrtoul with base 0: a leading 0 means octal.
_NUMBER = re.compile(r"\+?(?:0x(?P<hex>[0-9a-f]+)|0(?P<octal>[0-7]*)|(?P<decimal>[1-9][0-9]*))", re.IGNORECASE)
# The kernel's ap_hex2bitmap: bit 0 is the leftmost one, what is not given on the right is 0.
_BITS = 256
_MASK = r"\s*(?:0x)?([0-9a-f]{1,64})\s*"
_CONFIG_VALUE = re.compile(",".join([_MASK] * len(_KINDS)), re.IGNORECASE)
_QUEUE = re.compile(r"^([0-9a-f]*)\.([0-9a-f]*)$", re.MULTILINE)
_DOMAIN = re.compile(r"^[0-9a-f]+$", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """An adapter, a domain or a control domain."""

    kind: str
    number: int


Matrix = frozenset[Part]


class MatrixRules(AttributeRules):
    """The attributes that assign, and the files that report what is assigned."""

    names = NAMES
    files = (MATRIX, CONTROL_DOMAINS)

    def reported(self, texts: Sequence[Optional[str]]) -> tuple[Attribute, ...]:
        """The attributes that assign what the two files report."""
        matrix, control_domains = texts
        return attributes_of(matrix_read(matrix, control_domains))

    def check(self, attributes: Sequence[Attribute]) -> None:
        """Raises InvalidInput for values that the driver can't read."""
        refuse_unreadable(attributes)

    def changes(self, wanted: Sequence[Attribute], current: Sequence[Attribute]) -> tuple[AttributeChange, ...]:
        """What to unassign and to assign."""
        return matrix_changes(wanted, matrix_of(current))

    def drift(self, wanted: Sequence[Attribute], current: Sequence[Attribute]) -> tuple[Drift, ...]:
        """How the assignment differs, one line for each kind of part."""
        return matrix_drift(wanted, matrix_of(current))

    def current(self, attributes: Sequence[Attribute], like: Sequence[Attribute]) -> tuple[Attribute, ...]:
        """The attributes in the order and spelling of others."""
        return attributes_of(matrix_of(attributes), like=like)


def matrix_read(matrix: Optional[str], control_domains: Optional[str]) -> Matrix:
    """What the two files tell, None being an empty one. Without domains a line is '05.', without adapters '.0004'.

    The kernel cuts matrix after a page, which is 512 queues: adapters beyond these are not seen.
    """
    queues = _QUEUE.findall(matrix or "")
    found = {
        "adapter": [adapter for adapter, _domain in queues if adapter],
        "domain": [domain for _adapter, domain in queues if domain],
        "control_domain": _DOMAIN.findall(control_domains or ""),
    }
    return frozenset(Part(kind, int(text, 16)) for kind in _KINDS for text in found[kind])


def matrix_of(attributes: Sequence[Attribute]) -> Matrix:
    """What is assigned once these are written in order to a device that has nothing."""
    found: Matrix = frozenset()
    for one in attributes:
        number, whole = _number(one.value), _config_parts(one.value)
        if one.name == _CONFIG and whole is not None:
            found = whole
        elif number is not None and one.name in _ASSIGN:
            found |= {Part(_ASSIGN[one.name], number)}
        elif number is not None and one.name in _UNASSIGN:
            found -= {Part(_UNASSIGN[one.name], number)}
    return found


def attributes_of(matrix: Matrix, like: Sequence[Attribute] = ()) -> tuple[Attribute, ...]:
    """The attributes that assign this, those of ``like`` first, in their order and spelling."""
    spelled = {part: one for one in like for part in matrix_of([one]) if one.name in _ASSIGN and part in matrix}
    others = sorted(matrix - set(spelled), key=lambda part: (_KINDS.index(part.kind), part.number))
    return (*spelled.values(), *(Attribute(f"assign_{part.kind}", _text(part)) for part in others))


def refuse_unreadable(attributes: Sequence[Attribute]) -> None:
    """Refuses values that the driver could not read, before anything is touched."""
    for one in attributes:
        if one.name in _TWINS and _number(one.value) is None:
            raise _unreadable(one, "a number: decimal (5), hexadecimal (0x05), or octal with a leading 0")
        if one.name == _CONFIG and _config_parts(one.value) is None:
            raise _unreadable(one, "three hexadecimal masks with commas between, of adapters, domains, control domains")


def matrix_changes(wanted: Sequence[Attribute], now: Matrix) -> tuple[AttributeChange, ...]:
    """What to write to a device that has ``now``: un-assign what is gone, then assign what is missing, in order.

    Where ap_config is among the attributes, it sets everything at once, and those after it are written again.
    """
    goal = matrix_of(wanted)
    if goal == now:
        return ()
    mine = [one for one in wanted if one.name in NAMES]
    configs = [index for index, one in enumerate(mine) if one.name == _CONFIG]
    if configs:
        config, *rest = mine[configs[-1] :]
        return (AttributeChange(config, Attribute(_CONFIG, _config_text(now))), *map(_with_way_back, rest))
    gone = [Attribute(_TWINS[one.name], one.value) for one in attributes_of(now - goal)]
    return tuple(map(_with_way_back, (*gone, *attributes_of(goal - now, like=wanted))))


def matrix_drift(wanted: Sequence[Attribute], now: Matrix) -> tuple[Drift, ...]:
    """How what is assigned differs, a line for each kind."""
    goal = matrix_of(wanted)
    lines = (Drift(f"{kind.replace('_', ' ')}s", _listed(goal, kind), _listed(now, kind)) for kind in _KINDS)
    return tuple(one for one in lines if one.wanted != one.actual)


def _with_way_back(one: Attribute) -> AttributeChange:
    return AttributeChange(one, Attribute(_TWINS[one.name], one.value))


def _listed(matrix: Matrix, kind: str) -> str:
    numbers = sorted(part.number for part in matrix if part.kind == kind)
    return ", ".join(_text(Part(kind, number)) for number in numbers) or "none"


def _text(part: Part) -> str:
    """As the s390 tools write it: 05 for an adapter, 0004 for a domain, here with the 0x that the driver needs."""
    return f"0x{part.number:02x}" if part.kind == "adapter" else f"0x{part.number:04x}"


def _number(text: str) -> Optional[int]:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    if found["hex"]:
        return int(found["hex"], 16)
    return int(found["decimal"]) if found["decimal"] else int(found["octal"] or "0", 8)


def _config_parts(text: str) -> Optional[Matrix]:
    """What ap_config's three masks assign."""
    found = _CONFIG_VALUE.fullmatch(text)
    if found is None:
        return None
    masks = (f"{int(mask.ljust(_BITS // 4, '0'), 16):0{_BITS}b}" for mask in found.groups())
    return frozenset(
        Part(kind, number) for kind, mask in zip(_KINDS, masks) for number, bit in enumerate(mask) if bit == "1"
    )


def _config_text(matrix: Matrix) -> str:
    masks = ("".join("01"[Part(kind, number) in matrix] for number in range(_BITS)) for kind in _KINDS)
    return ",".join(f"0x{int(mask, 2):0{_BITS // 4}x}" for mask in masks)


def _unreadable(attribute: Attribute, meant: str) -> InvalidInput:
    return InvalidInput(
        f"attribute '{attribute.name}' of an AP device can't be '{attribute.value}': give {meant}. Nothing was changed",
        attribute=attribute.name,
    )


MATRIX_RULES = MatrixRules()
