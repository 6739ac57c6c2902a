#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_guest_migrate: a single short step on the source. The action plugin of the same name calls it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_guest_migrate
short_description: Migrate guests from this host
version_added: 1.0.0
description:
  - Run this module on the source of a migration. It migrates guests with C(virsh migrate), several at a time if
    requested, watches them, and returns what became of each. It does not prepare the destination. The playbook
    C(vfio.mdev.migrate) does all of it.
  - The migrations are processes on the source that go on without Ansible. If the controller is interrupted or killed,
    or the connection is lost, run the task again. It continues to watch migrations that are running, and does not start
    them again.
  - One line per guest and interval shows the data left, the rate, the memory pages that the guest changes per second,
    the elapsed time and the downtime limit. libvirt's figures are of the guest's memory and disks. The state of VFIO
    devices is not in them.
  - If the data left does not shrink for O(stall_timeout) seconds, the downtime limit is raised, from 300 ms by a factor
    of 4 each time up to O(max_downtime). After that, the migration is aborted.
  - A migration that fails is not an error of the task. Look at RV(guests[].outcome) to commit or roll back. When one
    fails, no more are started, and those that are running are finished.
extends_documentation_fragment:
  - vfio.mdev._attributes
attributes:
  action:
    description: Has an action plugin of the same name that runs on the controller.
    support: full
  check_mode:
    details:
      - All options are checked. Nothing is started, so RV(guests[].outcome) is V(not_started) for all guests.
  diff_mode:
    support: none
options:
  guests:
    description: The guests to migrate, in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      uuid:
        description: The guest's UUID in libvirt.
        type: str
        required: true
      name:
        description: The guest's name, for messages.
        type: str
        required: true
      destination:
        description: The inventory name of the destination, for messages and O(parallel_per_destination).
        type: str
        required: true
      desturi:
        description: The destination's libvirt URI for C(virsh) on the source.
        type: str
        required: true
      running:
        description: Whether the guest runs. If not, only its configuration is migrated (C(--offline)).
        type: bool
        default: true
      has_devices:
        description: Whether the guest has VFIO devices. It decides about postcopy and the default of O(max_downtime).
        type: bool
        default: true
      xml:
        description: The path of a file on the source with the guest's XML for the destination (C(--xml)).
        type: path
      persistent_xml:
        description:
          - The path of a file with the guest's persistent XML (C(--persistent-xml)). If it is set, the configuration
            moves to the destination (C(--persistent), C(--undefinesource)).
        type: path
  parallel:
    description: How many guests migrate at a time.
    type: int
    default: 1
  parallel_per_destination:
    description: How many guests migrate to the same destination at a time. Default is O(parallel).
    type: int
  max_downtime:
    description:
      - The highest downtime limit in milliseconds. A guest is stopped for about this long at the end at most.
      - The default is 500000 for guests with VFIO devices, which nova's guide for vGPUs recommends, and 500 for others,
        which is nova's default.
    type: int
  stall_timeout:
    description: Seconds without progress until the downtime limit is raised or the migration is aborted.
    type: float
    default: 30
  timeout:
    description:
      - Seconds for the migration of each guest, counted from the start of the task or of the migration. V(0) means no
        limit.
    type: float
    default: 0
  on_timeout:
    description:
      - What to do after O(timeout). V(abort) aborts the migration, and the guest keeps running on the source.
      - V(suspend) suspends the guest, so that the migration can end. libvirt resumes the guest at the destination. If
        the migration fails, the guest is resumed on the source.
    type: str
    choices: [abort, suspend]
    default: abort
  bandwidth:
    description: The highest rate of each migration in MiB/s. Default is libvirt's.
    type: int
  parallel_connections:
    description: The number of connections that each live migration uses (C(--parallel-connections)).
    type: int
  options:
    description:
      - More options of C(virsh migrate). Options that contradict those of this module are refused, and C(--postcopy)
        for running guests with VFIO devices.
    type: list
    elements: str
    default: []
  watch_interval:
    description: Seconds between two looks at the migrations.
    type: float
    default: 5
  unreachable_timeout:
    description:
      - Seconds to wait for a source that does not answer. After that, RV(guests[].outcome) is V(unknown).
    type: float
    default: 600
  uri:
    description: The libvirt connection on the source.
    type: str
    default: qemu:///system
  jobs_path:
    description: The folder for the output of C(virsh). It is created so that only root can access it.
    type: path
    default: /run/vfio-mdev/jobs
  step:
    description: Set by the action plugin only. A single step on the source.
    type: str
    choices: [start, query, abort, suspend, max_downtime]
requirements:
  - C(virsh) on the source and a running libvirt daemon on both hosts
  - Linux with Python 3.9 or newer
seealso:
  - module: vfio.mdev.mdev_migration
  - module: vfio.mdev.mdev_guest_xml
  - ref: ansible_collections.vfio.mdev.docsite.guide_live_migration
    description: What must be equal on both hosts, and what to do if a migration does not converge.
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Migrate a guest whose devices are prepared on gpu-2
  vfio.mdev.mdev_guest_migrate:
    guests:
      - uuid: 6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10
        name: web-1
        destination: gpu-2
        desturi: qemu+ssh://gpu-2/system
        running: true
        has_devices: true
        xml: /var/lib/vfio-mdev/outgoing/6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10.xml
        persistent_xml: /var/lib/vfio-mdev/outgoing/6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10.persistent.xml
  delegate_to: gpu-1
  register: migrated

