#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_boot: arguments, differences, files and units, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_boot
short_description: Start defined mediated devices at boot
version_added: 1.0.0
description:
  - Installs the systemd unit C(vfio-mdev.service) and the program that it runs, which is the core of this collection.
  - At boot, the unit starts every definition that is marked autostart and waits for parents that appear late. If a
    device did not start, the unit fails and names the device.
  - If cards need virtual functions (O(vfs)), a second unit, C(vfio-mdev-vfs.service), enables them at boot before
    devices are started.
  - The units are enabled, and the next boot starts them. No device is started immediately.
  - With O(metrics_path) or O(facts_path), C(vfio-mdev-metrics.timer) publishes the host's devices regularly, as metrics
    for Prometheus and as local facts for Ansible. The timer starts immediately.
  - The program is replaced as a whole, so a boot never runs files of two versions. Files that this module did not write
    stay, also in O(program_path). If a unit with the name of one of these units exists that this module did not write,
    O(state=present) fails and O(state=absent) leaves it.
  - If a unit is masked, O(state=present) unmasks it, with a warning.
extends_documentation_fragment:
  - vfio.mdev._attributes
  - vfio.mdev._attributes.action_group
attributes:
  action_group:
    membership:
      - vfio.mdev.mdev_provision
  diff_mode:
    details:
      - The diff shows the files before and after.
