# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a report as a table for spreadsheets. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

Row = Mapping[str, Any]

_COLUMNS = (
    "host",
    "state",
    "framework",
    "problems",
    "type",
    "type_name",
    "in_use",
    "use_unknown",
    "idle",
    "room",
    "defined",
)
# A spreadsheet takes such a text for a formula. Source: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(report: Mapping[str, Any]) -> str:
    """One line for each host and type, and one for each host without types."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for host in report["hosts"]:
        table.writerows([_cell(value) for value in line] for line in _lines(host))
    return text.getvalue()


def _lines(host: Row) -> Iterator[tuple[Any, ...]]:
    about_host = (host["name"], host["state"], host["framework"], host["problems"])
    for mdev_type in host["types"]:
        usage = mdev_type["usage"]
        yield (
            *about_host,
            mdev_type["id"],
            mdev_type["name"],
            usage["in_use"],
            usage["unknown"],
            usage["idle"],
            "any" if usage["unlimited"] else usage["room"],
            mdev_type["defined"],
        )
    if not host["types"]:
        yield (*about_host, *[None] * (len(_COLUMNS) - len(about_host)))


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
