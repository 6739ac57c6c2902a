# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of variables and keys that no option has, with the name that was probably meant. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import closest_name

# An option as argument specifications describe it. Only its options (those of its dictionaries) matter here.
Spec = Mapping[str, Any]


def unknown_names(values: Mapping[str, Any], specs: Mapping[str, Spec], path: str = "") -> Iterator[str]:
    """A text for each name that the specifications don't have, also in dictionaries and in lists of dictionaries."""
    for name, value in values.items():
        if name not in specs:
            yield f"{path}{name} is unknown{_suggestion(str(name), specs)}"
            continue
        inner = specs[name].get("options")
        if inner:
            for place, entry in _dictionaries(value):
                yield from unknown_names(entry, inner, f"{path}{name}{place}.")


def _dictionaries(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The dictionaries that a value consists of, with their places. What has another type is refused elsewhere."""
    if isinstance(value, Mapping):
        yield "", value
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", entry) for index, entry in enumerate(value) if isinstance(entry, Mapping))


def _suggestion(name: str, known: Collection[str]) -> str:
    """The known name that was probably meant, or all that it could be.

    A prefix, such as that of a role's variables, makes no names alike. A name with a known prefix is one of those.
    """
    prefix = name[: name.find("_") + 1]
    alike = [option for option in known if option.startswith(prefix)]
    if not alike:
        prefix, alike = "", list(known)
    closest = closest_name(name[len(prefix) :], (option[len(prefix) :] for option in alike), likeness=0.6)
    return f": did you mean {prefix}{closest}?" if closest else f". Known are: {', '.join(sorted(alike))}"
