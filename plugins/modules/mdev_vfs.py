#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_vfs: arguments, cards, plan, apply, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_vfs
short_description: Manage SR-IOV virtual functions of PCI devices
version_added: 0.1.0
description:
  - Sets the number of virtual functions (VFs) of PCI cards. On cards with SR-IOV, the virtual functions are the parents
    of mediated devices.
  - A card that already has the right number is left alone.
  - The kernel accepts a new number only if the current one is zero, so all functions of the card are removed first.
    Nothing is changed if a device exists on the card or its functions, used or not, if a function has a vGPU type set,
    or if a process uses a function. The host's own use also counts, such as an open render node, a network interface
    that is up, and a block device that is mounted, swap space, or below another device.
  - Only the functions that the kernel shows afterwards count, not the result of a tool. NVIDIA's C(sriov-manage) can
    end with exit code 0 and without functions, and a driver can enable fewer functions than requested. Both are errors.
  - All cards are checked before the first one is changed. If a change fails, earlier changes are not rolled back.
  - Virtual functions are lost when the host reboots. Use M(vfio.mdev.mdev_boot) to enable them at boot.
extends_documentation_fragment:
  - vfio.mdev._attributes
  - vfio.mdev._attributes.action_group
  - vfio.mdev._host.sysfs
attributes:
  action_group:
    membership:
      - vfio.mdev.mdev_host
      - vfio.mdev.mdev_provision
  diff_mode:
    details:
      - The diff shows the number of functions of each card that changes, before and after.
options:
  cards:
    description: The cards.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description: The card's PCI address, in any common form.
        type: str
        required: true
      num_vfs:
        description:
          - The number of virtual functions, or V(max) for as many as the card supports. V(0) disables them.
        type: str
        default: max
  backend:
    description:
      - How functions are enabled and disabled.
      - V(sysfs) writes to C(sriov_numvfs) of the card.
      - V(sriov-manage) runs C(/usr/lib/nvidia/sriov-manage), which is part of NVIDIA's vGPU driver and enables all
        functions of a card or none. If O(sysfs_path) is set, C(usr/lib/nvidia) must be beside that folder.
      - V(auto) selects V(sriov-manage) for NVIDIA's cards if the tool is installed, and V(sysfs) otherwise.
    type: str
    choices: [auto, sysfs, sriov-manage]
    default: auto
  wait_timeout:
    description:
      - Seconds to wait for the drivers of the cards, and again for each change by the tool or the kernel.
    type: float
    default: 60
  lock_timeout:
    description:
      - Seconds to wait for the host lock if another run holds it. On timeout, the module fails without changing
        anything.
    type: float
    default: 60
requirements:
  - Linux with Python 3.9 or newer
seealso:
  - module: vfio.mdev.mdev_boot
  - module: vfio.mdev.mdev_info
  - ref: ansible_collections.vfio.mdev.docsite.guide_vendor_vfio
    description: NVIDIA's driver sets vGPU types on virtual functions on newer cards and kernels.
  - name: PCI Express I/O Virtualization Howto
    description: How the kernel enables virtual functions.
    link: https://docs.kernel.org/PCI/pci-iov-howto.html
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Enable all virtual functions of two cards
  vfio.mdev.mdev_vfs:
    cards:
      - address: "0000:41:00.0"
      - address: "0000:c1:00.0"

- name: Enable four virtual functions of a card with a driver that supports any number
  vfio.mdev.mdev_vfs:
    cards:
      - address: "0000:81:00.0"
        num_vfs: 4
    backend: sysfs
    wait_timeout: 120

- name: Show the changes that would disable all virtual functions of a card
  vfio.mdev.mdev_vfs:
    cards:
      - address: "0000:41:00.0"
        num_vfs: 0
    backend: sriov-manage
    lock_timeout: 300
  check_mode: true
  diff: true

- name: Enable all virtual functions of a card from a container that has the host's file systems in /host
  vfio.mdev.mdev_vfs:
    cards:
      - address: "0000:41:00.0"
    sysfs_path: /host/sys

- name: Enable virtual functions and create devices, and wait up to five minutes for drivers in both modules
  module_defaults:
    group/vfio.mdev.mdev_provision:
      wait_timeout: 300
  block:
    - name: Enable all virtual functions
      vfio.mdev.mdev_vfs:
        cards:
          - address: "0000:41:00.0"

    - name: Create the devices of a tenant
      vfio.mdev.mdev_set:
        name: tenant-a
        devices:
          - type: NVIDIA A100-8C
            count: 8
