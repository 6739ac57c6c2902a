#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_guest_xml: arguments, the guests' XML with other UUIDs, files, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_guest_xml
short_description: Write guests' XML with other UUIDs for their mediated devices
description:
  - Runs on the source of a migration. Writes, for C(virsh migrate --xml) and C(--persistent-xml), what a guest is to be
    at its destination, where its mediated devices have other UUIDs.
  - The files are O(directory)C(/NAME.xml) and, for a guest that libvirt keeps when it is shut off,
    O(directory)C(/NAME.persistent.xml). Nothing but the UUIDs differs from what C(virsh dumpxml) prints.
  - The XML never leaves the host. It has the guest's passwords, so only root can read the files.
options:
  guests:
    description: The guests. RV(vfio.mdev.mdev_migration#module:guests) can be given as it is.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The guest's name.
        type: str
        required: true
      uuids:
        description:
          - The UUID at the destination for each UUID of the guest's devices. All must be there.
          - Likewise the PCI address for each virtual function with a vGPU of NVIDIA's own VFIO framework.
        type: dict
        default: {}
      source:
        description: Not looked at.
        type: str
      running:
        description: Not looked at.
        type: bool
      xml:
        description: Not looked at.
        type: str
      persistent_xml:
        description: Not looked at.
        type: str
  directory:
    description: Where to write. It is made, for root alone.
    type: path
    default: /var/lib/vfio-mdev/outgoing
  state:
    description: Whether the files are there.
    type: str
    choices: [present, absent]
    default: present
  uri:
    description: The libvirt connection.
    type: str
    default: qemu:///system
requirements:
  - C(virsh) on the host, and a libvirt daemon that answers.
attributes:
  check_mode:
    description: Gives the same result without writing anything.
    support: full
  diff_mode:
    description: Guests' XML can have passwords, so it is not shown.
    support: none
  platform:
    description: The platforms that the module runs on.
    support: full
    platforms: linux
seealso:
  - module: vfio.mdev.mdev_migration
  - plugin: vfio.mdev.remap_domain_mdevs
    plugin_type: filter
author:
  - The vfio.mdev contributors (@vfio-mdev)
version_added: 0.1.0
"""

EXAMPLES = r"""
- name: Write what the guests are to be at the destination
  vfio.mdev.mdev_guest_xml:
    guests: "{{ ready.guests }}"
  delegate_to: gpu-1

- name: The same with UUIDs of one's own, elsewhere
  vfio.mdev.mdev_guest_xml:
    directory: /root/moving
    guests:
      - name: web-1
        uuids:
          5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10: 9e411a1c-5f2f-4d0f-8f0e-2f6a1a7b1c55

- name: Remove the files
  vfio.mdev.mdev_guest_xml:
    guests:
      - name: web-1
    state: absent
"""

RETURN = r"""
files:
  description: The files of each guest, in the order of O(guests).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The guest's name.
      type: str
    xml:
      description: The file for C(--xml).
      type: str
    persistent_xml:
      description: The file for C(--persistent-xml), V(null) where libvirt does not keep the guest.
      type: str
  sample:
    - name: web-1
      xml: /var/lib/vfio-mdev/outgoing/web-1.xml
      persistent_xml: /var/lib/vfio-mdev/outgoing/web-1.persistent.xml
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description: V(guests_unknown), V(invalid_input) or V(files_refused).
      type: str
"""

from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.mdev.plugins.module_utils._guests.virsh import Virsh
from ansible_collections.vfio.mdev.plugins.module_utils._guests.xml_files import GuestFiles
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module


def wanted_files(params: dict[str, Any], files: GuestFiles) -> dict[str, Optional[str]]:
    """What each file should contain, None if it should not exist. All is known before anything is written."""
    wanted: dict[str, Optional[str]] = {}
    for guest in params["guests"]:
        if params["state"] == "present":
            wanted.update(files.wanted(Virsh(params["uri"]), guest["name"], guest["uuid_map"]))
        else:
            wanted.update(files.absent(guest["name"]))
    return wanted


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """What the files should contain, then the files, then the result."""
    files = GuestFiles(params["xml_path"])
    wanted = wanted_files(params, files)
    changed = files.differing(wanted)
    if not check_mode:
        files.write({path: wanted[path] for path in changed})
    names = [guest["name"] for guest in params["guests"]]
    return ModuleResult({"changed": bool(changed), "files": [files.result(name, wanted) for name in names]})


def main() -> None:
    """Arguments, then what the files should contain, then the files, then the result."""
    module = AnsibleModule(
        argument_spec={
            "guests": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "uuid_map": {"type": "dict", "default": {}},
                    "source": {"type": "str"},
                    "running": {"type": "bool"},
                    "xml": {"type": "str"},
                    "persistent_xml": {"type": "str"},
                },
            },
            "xml_path": {"type": "path", "default": "/var/lib/vfio-mdev/outgoing"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "uri": {"type": "str", "default": "qemu:///system"},
        },
        supports_check_mode=True,
    )
    run_module(module, act)


if __name__ == "__main__":
    main()
