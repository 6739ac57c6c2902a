#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_migration: arguments, what is there, plan, apply, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_migration
short_description: Have a host ready for guests that migrate to it
description:
  - Runs on the destination of a migration. Makes the mediated devices that guests need there, and later closes this as
    committed or takes it back.
  - Everything is looked at before anything is touched, and all findings are told at once (RV(checks)).
  - A record per guest on the destination's disk, written first, says what was there before. So a second run finds its
    own work, and what was made can be taken back after a crash too.
  - A device of the destination that is active before it is prepared, and that nobody uses, is made anew. An attempt to
    migrate that failed leaves the device in a state that no guest can start from (QEMU then says
    C(Bad file descriptor)), and nobody can see it. So is a prepared device once the guest was started here.
  - Role R(vfio.mdev.prepare_migration,ansible_collections.vfio.mdev.prepare_migration_role) and playbook
    C(vfio.mdev.migrate) ask the source, call this module, and write the guests' XML.
options:
  state:
    description:
      - V(prepared) has all devices of the guests active here.
      - V(committed) makes sure that the guests are here with these devices, and closes their records.
      - V(rolled_back) removes what was made and leaves all else, then closes the records. A device that was there
        before the preparation and may be stale is made anew.
    type: str
    choices: [prepared, committed, rolled_back]
    default: prepared
  source:
    description:
      - The name of the host that the guests come from. It is needed for O(state=prepared).
      - For the other states it limits them to guests from there.
    type: str
  guests:
    description:
      - The guests to prepare for, as RV(vfio.mdev.mdev_guest_info#module:guests) of the source has them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The guest's name. It can be left out where O(guests[].xml) has it.
        type: str
      state:
        description: Not looked at.
        type: str
      running:
        description: Whether it is to be migrated live.
        type: bool
        default: true
      xml:
        description:
          - The guest's migratable XML, where it is to be returned with the new UUIDs.
          - It tells the guest's devices; O(guests[].devices) then only tells what they are.
        type: str
      persistent_xml:
        description: The XML of its persistent configuration, where it is to be returned with the new UUIDs.
        type: str
      devices:
        description: Its mediated devices.
        type: list
        elements: dict
        default: []
        suboptions:
          uuid:
            description: The UUID on the source.
            type: str
          function:
            description:
              - The PCI address on the source of the virtual function that its vGPU is set on, in place of
                O(guests[].devices[].uuid) (NVIDIA's own VFIO framework).
            type: str
          type:
            description: The type's id on the source.
            type: str
          type_name:
            description: The type's name on the source.
            type: str
          device_api:
            description: The type's device API, which must be the same here.
            type: str
          driver:
            description: The device's driver on the source, whose version is compared.
            type: str
          attributes:
            description: The attributes that it is to get, in this order.
            type: list
            elements: dict
            default: []
            suboptions:
              name:
                description: The file's path below the device's folder.
                type: str
                required: true
              value:
                description: What to write, one line.
                type: str
                required: true
          alias:
            description: Not looked at.
            type: str
          model:
            description: Not looked at.
            type: str
          address:
            description: Not looked at.
            type: str
  names:
    description:
      - The guests to commit or to roll back. All that are prepared, from O(source) where that is given, where none is
        named.
      - One that is not prepared must be here already to be committed, and is no error to roll back.
    type: list
    elements: str
    default: []
  source_versions:
    description:
      - RV(vfio.mdev.mdev_guest_info#module:versions) of the source.
      - What is not told can't be compared, and is a warning.
    type: dict
    default: {}
    suboptions:
      kernel:
        description: The version of its kernel.
        type: str
      libvirt:
        description: The version of its libvirt.
        type: str
      qemu:
        description: The version of its QEMU.
        type: str
      drivers:
        description: The versions of its drivers of mediated devices.
        type: dict
        default: {}
  uuids:
    description:
      - The devices' UUIDs on the destination.
      - V(same) takes those of the source. V(new) derives others, which are always the same for a device on this host.
      - A map from UUIDs to UUIDs gives each device its own.
      - vGPUs under NVIDIA's own VFIO framework are called by the PCI addresses of their functions instead. V(same)
        takes the function of the same address, V(new) one that O(placement) chooses.
    type: raw
    default: same
  types:
    description:
      - The type here for types of the source that are called otherwise here, by id or name.
      - Without an entry, a type is looked for by its id, if that has the same name here, else by its name.
    type: dict
    default: {}
  parents:
    description: The parents that are candidates. All of the host where none is given.
    type: list
    elements: str
  exclude_parents:
    description: Parents that are no candidates.
    type: list
    elements: str
    default: []
  placement:
    description: How one of several candidates is chosen. See O(vfio.mdev.mdev_set#module:placement).
    type: str
    choices: [first, pack, spread]
    default: first
  numa_node:
    description: The NUMA node of the candidates. Any where none is given.
    type: int
  driver_match:
    description:
      - V(exact) refuses running guests whose devices have a driver of another version here.
      - V(ignore) only tells it. The vendor says which versions can be mixed.
    type: str
    choices: [exact, ignore]
    default: exact
  persistent:
    description:
      - Whether committed devices are also defined on disk.
      - Prepared ones are only active, so that a reboot takes them back. Devices that are defined here already stay so.
    type: bool
    default: false
  autostart:
    description: Whether devices that O(persistent) defines are started at boot.
    type: bool
    default: true
  wait:
    description:
      - How many seconds O(state=rolled_back) waits until nobody uses the devices. After a cut connection libvirt needs
        half a minute to end the guest that was coming in.
    type: float
    default: 60
  records_path:
    description: The folder of the records.
    type: path
    default: /var/lib/vfio-mdev/migrations
requirements:
  - C(virsh) on the host, and a libvirt daemon that answers.
extends_documentation_fragment:
  - vfio.mdev.host
  - vfio.mdev.backend
attributes:
  check_mode:
    description: Looks at everything and gives the same result, without changing anything.
    support: full
  diff_mode:
    description: Shows the devices that change, before and after.
    support: full
  platform:
    description: The platforms that the module runs on.
    support: full
    platforms: linux
seealso:
  - module: vfio.mdev.mdev_guest_info
  - module: vfio.mdev.mdev_guest_xml
  - name: VFIO device migration in QEMU
    description: What QEMU does with a device's state.
    link: https://www.qemu.org/docs/master/devel/migration/vfio.html
author:
  - The vfio.mdev contributors (@vfio-mdev)
version_added: 0.1.0
"""

EXAMPLES = r"""
- name: Ask the source
  vfio.mdev.mdev_guest_info:
    names: [web-1, web-2]
  delegate_to: gpu-1
  register: source

- name: Have their devices ready here, under UUIDs of this host
  vfio.mdev.mdev_migration:
    source: gpu-1
    guests: "{{ source.guests }}"
    source_versions: "{{ source.versions }}"
    uuids: new
    placement: spread
  register: ready

- name: Prepare for a guest of a host that can't be asked, where the type has another name
  vfio.mdev.mdev_migration:
    source: gpu-9
    guests:
      - xml: "{{ lookup('ansible.builtin.file', 'web-3.xml') }}"
        devices:
          - uuid: 5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10
            type: nvidia-471
    types:
      nvidia-471: NVIDIA A100-8C
    driver_match: ignore

- name: Close it once the guest runs here, and have its devices started at boot
  vfio.mdev.mdev_migration:
    state: committed
    names: [web-1]
    persistent: true

- name: Take back what was made for guests of that host and not committed
  vfio.mdev.mdev_migration:
    state: rolled_back
    source: gpu-1
"""

RETURN = r"""
checks:
  description: All that was looked at, for O(state=prepared), also where the module fails for it.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: >-
        What was looked at, V(kernel), V(libvirt), V(qemu), V(driver), V(guest), V(record), V(devices), V(type),
        V(device_api), V(uuid), V(stale), V(attributes), V(room) or V(plan).
      type: str
    guest:
      description: The guest that it is about, V(null) where it is about all.
      type: str
    ok:
      description: Whether it is as it must be.
      type: bool
    severity:
      description: Where it is not, V(error) means that nothing is done, V(warning) that the operator should know.
      type: str
    detail:
      description: What was found.
      type: str
  sample:
    - check: room
      guest: null
      ok: true
      severity: info
      detail: there is room for all 2 devices
guests:
  description: The guests.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The guest's name.
      type: str
    source:
      description: Where it comes from.
      type: str
    running:
      description: Whether it is to be migrated live.
      type: bool
    uuids:
      description: The UUID here for each UUID of the source, and the function here for each function there.
      type: dict
    xml:
      description: O(guests[].xml) with the UUIDs of this host, V(null) where none was given.
      type: str
    persistent_xml:
      description: O(guests[].persistent_xml) with the UUIDs of this host, V(null) where none was given.
      type: str
  sample:
    - name: web-1
      source: gpu-1
      running: true
      uuids:
        5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10: 9e411a1c-5f2f-8d0f-8f0e-2f6a1a7b1c55
      xml: null
      persistent_xml: null
source_devices:
  description:
    - The guests' devices on the source, each with C(uuid), or C(parent) for a vGPU on a virtual function. These can be
      entries for O(vfio.mdev.mdev_set#module:devices).
  returned: success
  type: list
  elements: dict
  sample:
    - uuid: 5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10
devices:
  description: The devices as they are after the run, each in the shape of RV(vfio.mdev.mdev_device#module:device).
  returned: success
  type: list
  elements: dict
actions:
  description: What was done, in order, each in the shape of RV(vfio.mdev.mdev_device#module:actions[]).
  returned: success
  type: list
  elements: dict
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description:
        - V(not_ready) where a check is an error, V(not_migrated) where a guest that is to be committed is not here.
        - V(guests_unknown) where libvirt did not answer. Else as in RV(vfio.mdev.mdev_device#module:error.kind).
      type: str
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.mdev.plugins.module_utils._guests.virsh import Virsh
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._migration.findings import finding_results
from ansible_collections.vfio.mdev.plugins.module_utils._migration.record import (
    MigrationRecord,
    MigrationRecords,
    RecordedDevice,
)
from ansible_collections.vfio.mdev.plugins.module_utils._migration.request import (
    SAME,
    UUID_POLICIES,
    Guest,
    GuestDevice,
    MigrationRequest,
)
from ansible_collections.vfio.mdev.plugins.module_utils._migration.run import Commit, Preparation, Rollback
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InUse, InvalidInput, MdevError, NotReady
from ansible_collections.vfio.mdev.plugins.module_utils._model.framework import HOSTDEV_MDEV
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest, checked_attributes
from ansible_collections.vfio.mdev.plugins.module_utils._model.versions import Versions
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import (
    BACKEND_ARGUMENTS,
    HOST_ARGUMENTS,
    PLACEMENT_ARGUMENTS,
    placement_options,
)
from ansible_collections.vfio.mdev.plugins.module_utils._runner.change_results import action_results, diff_results
from ansible_collections.vfio.mdev.plugins.module_utils._runner.context import RunContext
from ansible_collections.vfio.mdev.plugins.module_utils._runner.results import device_result
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run import Outcome, run
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module
from ansible_collections.vfio.mdev.plugins.module_utils._xml.domain import device_id, parse_domain, remap_domain

Operation = Union[Preparation, Commit, Rollback]


@dataclass(frozen=True)
class GuestInputs:
    """The guests as given, with the XML of each by its name."""

    guests: tuple[Guest, ...] = ()
    xml: tuple[tuple[str, Optional[str], Optional[str]], ...] = ()

    def xml_of(self, name: str) -> tuple[Optional[str], Optional[str]]:
        """The guest's XML, and its persistent XML."""
        return next(((live, persistent) for guest, live, persistent in self.xml if guest == name), (None, None))


def guest_inputs(params: dict[str, Any]) -> GuestInputs:
    """The guests to prepare for. Problems with one are errors before anything is looked at."""
    guests: dict[str, Guest] = {}
    for given in params["guests"]:
        guest = _guest(given)
        if guest.name in guests:
            raise InvalidInput(f"guest {guest.name} is given twice", guest=guest.name)
        guests[guest.name] = guest
    xml = tuple((name, given["xml"], given["persistent_xml"]) for name, given in zip(guests, params["guests"]))
    return GuestInputs(tuple(guests.values()), xml)


def _guest(given: dict[str, Any]) -> Guest:
    domain = parse_domain(given["xml"]) if given["xml"] else None
    name = given["name"] or (domain.name if domain else "")
    if not name:
        raise InvalidInput("a guest has no name: give name, or xml with a <name>")
    known = {_id(device, name): device for device in given["devices"]}
    ids = list(known)
    if domain is not None:
        # Of a guest's PCI functions only those that devices names are vGPUs.
        vgpus = [device.function for device in domain.functions if device.function in known]
        ids = [*(device.uuid for device in domain.mdevs), *vgpus]
    unknown = [name_ for name_ in ids if not (known.get(name_) or {}).get("type")]
    if unknown:
        raise InvalidInput(
            f"guest {name}: the type of device {', '.join(unknown)} is unknown. The source host has no such device or "
            "could not be queried. Start the guest there, or set type in devices",
            guest=name,
            unknown=unknown,
        )
    return Guest(name, given["running"], tuple(_device(name_, known[name_]) for name_ in ids))


def _id(given: dict[str, Any], guest: str) -> str:
    """The device's name in the guest's XML. Ansible counts null as given, so it can't check this."""
    names = [name for name in (given["uuid"], given["function"]) if name]
    if len(names) != 1:
        raise InvalidInput(f"guest {guest}: a device needs either uuid or function, and has {len(names)} of them")
    return device_id(names[0])


def _device(name: str, given: dict[str, Any]) -> GuestDevice:
    return GuestDevice(
        id=name,
        type_id=given["type"],
        type_name=given["type_name"],
        device_api=given["device_api"],
        driver=given["driver"],
        attributes=checked_attributes([(pair["name"], pair["value"]) for pair in given["attributes"]]),
    )


def migration_request(params: dict[str, Any], guests: tuple[Guest, ...]) -> MigrationRequest:
    """What should be prepared."""
    return MigrationRequest(
        source=params["source"],
        guests=guests,
        versions=_versions(params["source_versions"]),
        uuid_policy=params["uuid_policy"],
        uuid_map={str(source): str(target) for source, target in params["uuid_map"].items()},
        type_map=params["type_map"],
        pattern=DeviceRequest(**placement_options({"parent": None, **params})),
        drivers_must_match=params["driver_match"] == "exact",
    )


def _versions(given: dict[str, Any]) -> Optional[Versions]:
    return Versions(**{name: value for name, value in given.items() if value is not None}) if given else None


def select_operation(params: dict[str, Any], host: Host, guests: tuple[Guest, ...]) -> Operation:
    """What the state means."""
    virsh, records = Virsh(params["uri"]), MigrationRecords(params["records_path"])
    if params["state"] == "prepared":
        return Preparation(migration_request(params, guests), host, virsh, records)
    names = tuple(params["guest_names"])
    if params["state"] == "rolled_back":
        return Rollback(names, params["source"], host, virsh, records)
    commit = Commit(names, params["source"], host, virsh, records)
    commit.persistent, commit.autostart = params["persistent"], params["autostart"]
    return commit


def run_operation(params: dict[str, Any], host: Host, operation: Operation, check_mode: bool) -> Outcome:
    """Runs. A rollback runs again while a device that should go is in use, until the time for that is over."""
    seconds = params["wait_timeout"] if isinstance(operation, Rollback) and not check_mode else 0
    autostart = isinstance(operation, Commit) and operation.persistent and operation.autostart
    context = RunContext.from_params(params, host, operation.requests, autostart, operation)
    end = time.monotonic() + seconds
    while True:
        try:
            return run(context, check_mode)
        except InUse:
            if time.monotonic() >= end:
                raise
        time.sleep(1)


def result(outcome: Outcome, operation: Operation, inputs: GuestInputs) -> dict[str, Any]:
    """The module's result, the same shape for all states and in check mode."""
    after = outcome.states()
    found = operation.found if isinstance(operation, Preparation) else None
    records = found.records if found is not None else () if isinstance(operation, Preparation) else operation.closing
    ids = {**outcome.inventory.ids_by_key, **{key: state.id for key, state in after.items() if state.exists}}
    return {
        "changed": bool(outcome.steps) or operation.changed,
        "checks": finding_results(found.findings) if found is not None else [],
        "guests": [_guest_result(record, record.targets(ids), inputs) for record in records],
        "source_devices": [_source_device(device) for record in records for device in record.devices],
        "devices": [device_result(state, outcome.inventory) for state in after.values() if state.exists],
        "actions": [action for step in outcome.steps for action in action_results(step, after[step.key].device)],
    }


def _source_device(device: RecordedDevice) -> dict[str, str]:
    return {"uuid" if device.hostdev_type == HOSTDEV_MDEV else "parent": device.source}


def _guest_result(record: MigrationRecord, targets: dict[str, str], inputs: GuestInputs) -> dict[str, Any]:
    xml, persistent_xml = inputs.xml_of(record.guest)
    return {
        "name": record.guest,
        "source": record.source,
        "running": record.running,
        "uuid_map": targets,
        "xml": remap_domain(xml, targets).xml if xml else None,
        "persistent_xml": remap_domain(persistent_xml, targets).xml if persistent_xml else None,
    }


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """Guests, then inventory, plan and apply, then the result."""
    host = Host.from_params(params)
    inputs = guest_inputs(params) if params["state"] == "prepared" else GuestInputs()
    operation = select_operation(params, host, inputs.guests)
    outcome = run_operation(params, host, operation, check_mode)
    changes = [(planned.before, outcome.after(planned)) for planned in outcome.plan.devices]
    return ModuleResult(result(outcome, operation, inputs), outcome.warnings(), diff_results(changes))


def _checks(error: MdevError) -> dict[str, Any]:
    """What a failed preparation found."""
    return {"checks": error.checks if isinstance(error, NotReady) else []}


def _texts(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {name: {"type": "str"} for name in names}


_ATTRIBUTE = {"name": {"type": "str", "required": True}, "value": {"type": "str", "required": True}}
_DEVICE = {
    **_texts(["uuid", "function", "type", "type_name", "device_api", "driver", "alias", "model", "address"]),
    "attributes": {"type": "list", "elements": "dict", "default": [], "options": _ATTRIBUTE},
}
_GUEST = {
    **_texts(["name", "state", "xml", "persistent_xml"]),
    "running": {"type": "bool", "default": True},
    "devices": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": _DEVICE,
    },
}


def main() -> None:
    """Arguments, then inventory, plan and apply, then the result."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["prepared", "committed", "rolled_back"], "default": "prepared"},
            "source": {"type": "str"},
            "guests": {"type": "list", "elements": "dict", "default": [], "options": _GUEST},
            "guest_names": {"type": "list", "elements": "str", "default": []},
            "source_versions": {
                "type": "dict",
                "default": {},
                "options": {**_texts(["kernel", "libvirt", "qemu"]), "drivers": {"type": "dict", "default": {}}},
            },
            "uuid_policy": {"type": "str", "choices": list(UUID_POLICIES), "default": SAME},
            "uuid_map": {"type": "dict", "default": {}},
            "type_map": {"type": "dict", "default": {}},
            **{name: spec for name, spec in PLACEMENT_ARGUMENTS.items() if name != "parent"},
            "driver_match": {"type": "str", "choices": ["exact", "ignore"], "default": "exact"},
            "persistent": {"type": "bool", "default": False},
            "autostart": {"type": "bool", "default": True},
            "wait_timeout": {"type": "float", "default": 60},
            "records_path": {"type": "path", "default": "/var/lib/vfio-mdev/migrations"},
            **BACKEND_ARGUMENTS,
            **HOST_ARGUMENTS,
        },
        required_if=[("state", "prepared", ["source"])],
        supports_check_mode=True,
    )
    run_module(module, act, on_failure=_checks)


if __name__ == "__main__":
    main()