"""

RETURN = r"""
cards:
  description: The cards as they are after the run, or would be in check mode, in the order of O(cards).
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The card's PCI address.
      type: str
    nodedev:
      description: The name of the card in libvirt.
      type: str
    driver:
      description: The card's driver.
      type: str
    vfs:
      description: The numbers of virtual functions, C(enabled) and C(total) (the number that the card supports).
      type: dict
    functions:
      description: The PCI addresses of the virtual functions. In check mode, these are the current functions.
      type: list
      elements: str
  sample:
    - address: "0000:41:00.0"
      nodedev: pci_0000_41_00_0
      driver: nvidia
      vfs: {enabled: 2, total: 2}
      functions: ["0000:41:00.4", "0000:41:00.5"]
actions:
  description: The changes that were made, or would be made in check mode, in order. Empty if nothing changes.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(set_vfs).
      type: str
    card:
      description: The card's PCI address.
      type: str
    before:
      description: The number of functions before the change.
      type: int
    after:
      description: The number of functions after the change.
      type: int
    backend:
      description: V(sysfs) or V(sriov-manage).
      type: str
  sample:
    - {action: set_vfs, card: "0000:41:00.0", before: 0, after: 2, backend: sriov-manage}
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description:
        - V(not_found), V(invalid_input), V(in_use), V(has_devices) if unused devices would be removed,
          V(kernel_refused), V(backend_failed) if the tool failed, V(vfs_missing) if functions did not appear or are too
          few, V(multiple) if there is more than one problem, or V(lock_timeout).
      type: str
    card:
      description: The PCI address of the card that has the problem.
      type: str
    problems:
      description: If there is more than one problem, each with its C(entry) (the card), C(message), C(kind) and facts.
      type: list
      elements: dict
  sample: {kind: vfs_missing, card: "0000:41:00.0", num_vfs: 16, enabled: 0}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import parent_nodedev
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import SYSFS_ARGUMENTS
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.arguments import (
    CARDS_ARGUMENT,
    VFS_BACKEND_ARGUMENT,
    vfs_requests,
)
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.run import VfsOutcome, VfsRunContext, run_vfs


def run_context(params: dict[str, Any]) -> VfsRunContext:
    """The request, checked as far as no host is needed."""
    return VfsRunContext(
        host=Host.from_params(params),
        requests=vfs_requests(params["cards"]),
        backend=params["backend"],
        wait_timeout=params["wait_timeout"],
        lock_timeout=params["lock_timeout"],
    )


def result(outcome: VfsOutcome) -> dict[str, Any]:
    """The module's result, the same shape in check mode."""
    return {
        "changed": bool(outcome.steps),
        "cards": [
            {
                "address": card.address,
                "nodedev": parent_nodedev("pci", card.address),
                "driver": card.driver,
                "vfs": {"enabled": vfs.enabled, "total": vfs.total} if vfs is not None else None,
                "functions": list(card.functions),
            }
            for card, vfs in ((card, outcome.vfs(card)) for card in outcome.cards)
        ],
        "actions": [
            {
                "action": "set_vfs",
                "card": step.address,
                "before": step.before,
                "after": step.after,
                "backend": step.backend,
            }
            for step in outcome.steps
        ],
    }


def diff(outcome: VfsOutcome) -> dict[str, str]:
    """The numbers of the cards that change. A card may go by zero: its first and last number count."""
    first = {step.address: step.before for step in reversed(outcome.steps)}
    last = {step.address: step.after for step in outcome.steps}
    return {
        side: "".join(f"{address}: {number} virtual functions\n" for address, number in sorted(numbers.items()))
        for side, numbers in (("before", first), ("after", last))
    }


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """Cards, then plan and apply, then the result."""
    outcome = run_vfs(run_context(params), check_mode)
    return ModuleResult(result(outcome), diff=diff(outcome))


def main() -> None:
    """Arguments, then cards, plan and apply, then the result."""
    module = AnsibleModule(
        argument_spec={
            "cards": CARDS_ARGUMENT,
            "backend": VFS_BACKEND_ARGUMENT,
            "wait_timeout": {"type": "float", "default": 60},
            "lock_timeout": {"type": "float", "default": 60},
            **SYSFS_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run_module(module, act)


if __name__ == "__main__":
    main()
