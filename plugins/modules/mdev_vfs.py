#!/usr/bin/python
# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mdev_vfs: arguments, cards, plan, apply, result."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mdev_vfs
short_description: Manage SR-IOV virtual functions, MIG and mixed sizes of PCI cards
version_added: 1.0.0
description:
  - Sets the number of virtual functions (VFs) of PCI cards. On cards with SR-IOV, the virtual functions are the parents
    of mediated devices.
  - On NVIDIA's cards, also sets the modes that decide which vGPU types a card takes, MIG mode with its GPU instances,
    and mixed sizes. Each step is done in the only order that the driver accepts (MIG mode, functions, GPU instances,
    mixed sizes), and only if the card differs. Each mode is read back, because C(nvidia-smi) can succeed without an
    effect.
  - A card that already has the right number is left alone.
  - The kernel accepts a new number only if the current one is zero, so all functions of the card are removed first.
    Nothing is changed if a device exists on the card or its functions, used or not, if a function has a vGPU type set,
    or if a process uses a function. The host's own use also counts, such as an open render node, a network interface
    that is up, and a block device that is mounted, swap space, or below another device.
  - Only the functions that the kernel shows afterwards count, not the result of a tool. NVIDIA's C(sriov-manage) can
    end with exit code 0 and without functions, and a driver can enable fewer functions than requested. Both are errors.
  - All cards are checked before the first one is changed. If a change fails, earlier changes are not rolled back.
  - Virtual functions, GPU instances and mixed sizes are lost when the host reboots. Use M(vfio.mdev.mdev_boot) to
    enable them at boot. MIG mode survives a reboot on some cards only.
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
      - The diff shows the number of functions and the modes of each card that changes, before and after.
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
      mig:
        description:
          - The GPU instances (MIG) that the card should have. List a profile per GPU instance, by its name
            (C(1g.5gb)) or its id (C(19)), as C(nvidia-smi mig -lgip) shows them. All of them get one compute instance.
          - V(auto) derives the instances from the devices in O(sets) that have MIG-backed types. Instances that no
            device needs stay, so that a set can become smaller while its devices exist.
          - V([]) turns MIG mode off. If omitted, MIG mode and GPU instances stay as they are.
          - Missing instances are added. If the card has others, all are replaced. MIG mode only changes without virtual
            functions, which are therefore disabled and enabled again.
        type: list
        elements: str
      mixed_sizes:
        description:
          - Whether the vGPUs of the card can have different framebuffer sizes at the same time
            (C(nvidia-smi vgpu -shm)). If omitted, the mode stays as it is.
          - Only without MIG. Requires a card and a driver that support it.
        type: bool
  sets:
    description:
      - The sets that will be created on the cards, with the arguments of M(vfio.mdev.mdev_set). They are only read for
        O(cards[].mig=auto), and of them only C(devices), C(type), C(count), C(parent), C(parents) and C(state).
    type: list
    elements: dict
    default: []
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
  - C(nvidia-smi) in C(/usr/bin), for O(cards[].mig) and O(cards[].mixed_sizes). If O(sysfs_path) is set, C(usr/bin)
    must be beside that folder.
seealso:
  - module: vfio.mdev.mdev_boot
  - module: vfio.mdev.mdev_info
  - ref: ansible_collections.vfio.mdev.docsite.guide_nvidia
    description: Interfaces, modes and the order of steps on NVIDIA's cards.
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

- name: Enable all virtual functions of a card, and let its vGPUs have different sizes
  vfio.mdev.mdev_vfs:
    cards:
      - address: "0000:41:00.0"
        mixed_sizes: true

- name: Slice a card into three GPU instances, and enable its virtual functions
  vfio.mdev.mdev_vfs:
    cards:
      - address: "0000:41:00.0"
        mig: [3g.20gb, 2g.10gb, 2g.10gb]

- name: Create the GPU instances that the devices of a set need
  vfio.mdev.mdev_vfs:
    cards:
      - address: "0000:41:00.0"
        mig: auto
    sets:
      - name: training
        devices:
          - type: NVIDIA A100-1-5C
            count: 7

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
            count: 5
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
    mig:
      description: Whether MIG mode is on. Null if the request says nothing about modes, or the card does not have it.
      type: bool
    gpu_instances:
      description: The profiles of the GPU instances, by name. In check mode, new ones as they were requested.
      type: list
      elements: str
    mixed_sizes:
      description: Whether vGPUs can have different sizes. Null if the request says nothing about modes, or the card
        does not report it.
      type: bool
  sample:
    - address: "0000:41:00.0"
      nodedev: pci_0000_41_00_0
      driver: nvidia
      vfs: {enabled: 2, total: 2}
      functions: ["0000:41:00.4", "0000:41:00.5"]
      mig: false
      gpu_instances: []
      mixed_sizes: true
