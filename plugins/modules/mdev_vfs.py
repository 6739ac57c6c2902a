#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_vfs
short_description: Has the virtual functions (SR-IOV) enabled that are the parents of mediated devices
version_added: 0.1.0
description:
  - Gives PCI cards a number of virtual functions (VFs). On cards with SR-IOV these are the parents of mediated devices.
  - Nothing is touched where the number is right already.
  - The kernel takes another number only from zero, so all functions of the card go first. Nothing is changed while a
    device exists on the card or its functions, used or not, while a function has a vGPU of NVIDIA's own VFIO framework,
    or while a process holds a function.
  - What the kernel shows afterwards counts, not what a tool says. NVIDIA's C(sriov-manage) can end with exit code 0 and
    no functions, and a driver may enable fewer than it was asked for. Both are errors.
  - All cards are checked before the first is touched.
  - Functions are gone after a reboot. M(vfio.mdev.mdev_boot) has them enabled at boot.
attributes:
  platform:
    description: The platforms that the module runs on.
    support: full
    platforms: linux
  check_mode:
    description: Runs in check mode and gives the same result, without changing anything.
    support: full
  diff_mode:
    description: Shows the number of functions of each card that changes, before and after.
    support: full
options:
  cards:
    description: The cards.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description: The card's PCI address, in any usual form.
        type: str
        required: true
      vfs:
        description:
          - How many virtual functions it is to have, a number or V(max) for as many as it can have. V(0) means none.
        type: str
        default: max
  tool:
    description:
      - How functions are enabled and disabled.
      - V(sysfs) writes to C(sriov_numvfs) of the card.
      - V(sriov-manage) runs C(/usr/lib/nvidia/sriov-manage), which comes with NVIDIA's vGPU driver and enables all
        functions of a card or none.
      - V(auto) is V(sriov-manage) for NVIDIA's cards where that tool is there, else V(sysfs).
    type: str
    choices: [auto, sysfs, sriov-manage]
    default: auto
  wait_seconds:
    description:
      - How many seconds to wait for a card's driver, and for the tool or the kernel to end, each.
    type: float
    default: 60
  lock_timeout:
    description: How many seconds to wait for another run on the same host. When they pass, nothing was changed.
    type: float
    default: 60
  sysfs_path:
    description:
      - Where the host's sysfs is mounted. NVIDIA's tool is looked for beside it, in C(usr/lib/nvidia).
    type: path
    default: /sys
requirements:
  - Linux with Python 3.9 or newer.
seealso:
  - module: vfio.mdev.mdev_boot
  - module: vfio.mdev.mdev_info
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

- name: Have four functions of a card whose driver takes a number
  vfio.mdev.mdev_vfs:
    cards:
      - address: "0000:81:00.0"
        vfs: 4
    tool: sysfs
    wait_seconds: 120

- name: See what would be done
  vfio.mdev.mdev_vfs:
    cards:
      - address: "0000:41:00.0"
        vfs: 0
    tool: sriov-manage
    lock_timeout: 300
  check_mode: true
  diff: true
"""

RETURN = r"""
cards:
  description: The cards as they are after the run, or in check mode as they would be, in the order of O(cards).
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The card's PCI address.
      type: str
    nodedev:
      description: libvirt's name for it.
      type: str
    driver:
      description: Its driver.
      type: str
    vfs:
      description: The number of virtual functions, enabled and possible.
      type: dict
    functions:
      description: Their PCI addresses. In check mode those that there are now.
      type: list
      elements: str
  sample:
    - address: "0000:41:00.0"
      nodedev: pci_0000_41_00_0
      driver: nvidia
      vfs: {enabled: 2, total: 2}
      functions: ["0000:41:00.4", "0000:41:00.5"]
actions:
  description: What was done, or in check mode would be done, in order. Empty where nothing changes.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(set_vfs).
      type: str
    card:
      description: The card.
      type: str
    before:
      description: The number of functions before.
      type: int
    after:
      description: The number of functions after.
      type: int
    tool:
      description: V(sysfs) or V(sriov-manage).
      type: str
  sample:
    - {action: set_vfs, card: "0000:41:00.0", before: 0, after: 2, tool: sriov-manage}
error:
  description: The facts of a failure, for playbooks. The message is for the operator.
  returned: failure
  type: dict
  contains:
    kind:
      description:
        - V(not_found), V(invalid_input), V(in_use), V(has_devices) where unused devices would go, V(kernel_refused),
          V(backend_failed) where the tool failed, V(vfs_missing) where functions did not come or are too few,
          V(several), or V(lock_timeout).
      type: str
    card:
      description: The card that it is about.
      type: str
  sample: {kind: vfs_missing, card: "0000:41:00.0", vfs: 16, enabled: 0}
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
    """What is requested, checked as far as no host is needed."""
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
