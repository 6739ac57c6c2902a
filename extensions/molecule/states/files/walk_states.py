# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes one device from every state to every other through one backend, on the host itself.

After each move the plan for the same wish must be empty, and mdevctl and libvirt must see what we see. The way is a
closed walk that takes each of the thirty moves once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from vfio_mdev._apply import apply_plan
from vfio_mdev._backends import chosen_backend
from vfio_mdev._definitions import DefinitionFiles
from vfio_mdev._host import HostPaths
from vfio_mdev._inventory import read_inventory
from vfio_mdev._kernel import Kernel
from vfio_mdev._plan import plan_device
from vfio_mdev._wanted import Wanted

UUID = "5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10"
NODEDEV = "mdev_5b2c8a34_11c0_4a2f_9a0e_0d4c3c1f7e10_mtty"
PATHS = HostPaths()
FILES = DefinitionFiles("/etc/mdevctl.d")

# Active, defined, autostart.
STATES = [(False, False, False), (True, False, False), (False, True, False), (False, True, True), (True, True, False)]
STATES.append((True, True, True))

State = "tuple[bool, bool, bool]"


def closed_walk(count: int) -> list[int]:
    """A walk over all ordered pairs of different numbers below count, each once (Hierholzer)."""
    left = {one: [other for other in range(count) if other != one] for one in range(count)}
    stack, walk = [0], []
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            walk.append(stack.pop())
    return walk[::-1]


def output(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.stdout


def kernel_and_files() -> State:
    inventory = read_inventory(PATHS, FILES)
    definitions = inventory.definitions_of(UUID)
    assert not inventory.broken, inventory.broken
    return (inventory.device(UUID) is not None, bool(definitions), bool(definitions) and definitions[0].autostart)


def mdevctls_view() -> State:
    active = UUID in output("mdevctl", "list", "-u", UUID)
    stored = json.loads(output("mdevctl", "list", "-d", "-u", UUID, "--dumpjson") or "[]")
    starts = [device[UUID]["start"] for parents in stored for devices in parents.values() for device in devices]
    return (active, bool(starts), starts == ["auto"])


def libvirts_view() -> State:
    lines = output("virsh", "nodedev-info", NODEDEV).splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    return tuple(facts.get(name, "no").strip() == "yes" for name in ("Active", "Persistent", "Autostart"))


def seen(view, wanted: State, seconds: float = 10.0) -> State:
    """What a view says, once it says what is wanted or time is up: libvirt learns of changes from events."""
    end = time.monotonic() + seconds
    found = view()
    while found != wanted and time.monotonic() < end:
        time.sleep(0.1)
        found = view()
    return found


def move(backend_name: str, target: State) -> list[str]:
    active, persistent, autostart = target
    wanted = Wanted(UUID, active, persistent, autostart, type="mtty-1", parents=("mtty",))
    kernel = Kernel(PATHS)
    inventory = read_inventory(PATHS, FILES)
    plan = plan_device(wanted, inventory)
    assert plan.steps, "a move without steps"
    apply_plan(plan, chosen_backend(backend_name, kernel, FILES, "qemu:///system"), inventory)
    again = plan_device(wanted, read_inventory(PATHS, FILES))
    assert not again.steps, again.steps
    views = {"kernel and files": kernel_and_files, "mdevctl": mdevctls_view, "libvirt": libvirts_view}
    return [f"{name} sees {found}" for name, view in views.items() if (found := seen(view, target)) != target]


def main() -> int:
    backend, failed = sys.argv[1], 0
    walk = closed_walk(len(STATES))
    for old, new in zip(walk, walk[1:]):
        started = time.monotonic()
        problems = move(backend, STATES[new])
        failed += bool(problems)
        verdict = "; ".join(problems) or "ok"
        print(f"{backend} {STATES[old]} -> {STATES[new]} {time.monotonic() - started:.2f} s {verdict}", flush=True)
    print(f"{backend}: {len(walk) - 1 - failed} moves as wanted, {failed} not", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
