# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter unknown_names."""

from __future__ import annotations

DOCUMENTATION = r"""
name: unknown_names
short_description: Find names that are misspelled
version_added: 0.1.0
description:
  - Returns a text for each name that is not known, with the known name that is most similar to it.
  - The playbooks of this collection use it to refuse variables that they do not have.
options:
  _input:
    description: The names to check.
    type: list
    elements: str
    required: true
  known:
    description: The names that exist.
    type: list
    elements: str
    required: true
positional: known
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Fail if a variable has an unknown name
  ansible.builtin.assert:
    that: unknown | length == 0
    fail_msg: "{{ unknown | join(' ') }}"
  vars:
    unknown: >-
      {{ query('ansible.builtin.varnames', '^report_') | vfio.mdev.unknown_names(['report_file', 'report_time']) }}
"""

RETURN = r"""
_value:
  description: A text for each unknown name.
  type: list
  elements: str
  sample: ["report_fiel is unknown, did you mean report_file?"]
"""

import difflib
from collections.abc import Callable, Iterable
from typing import Any


def unknown_names(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """A text for each unknown name."""
    by_lower_case = {name.lower(): name for name in known}
    return [_text(name, by_lower_case) for name in sorted(set(names) - set(by_lower_case.values()))]


def _text(name: str, known: dict[str, str]) -> str:
    similar = difflib.get_close_matches(name.lower(), known, n=1)
    return f"{name} is unknown" + (f", did you mean {known[similar[0]]}?" if similar else ".")


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"unknown_names": unknown_names}
