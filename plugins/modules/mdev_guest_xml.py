#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_guest_xml: arguments, the guests' XML with other UUIDs, files, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_guest_xml
short_description: Write guests' XML with other UUIDs for their mediated devices
version_added: 1.0.0
description:
  - Run this module on the source of a migration. It writes the XML that guests should have at the destination if their
    mediated devices have other UUIDs there. The files are for C(virsh migrate --xml) and C(--persistent-xml).
  - The files are O(xml_path)C(/UUID.xml) and, if libvirt keeps the guest when it is shut off,
    O(xml_path)C(/UUID.persistent.xml), with the guest's UUID. They differ from the output of C(virsh dumpxml) in the
    UUIDs of the devices only.
  - The XML never leaves the host. It contains the guest's passwords, so only root can read the files. Remove them with
    O(state=absent) after the migration. This also removes what a killed run left behind.
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
        description: The guest's name. Required if O(guests[].uuid) is omitted.
        type: str
      uuid:
        description:
          - The guest's UUID in libvirt. If it is omitted, the guest is looked up by O(guests[].name). For
            O(state=absent), it is then looked up in the files.
        type: str
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
    xml_path: /run/migration
    uri: qemu:///system

- name: Remove the files of a guest
  vfio.mdev.mdev_guest_xml:
    guests:
      - uuid: 6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10
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
    uuid:
      description: The guest's UUID in libvirt.
      type: str
    xml:
      description: The file for C(--xml). V(null) if O(state=absent).
      type: str
    persistent_xml:
      description: The file for C(--persistent-xml). V(null) if libvirt does not keep the guest, or if O(state=absent).
      type: str
  sample:
    - name: web-1
      uuid: 6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10
      xml: /var/lib/vfio-mdev/outgoing/6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10.xml
      persistent_xml: /var/lib/vfio-mdev/outgoing/6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10.persistent.xml
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

from dataclasses import dataclass
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.vfio.mdev.plugins.module_utils._guests.virsh import Virsh, matching_guests
from ansible_collections.vfio.mdev.plugins.module_utils._guests.xml_files import Contents, GuestFiles
from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import parse_uuid
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module


@dataclass(frozen=True)
class RequestedGuest:
    """A guest, and the devices that it should have in its files."""

    uuid: str
    name: Optional[str]
    uuid_map: dict[str, str]


def requested_guests(params: dict[str, Any], virsh: Virsh, files: GuestFiles) -> list[RequestedGuest]:
    """The guests with their UUIDs. A guest whose files should be removed may be unknown to libvirt by now."""
    requested: list[RequestedGuest] = []
    existing = virsh.guests("--all") if params["state"] == "present" else {}
    for guest in params["guests"]:
        if guest["uuid"]:
            uuids = [parse_uuid(guest["uuid"])]
            if params["state"] == "present":
                matching_guests(uuids, existing)
        elif params["state"] == "present":
            uuids = matching_guests([guest["name"]], existing)
        else:
            uuids = files.guests_named(guest["name"])
        requested.extend(
            RequestedGuest(uuid, guest["name"] or existing.get(uuid), guest["uuid_map"] or {}) for uuid in uuids
        )
    return requested


def requested_files(state: str, guests: list[RequestedGuest], virsh: Virsh, files: GuestFiles) -> Contents:
    """What each file should contain, None if it should not exist. All is known before anything is written."""
    requested: Contents = {}
    for guest in guests:
        if state == "present":
            requested.update(files.requested(virsh, guest.uuid, guest.uuid_map))
        else:
            requested.update(files.absent(guest.uuid))
    return requested


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """What the files should contain, then the files, then the result."""
    files, virsh = GuestFiles(params["xml_path"]), Virsh(params["uri"])
    guests = requested_guests(params, virsh, files)
    requested = requested_files(params["state"], guests, virsh, files)
    changed = files.differing(requested)
    if not check_mode:
        files.write({path: requested[path] for path in changed})
    results = [files.result(guest.uuid, guest.name, requested) for guest in guests]
    return ModuleResult({"changed": bool(changed), "files": results})


def main() -> None:
    """Arguments, then what the files should contain, then the files, then the result."""
    module = AnsibleModule(
        argument_spec={
            "guests": {
                "type": "list",
                "elements": "dict",
                "required": True,
                # It may come with XML that is not used here. Without no_log, Ansible writes it to the host's log.
                "no_log": True,
                "options": {
                    "name": {"type": "str"},
                    "uuid": {"type": "str"},
                    "uuid_map": {"type": "dict", "default": {}},
                    "source": {"type": "str"},
                    "running": {"type": "bool"},
                    "xml": {"type": "str"},
                    "persistent_xml": {"type": "str"},
                },
                "required_one_of": [("name", "uuid")],
            },
            "xml_path": {"type": "path", "default": "/var/lib/vfio-mdev/outgoing"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "uri": {"type": "str", "default": "qemu:///system"},
        },
        supports_check_mode=True,
    )
    params = module.params
    # The result has names and UUIDs of the option, which must not be masked. The option itself is not returned.
    module.no_log_values.clear()
    module.params = {**params, "guests": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"}
    run_module(module, lambda _shown, check_mode: act(params, check_mode))


if __name__ == "__main__":
    main()