boot_cards:
  description:
    - The cards as they should be at each boot, for O(vfio.mdev.mdev_boot#module:vfs.cards), with the GPU instances that
      V(auto) stands for.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The card's PCI address.
      type: str
    num_vfs:
      description: The number of virtual functions, or V(max).
      type: str
    mig:
      description: The profiles of the GPU instances. Null if they stay as they are.
      type: list
      elements: str
    mixed_sizes:
      description: Whether vGPUs can have different sizes. Null if this stays as it is.
      type: bool
  sample:
    - {address: "0000:41:00.0", num_vfs: max, mig: null, mixed_sizes: true}
actions:
  description: The changes that were made, or would be made in check mode, in order. Empty if nothing changes.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(set_vfs), V(set_mig), V(set_gpu_instances) or V(set_mixed_sizes).
      type: str
    card:
      description: The card's PCI address.
      type: str
    before:
      description:
        - What the card had before the change, the number of functions, whether the mode was on (null if this is
          unknown), or the list of GPU instance profiles.
      type: raw
    after:
      description: The same after the change.
      type: raw
    backend:
      description: V(sysfs), V(sriov-manage) or V(nvidia-smi).
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
          V(kernel_refused), V(backend_failed) if a tool failed or had no effect, V(vfs_missing) if functions did not
          appear or are too few, V(no_room) if V(auto) finds no place for the devices of O(sets), V(multiple) if there
          is more than one problem, or V(lock_timeout).
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

import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import parent_nodedev
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import SYSFS_ARGUMENTS
from ansible_collections.vfio.mdev.plugins.module_utils._runner.run_module import ModuleResult, run_module
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.arguments import CARDS_ARGUMENT, VFS_BACKEND_ARGUMENT
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.mig import wanted_types
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.modes import SetMode, value_text
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.plan import CardStep
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.request import MAX, vfs_requests
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.run import VfsOutcome, VfsRunContext, run_vfs


def run_context(params: dict[str, Any]) -> VfsRunContext:
    """The request, checked as far as no host is needed."""
    return VfsRunContext(
        host=Host.from_params(params),
        requests=vfs_requests(params["cards"]),
        backend=params["backend"],
        wait_timeout=params["wait_timeout"],
        lock_timeout=params["lock_timeout"],
        wanted=wanted_types(params["sets"]),
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
                "mig": outcome.mig(card),
                "gpu_instances": list(outcome.profiles(card)),
                "mixed_sizes": outcome.mixed_sizes(card),
            }
            for card, vfs in ((card, outcome.vfs(card)) for card in outcome.cards)
        ],
        "boot_cards": [
            {
                "address": request.address,
                "num_vfs": MAX if request.num_vfs is None else str(request.num_vfs),
                "mig": request.mig,
                "mixed_sizes": request.mixed_sizes,
            }
            for request in outcome.requests
        ],
        "actions": [
            {
                "action": step.action,
                "card": step.address,
                "before": step.before,
                "after": step.after,
                "backend": step.backend,
            }
            for step in outcome.steps
        ],
    }


_DIFF_LINES = {
    "set_vfs": "{} virtual functions",
    "set_mig": "MIG mode {}",
    "set_gpu_instances": "GPU instances {}",
    "set_mixed_sizes": "mixed sizes {}",
}


def diff(outcome: VfsOutcome) -> dict[str, str]:
    """What changes of each card. A value may change twice on the way: its first and last one count."""
    first = {(step.address, step.action): _before(step) for step in reversed(outcome.steps)}
    last = {(step.address, step.action): _after(step) for step in outcome.steps}
    return {
        side: "".join(
            f"{address}: {_DIFF_LINES[action].format(text)}\n" for (address, action), text in sorted(values.items())
        )
        for side, values in (("before", first), ("after", last))
    }


def _before(step: CardStep) -> str:
    return value_text(step.before) if isinstance(step, SetMode) else str(step.before)


def _after(step: CardStep) -> str:
    return value_text(step.after) if isinstance(step, SetMode) else str(step.after)


def act(params: dict[str, Any], check_mode: bool) -> ModuleResult:
    """Cards, then plan and apply, then the result."""
    outcome = run_vfs(run_context(params), check_mode)
    return ModuleResult(result(outcome), diff=diff(outcome))


def main() -> None:
    """Arguments, then cards, plan and apply, then the result."""
    module = AnsibleModule(
        argument_spec={
            "cards": CARDS_ARGUMENT,
            "sets": {"type": "list", "elements": "dict", "default": []},
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
