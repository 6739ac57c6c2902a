# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter unknown_names."""

from __future__ import annotations

DOCUMENTATION = r"""
name: unknown_names
short_description: List variables and keys that a role does not have
version_added: 1.0.0
description:
  - Returns a text for each variable, and each key of a dictionary in a variable, that the argument specification of a
    role does not have. The text contains the name that was probably meant.
  - Ansible itself does not look for such variables, so a role ignores what is misspelt.
  - The role P(vfio.mdev.provision#role) uses this filter before it changes anything.
positional: options
options:
  _input:
    description: The variables, by name.
    type: dict
    required: true
  options:
    description: The options of the role, as its argument specification describes them.
    type: dict
    required: true
seealso:
  - plugin: vfio.mdev.fleet_report
    plugin_type: filter
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Fail if a variable with the prefix of my role does not exist
  ansible.builtin.assert:
    that: unknown | length == 0
    fail_msg: "{{ unknown | join('; ') }}"
  vars:
    names: "{{ query('ansible.builtin.varnames', '^my_role_') }}"
    values: "{{ query('ansible.builtin.vars', *names) }}"
    specs: "{{ lookup('ansible.builtin.file', 'my_role/meta/argument_specs.yml') | from_yaml }}"
    unknown: "{{ dict(names | zip(values)) | vfio.mdev.unknown_names(specs.argument_specs.main.options) }}"
"""

RETURN = r"""
_value:
  description: A text for each unknown name. Empty if there is none.
  type: list
  elements: str
  sample: ["provision_set is unknown: did you mean provision_sets?"]
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.mdev.plugins.plugin_utils._spelling import unknown_names as _unknown_names


def unknown_names(values: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """Returns a text for each unknown name."""
    if not isinstance(values, Mapping) or not isinstance(options, Mapping):
        raise AnsibleFilterError("vfio.mdev.unknown_names: variables and options must be dictionaries")
    return list(_unknown_names(values, options))


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"unknown_names": unknown_names}
