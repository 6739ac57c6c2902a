#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_guest_xml: arguments, the guests' XML with other UUIDs, files, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_guest_xml
short_description: Write guests' XML with other UUIDs for their mediated devices
version_added: 0.1.0
description:
  - Run this module on the source of a migration. It writes the XML that guests should have at the destination if their
    mediated devices have other UUIDs there. The files are for C(virsh migrate --xml) and C(--persistent-xml).
  - The files are O(xml_path)C(/NAME.xml) and, if libvirt keeps the guest when it is shut off,
    O(xml_path)C(/NAME.persistent.xml). They differ from the output of C(virsh dumpxml) in the UUIDs only.
  - The XML never leaves the host. It contains the guest's passwords, so only root can read the files.
extends_documentation_fragment:
  - vfio.mdev._attributes
attributes:
  diff_mode:
    support: none
    details:
      - Guests' XML can contain passwords, so it is not shown.
options:
  guests:
    description: The guests. RV(vfio.mdev.mdev_migration#module:guests) can be passed as is.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The guest's name.
        type: str
        required: true
      uuid_map:
        description:
          - The UUID at the destination for each UUID of the guest's mediated devices. It must contain all of them.
          - For vGPUs on virtual functions, it maps the PCI addresses of the functions in the same way.
        type: dict
        default: {}
      source:
        description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_migration) can be passed as is.
        type: str
      running:
        description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_migration) can be passed as is.
        type: bool
      xml:
        description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_migration) can be passed as is.
        type: str
      persistent_xml:
        description: Ignored. Accepted so that the output of M(vfio.mdev.mdev_migration) can be passed as is.
        type: str
  xml_path:
    description: The folder for the files. It is created so that only root can access it.
    type: path
    default: /var/lib/vfio-mdev/outgoing
  state:
    description: Whether the files should exist.
    type: str
    choices: [present, absent]
    default: present
  uri:
    description: The libvirt connection.
    type: str
    default: qemu:///system
requirements:
  - Linux with Python 3.9 or newer
  - C(virsh) on the host, and a running libvirt daemon
seealso:
  - module: vfio.mdev.mdev_migration
  - plugin: vfio.mdev.remap_domain_mdevs
    plugin_type: filter
  - ref: ansible_collections.vfio.mdev.docsite.guide_vendor_vfio
    description: How guests get NVIDIA vGPUs on virtual functions.
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Prepare the devices of guests on the destination
  vfio.mdev.mdev_migration:
    source: gpu-1
    guests: "{{ source.guests }}"
    source_versions: "{{ source.versions }}"
    uuid_policy: new
  register: prepared

- name: Write the XML of these guests on the source
  vfio.mdev.mdev_guest_xml:
    guests: "{{ prepared.guests }}"
  delegate_to: gpu-1

- name: Write the XML of a guest with the given UUID to another folder
  vfio.mdev.mdev_guest_xml:
    guests:
      - name: web-1
        uuid_map:
          5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10: 9e411a1c-5f2f-4d0f-8f0e-2f6a1a7b1c55
    xml_path: /root/migration
    uri: qemu:///system

- name: Remove the files of a guest
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
      description: The file for C(--xml). V(null) if O(state=absent).
      type: str
    persistent_xml:
      description: The file for C(--persistent-xml). V(null) if libvirt does not keep the guest, or if O(state=absent).
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
      description: V(libvirt_error), V(invalid_input) or V(file_error).
      type: str
  sample: {kind: invalid_input, unmapped: [5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10]}
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