- name: Migrate four guests at a time, two at most to each destination, with 30 s of downtime at most
  vfio.mdev.mdev_guest_migrate:
    guests: "{{ outgoing_guests }}"
    parallel: 4
    parallel_per_destination: 2
    max_downtime: 30000
    stall_timeout: 60
    bandwidth: 500
    parallel_connections: 4
    options: [--p2p]
    uri: qemu:///system

- name: Suspend guests that take more than an hour, and look once a minute, for a source with an unreliable connection
  vfio.mdev.mdev_guest_migrate:
    guests: "{{ outgoing_guests }}"
    timeout: 3600
    on_timeout: suspend
    watch_interval: 60
    unreachable_timeout: 1800
    jobs_path: /run/migrations
"""

RETURN = r"""
guests:
  description: The guests, in the order of O(guests).
  returned: success
  type: list
  elements: dict
  contains:
    uuid:
      description: The guest's UUID in libvirt.
      type: str
    name:
      description: The guest's name.
      type: str
    destination:
      description: The inventory name of the destination.
      type: str
    outcome:
      description:
        - V(migrated) if the guest has left the source and virsh succeeded or the destination has the guest.
        - V(failed) if the migration ended and the guest has not arrived.
        - V(running) if the migration should have been aborted, but goes on.
        - V(unknown) if the source did not answer. The migration may go on. Run the task again.
        - V(not_started) if the guest was not touched, because another one failed before, or in check mode.
      type: str
    error:
      description: Why the guest was not migrated. V(null) if it was.
      type: str
    downtime:
      description: Milliseconds for which the guest was stopped, as measured by libvirt. V(null) if it is unknown.
      type: int
    duration:
      description: Milliseconds that the migration took, as measured by libvirt. V(null) if it is unknown.
      type: int
    transferred:
      description: Bytes that were transferred, as measured by libvirt. V(null) if it is unknown.
      type: int
  sample:
    - uuid: 6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10
      name: web-1
      destination: gpu-2
      outcome: migrated
      error: null
      downtime: 412
      duration: 48210
      transferred: 17179869184
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description: V(invalid_input), V(libvirt_error) or V(file_error).
      type: str
  sample: {kind: invalid_input, option: options}
"""

from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.vfio.mdev.plugins.module_utils._guests.jobs import Jobs
from ansible_collections.vfio.mdev.plugins.module_utils._guests.virsh import Virsh
from ansible_collections.vfio.mdev.plugins.module_utils._migration.convergence import first_downtime
from ansible_collections.vfio.mdev.plugins.module_utils._migration.job_options import (
    ABORT,
    DOWNTIME,
    JOB_ARGUMENTS,
    QUERY,
    START,
    SUSPEND,
    check_job_options,
    migrate_argv,
)
from ansible_collections.vfio.mdev.plugins.module_utils._migration.observe import Observer
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput, LibvirtError
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module

# The action plugin waits for a step, so a step does not wait for long.
_VIRSH_SECONDS = 20.0

Step = Callable[[dict[str, Any], dict[str, Any], Virsh, Jobs], None]


def start(guest: dict[str, Any], params: dict[str, Any], virsh: Virsh, jobs: Jobs) -> None:
    """Starts the migration, if it does not run already."""
    uuid, downtime = guest["uuid"], first_downtime(params["max_downtime"])
    if guest["running"]:
        if virsh.job(uuid).is_migration:
            return
        # A former migration that was aborted may have left a higher one.
        virsh.set_max_downtime(uuid, downtime)
    if jobs.start(uuid, migrate_argv(guest, params)):
        jobs.note_downtime(uuid, downtime)


def abort(guest: dict[str, Any], _params: dict[str, Any], virsh: Virsh, _jobs: Jobs) -> None:
    """Aborts the migration. If it has ended by now, libvirt has no job to abort."""
    try:
        virsh.abort_job(guest["uuid"])
    except LibvirtError as error:
        if error.details.get("timed_out"):
            raise


def suspend(guest: dict[str, Any], _params: dict[str, Any], virsh: Virsh, jobs: Jobs) -> None:
    """Suspends the guest."""
    jobs.mark_suspended(guest["uuid"])
    virsh.suspend(guest["uuid"])


def set_max_downtime(guest: dict[str, Any], params: dict[str, Any], virsh: Virsh, jobs: Jobs) -> None:
    """Sets the downtime limit."""
    virsh.set_max_downtime(guest["uuid"], params["max_downtime"])
    jobs.note_downtime(guest["uuid"], params["max_downtime"])


STEPS: dict[str, Step] = {START: start, ABORT: abort, SUSPEND: suspend, DOWNTIME: set_max_downtime}


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """One step for all guests, or a look at all of them."""
    check_job_options(params)
    if params["step"] is None or check_mode:
        raise InvalidInput(
            "this module needs its action plugin. Call it as vfio.mdev.mdev_guest_migrate", option="step"
        )
    virsh, jobs = Virsh(params["uri"], _VIRSH_SECONDS), Jobs(params["jobs_path"])
    if params["step"] == QUERY:
        observer = Observer(virsh, jobs)
        results = [observer.observe(guest).as_result(guest["uuid"]) for guest in params["guests"]]
        return ModuleResult({"changed": False, "guests": results})
    for guest in params["guests"]:
        STEPS[params["step"]](guest, params, virsh, jobs)
    return ModuleResult({"changed": True, "guests": []})


def main() -> None:
    """Arguments, then the step, then the result."""
    module = AnsibleModule(argument_spec=JOB_ARGUMENTS, supports_check_mode=True)
    run_module(module, act)


if __name__ == "__main__":
    main()