options:
  state:
    description: Whether the units should be installed and enabled, or removed.
    type: str
    choices: [present, absent]
    default: present
  wait_timeout:
    description:
      - Seconds that the units wait at boot for cards, drivers and parents that are missing or have no room yet. Each
        unit waits this long for all of them together.
    type: int
    default: 120
  lock_timeout:
    description:
      - Seconds to wait for another run of a module of this collection that is changing the host. Only one can work at a
        time.
    type: float
    default: 60
  python:
    description: The Python that runs the program, version 3.9 or newer. It needs no packages.
    type: path
    default: /usr/bin/python3
  program_path:
    description: The folder where the program is installed.
    type: path
    default: /usr/local/lib/vfio-mdev
  after_units:
    description:
      - Units that must finish before devices are started, for example a unit of the vendor or a unit that creates MIG
        instances.
    type: list
    elements: str
    default: []
  vfs:
    description:
      - Virtual functions (SR-IOV) and modes that should be enabled at boot, since cards lose them when the host
        reboots. See M(vfio.mdev.mdev_vfs).
      - The PCI ids of each card are noted in the unit, and the serial number of an NVIDIA card if C(nvidia-smi) reports
        it. If a card of another model is at its address at boot, the unit fails and names both. If another card of the
        same model is there, the unit enables it and names both in the journal. If the note differs from the card that
        is there now, this module replaces the note with a warning.
      - If omitted, there is no unit for virtual functions.
    type: dict
    suboptions:
      cards:
        description: The cards.
        type: list
        elements: dict
        required: true
        suboptions:
          address:
            description: The card's PCI address.
            type: str
            required: true
          num_vfs:
            description: The number of virtual functions, or V(max). See O(vfio.mdev.mdev_vfs#module:cards[].num_vfs).
            type: str
            default: max
          mig:
            description:
              - The profiles of the GPU instances that are created at boot, if they are missing then. V([]) turns MIG
                mode off. See O(vfio.mdev.mdev_vfs#module:cards[].mig).
              - V(auto) is not possible here. Use RV(vfio.mdev.mdev_vfs#module:boot_cards).
            type: list
            elements: str
          mixed_sizes:
            description:
              - Whether the vGPUs of the card can have different sizes.
              - See O(vfio.mdev.mdev_vfs#module:cards[].mixed_sizes).
            type: bool
      backend:
        description: How functions are enabled. See O(vfio.mdev.mdev_vfs#module:backend).
        type: str
        choices: [auto, sysfs, sriov-manage]
        default: auto
      after_units:
        description: Units that must finish before functions are enabled, usually those that load the driver.
        type: list
        elements: str
        default: []
      before_units:
        description:
          - Units that need the functions, for example a unit that creates MIG instances. They start afterwards.
        type: list
        elements: str
        default: []
  metrics_path:
    description:
      - The folder of the textfile collector of Prometheus' C(node_exporter), which must exist. On Debian it is
        C(/var/lib/prometheus/node-exporter).
      - The file C(vfio_mdev.prom) in it is written whole and renamed. It has the devices by type and state, the room
        for more, and what needs attention.
      - If omitted, no metrics are written, and a file that this unit wrote is removed.
    type: path
  metrics_interval:
    description: Seconds between two runs that write O(metrics_path) and O(facts_path).
    type: int
    default: 60
  facts_path:
    description:
      - The folder of Ansible's local facts, usually C(/etc/ansible/facts.d). It is created if it is missing.
      - The file C(vfio_mdev.fact) in it gives C(ansible_local.vfio_mdev) with C(framework), C(types) (ids) and
        C(type_names), so that plays can group hosts by them. It is written again only if these change.
      - If omitted, no facts are written, and a file that this unit wrote is removed.
    type: path
requirements:
  - Linux with systemd and Python 3.9 or newer
seealso:
  - module: vfio.mdev.mdev_device
  - module: vfio.mdev.mdev_vfs
  - name: Man page mdevctl(8)
    description: Defines the format of the definitions that the unit reads.
    link: https://github.com/mdevctl/mdevctl/blob/main/mdevctl.rst
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Start defined devices at boot
  vfio.mdev.mdev_boot:

- name: Start devices after the vendor's unit that enables virtual functions, and wait longer for parents
  vfio.mdev.mdev_boot:
    wait_timeout: 300
    after_units: [nvidia-vgpud.service]

- name: Enable functions after NVIDIA's unit, then create MIG instances with a custom unit, then start devices
  vfio.mdev.mdev_boot:
    after_units: [nvidia-vgpud.service, gpu-mig.service]
    vfs:
      cards:
        - address: "0000:41:00.0"
        - address: "0000:81:00.0"
          num_vfs: 4
      backend: auto
      after_units: [nvidia-vgpud.service]
      before_units: [gpu-mig.service]

- name: Install the units while longer runs of other modules may work on the host
  vfio.mdev.mdev_boot:
    lock_timeout: 300

- name: Run the unit with another Python from another folder, on a host with a read-only /usr
  vfio.mdev.mdev_boot:
    python: /opt/python3.12/bin/python3
    program_path: /opt/vfio-mdev

- name: Start devices at boot, and write metrics for Prometheus every two minutes
  vfio.mdev.mdev_boot:
    metrics_path: /var/lib/prometheus/node-exporter
    metrics_interval: 120

- name: Start devices at boot, and write local facts
  vfio.mdev.mdev_boot:
    facts_path: /etc/ansible/facts.d

- name: Group hosts by framework, in a later play that has gathered facts
  ansible.builtin.group_by:
    key: "mdev_framework_{{ ansible_local.vfio_mdev.framework }}"

- name: Group hosts by the types that they offer, for example mdev_type_nvidia_471
  ansible.builtin.group_by:
    key: "mdev_type_{{ item | regex_replace('[^A-Za-z0-9_]', '_') }}"
  loop: "{{ ansible_local.vfio_mdev.types }}"

- name: Remove the units, so that no devices are started at boot
  vfio.mdev.mdev_boot:
    state: absent
"""

RETURN = r"""
files:
  description: The files that were written or removed, or would be in check mode, in order.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/vfio-mdev.service]
enabled:
  description: Whether systemd starts the unit at boot after this run.
  returned: success
  type: bool
  sample: true
unmasked:
  description: The units that were masked and are not masked after this run.
  returned: success
  type: list
  elements: str
  sample: [vfio-mdev.service]
reloaded:
  description:
    - Whether systemd read its units again, or would in check mode. This also happens if a former run was interrupted
      before it could do that.
  returned: success
  type: bool
  sample: true
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description:
        - V(invalid_input), V(file_error), V(lock_timeout), or V(backend_failed) if systemd refused a change.
      type: str
"""

from contextlib import nullcontext
from typing import Any

from ansible.module_utils.basic import AnsibleModule

import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.vfio.mdev.plugins.module_utils._boot.cards import moved_cards, with_identities
from ansible_collections.vfio.mdev.plugins.module_utils._boot.install import FileChange, apply_boot, plan_boot
from ansible_collections.vfio.mdev.plugins.module_utils._boot.systemd import unit_states
from ansible_collections.vfio.mdev.plugins.module_utils._boot.units import (
    UNITS,
    Program,
    Publication,
    UnitFile,
    devices_unit,
    metrics_units,
    vfs_unit,
)
from ansible_collections.vfio.mdev.plugins.module_utils._host.lock import host_lock
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.arguments import CARDS_ARGUMENT, VFS_BACKEND_ARGUMENT
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.request import vfs_requests


def units(params: dict[str, Any], program: Program, host: Host) -> list[UnitFile]:
    """The units that should be installed."""
    if params["state"] == "absent":
        return []
    wanted = [devices_unit(program, params["after_units"])]
    vfs = params["vfs"]
    if vfs is not None and vfs["cards"]:
        requests = with_identities(host, vfs_requests(vfs["cards"]))
        wanted.insert(0, vfs_unit(program, requests, vfs["backend"], vfs["after_units"], vfs["before_units"]))
    return wanted + metrics_units(program, publication(params))


def publication(params: dict[str, Any]) -> Publication:
    """What is published, checked."""
    for option in ("metrics_path", "facts_path"):
        path = params[option] or ""
        # systemd splits the command at spaces and replaces what follows a percent sign (systemd.unit(5)).
        if path and (not path.startswith("/") or set(path) & set(" \t\n%\"'\\$")):
            raise InvalidInput(
                f"{option} '{path}' must be an absolute path without spaces, quotes, backslashes, $ and %",
                option=option,
            )
    interval = params["metrics_interval"]
    if interval < 1:
        raise InvalidInput(f"metrics_interval is {interval}, and must be at least 1", option="metrics_interval")
    return Publication(params["metrics_path"] or "", params["facts_path"] or "", interval)


def diff(change: FileChange) -> dict[str, str]:
    """One file's part of the diff."""
    return {
        "before_header": change.path,
        "after_header": change.path,
        "before": (change.before or b"").decode("utf-8", "replace"),
        "after": (change.after or b"").decode("utf-8", "replace"),
    }


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """What differs, then the files and units, under the host's lock, then the result."""
    program = Program(params["program_path"], params["python"], params["wait_timeout"])
    host = Host()
    wanted = units(params, program, host)
    with nullcontext() if check_mode else host_lock(host, params["lock_timeout"]):
        plan = plan_boot(host, program, wanted, unit_states(host, UNITS))
        if not check_mode and plan.changed:
            apply_boot(host, plan)
    return ModuleResult(
        {
            "changed": plan.changed,
            "enabled": params["state"] == "present",
            "files": [change.path for change in plan.files],
            "unmasked": list(plan.unmasked),
            "reloaded": bool(plan.files) or plan.reload,
        },
        warnings=[*plan.warnings, *moved_cards(plan)],
        diff=[diff(change) for change in plan.files],
    )


def main() -> None:
    """Arguments, then what differs, the files and units, and the result."""
    units_argument = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "wait_timeout": {"type": "int", "default": 120},
            "lock_timeout": {"type": "float", "default": 60},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "program_path": {"type": "path", "default": "/usr/local/lib/vfio-mdev"},
            "after_units": units_argument,
            "vfs": {
                "type": "dict",
                "options": {
                    "cards": CARDS_ARGUMENT,
                    "backend": VFS_BACKEND_ARGUMENT,
                    "after_units": units_argument,
                    "before_units": units_argument,
                },
            },
            "metrics_path": {"type": "path"},
            "metrics_interval": {"type": "int", "default": 60},
            "facts_path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    run_module(module, act)


if __name__ == "__main__":
    main()
