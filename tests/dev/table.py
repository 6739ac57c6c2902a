# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of mdev_info as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = Sequence[str]


def types_table(info: dict[str, Any]) -> str:
    """One line per type, with used and free instances and what really fits."""
    rows: list[Row] = [("TYPE", "NAME", "PARENTS", "USED", "DEFINED", "FREE", "ROOM")]
    for mdev_type in info["types"]:
        numbers = (mdev_type[name] for name in ("parents", "active", "defined", "available_instances", "room"))
        rows.append((mdev_type["id"], mdev_type["name"] or "-", *(_text(number) for number in numbers)))
    return _aligned(rows)


def devices_table(info: dict[str, Any]) -> str:
    """One line per device: its parent and type, whether it is active, defined and started at boot, and its users."""
    rows: list[Row] = [("DEVICE", "PARENT", "TYPE", "ACTIVE", "DEFINED", "AUTOSTART", "USED BY")]
    for device in info["devices"]:
        states = (_text(device[name]) for name in ("active", "defined", "autostart"))
        users = ", ".join(user["guest"] or user["command"] for user in device["used_by"] or []) or "-"
        rows.append((device["uuid"], device["parent"], device["type"], *states, users))
    return _aligned(rows)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "?" if value is None else str(value)


def _aligned(rows: Sequence[Row]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
